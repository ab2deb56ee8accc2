// Package tracing makes spans of what the service does and sends them by OTLP, and is the
// only importer of OpenTelemetry.
//
// To trace one more thing: [Start] with the context that the request or the work came with,
// and [Span.End] when it is over; what begins by itself begins with [Tracing.Work]. Nothing is
// made where nothing is recorded, so neither needs a question first.
//
// Traces leave the house, often for somebody else's. So a span holds the source's own names,
// and counts: no path, no parameter, no organization, nobody's address, and no error's text,
// which may repeat any of these. The request's id leads to the log line, which says more.
package tracing
