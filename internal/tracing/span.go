package tracing

import (
	"context"
	"iter"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Span is a piece of work that is recorded. The zero Span is none, and does nothing.
type Span struct{ span trace.Span }

// Of is the span that ctx is in.
func Of(ctx context.Context) Span { return recorded(trace.SpanFromContext(ctx)) }

func recorded(span trace.Span) Span {
	if !span.IsRecording() {
		return Span{}
	}
	return Span{span}
}

// Start begins a span within that of ctx; none where that isn't recorded.
func Start(ctx context.Context, name string) (context.Context, Span) {
	return start(ctx, name)
}

func start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := parent.TracerProvider().Tracer(scope).Start(ctx, name, options...)
	return ctx, recorded(span)
}

// Together begins a span of work that is done at once for all whose contexts are carried. It
// stands in the trace of the first that is recorded, and is linked to and from each of them.
func Together(ctx context.Context, name string, carried iter.Seq[context.Context]) (context.Context, Span) {
	var all []trace.Span
	var links []trace.Link
	for c := range carried {
		if span := trace.SpanFromContext(c); span.IsRecording() {
			all, links = append(all, span), append(links, trace.Link{SpanContext: span.SpanContext()})
		}
	}
	if len(all) == 0 {
		return ctx, Span{}
	}
	ctx, together := start(trace.ContextWithSpan(ctx, all[0]), name, trace.WithLinks(links...))
	if together.span != nil {
		for _, span := range all {
			span.AddLink(trace.Link{SpanContext: together.span.SpanContext()})
		}
	}
	return ctx, together
}

// Waited records a wait that began at some time and is over. A short one is no news.
func Waited(ctx context.Context, name string, since time.Time) {
	if time.Since(since) > newsworthy {
		_, span := start(ctx, name, trace.WithTimestamp(since))
		span.End()
	}
}

const newsworthy = time.Millisecond

// StartStatements begins a span of statements that travel to PostgreSQL together, of which
// told has the names.
func StartStatements(ctx context.Context, told func() (names string, statements int)) (context.Context, Span) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, Span{}
	}
	names, statements := told()
	attributes := []attribute.KeyValue{semconv.DBSystemNamePostgreSQL, semconv.DBQuerySummary(names)}
	if statements > 1 {
		attributes = append(attributes, semconv.DBOperationBatchSize(statements))
	}
	return start(ctx, names, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
}

// Recorded reports whether there is anything to note for.
func (s Span) Recorded() bool { return s.span != nil }

// Count notes a number under a name of ours.
func (s Span) Count(name string, n int) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int("ocore_audit."+name, n))
	}
}

// Note notes a word of the source's own under a name of ours.
func (s Span) Note(name, word string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String("ocore_audit."+name, word))
	}
}

// Fail says that it failed, and how: a word of the source's own or a code, never a text.
func (s Span) Fail(how string) {
	if s.span != nil {
		s.span.SetAttributes(semconv.ErrorTypeKey.String(how))
		s.span.SetStatus(codes.Error, "")
	}
}

// End ends it.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}
