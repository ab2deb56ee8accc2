package tracing

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Request is the span of a request, by OpenTelemetry's conventions for HTTP servers as far as
// they name nobody: url.path, client.address and user_agent.original are left out.
type Request struct {
	Span
	method string
	trace  string
}

// Request begins a request's span, in its caller's trace where a traceparent header (W3C Trace
// Context) names one. tracestate is left where it came from: it is a text of the caller's.
func (t *Tracing) Request(ctx context.Context, r *http.Request, id string) (context.Context, Request) {
	if t == nil {
		return ctx, Request{}
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": r.Header.Get("traceparent")})
	method, scheme := knownMethod(r.Method), "http"
	if r.TLS != nil {
		scheme = "https"
	}
	ctx, span := t.tracer.Start(ctx, method.name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		method.attribute, semconv.URLScheme(scheme), semconv.NetworkProtocolVersion(fmt.Sprintf("%d.%d", r.ProtoMajor, r.ProtoMinor)),
		attribute.String("ocore_audit.request_id", id)))
	return ctx, Request{recorded(span), method.name, span.SpanContext().TraceID().String()}
}

// TraceID is for the request's log line; "" when nothing is traced.
func (q Request) TraceID() string { return q.trace }

// Answered ends the span. route is the document's path, "" for none of it; status 0 stands for
// no answer at all, and problem for why it was refused or broke off, "" if it wasn't.
func (q Request) Answered(route string, status int, problem string) {
	if q.span == nil {
		return
	}
	if route != "" {
		q.span.SetName(q.method + " " + route)
		q.span.SetAttributes(semconv.HTTPRoute(route))
	}
	if status != 0 {
		q.span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	}
	if problem != "" {
		q.Note("problem", problem)
	}
	switch {
	case status >= http.StatusInternalServerError:
		q.Fail(strconv.Itoa(status))
	case problem != "" && status < http.StatusBadRequest: // broke off after it had begun well
		q.Fail(problem)
	}
	q.End()
}

type method struct {
	name      string
	attribute attribute.KeyValue
}

// knownMethod keeps methods that callers made up out of the spans.
func knownMethod(sent string) method {
	switch sent {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method{sent, semconv.HTTPRequestMethodKey.String(sent)}
	}
	return method{"HTTP", semconv.HTTPRequestMethodOther}
}
