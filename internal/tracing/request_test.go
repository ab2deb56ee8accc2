package tracing

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// A request stands in the trace that its caller names, if that is one (W3C Trace Context,
// section 3.2), and nothing else of what it brings comes along.
func TestWhoseTraceARequestStandsIn(t *testing.T) {
	t.Parallel()
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	recorder := tracetest.NewSpanRecorder()
	traces := &Tracing{tracer: sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)).Tracer(scope)}
	recordedOf := func(header http.Header) sdk.ReadOnlySpan {
		before := len(recorder.Ended())
		r := httptest.NewRequest(http.MethodGet, "/secret?secret", nil)
		r.Header = header
		_, span := traces.Request(t.Context(), r, "id")
		if len(span.TraceID()) != 32 {
			t.Errorf("%v: the trace is %q", header, span.TraceID())
		}
		span.Answered("/route", 200, "")
		if ended := recorder.Ended(); len(ended) > before {
			return ended[before]
		}
		return nil
	}
	good := recordedOf(http.Header{"Traceparent": {"00-" + trace + "-" + parent + "-01"}, "Tracestate": {"a=secret"}, "Baggage": {"a=secret"}})
	if good.SpanContext().TraceID().String() != trace || good.Parent().SpanID().String() != parent || good.SpanContext().TraceState().Len() != 0 || good.Name() != "GET /route" {
		t.Errorf("%v", good)
	}
	if span := recordedOf(http.Header{"Traceparent": {"00-" + trace + "-" + parent + "-00"}}); span != nil {
		t.Errorf("its caller said no: %v", span)
	}
	for _, bad := range []string{
		"", "x", "00-" + trace + "-" + parent, "00-" + trace + "-" + parent + "-01-x",
		"ff-" + trace + "-" + parent + "-01", "00-" + strings.Repeat("0", 32) + "-" + parent + "-01", "00-" + trace + "-" + strings.Repeat("0", 16) + "-01",
		"00-" + strings.ToUpper(trace) + "-" + parent + "-01", "00-" + trace[1:] + "-" + parent + "-01", "00-" + trace + "-" + parent + "-0g",
		"00-" + trace + "-" + parent + "-01\r\nX: y", "00 " + trace + " " + parent + " 01", strings.Repeat("0", 8000),
	} {
		if span := recordedOf(http.Header{"Traceparent": {bad}}); span == nil || span.Parent().IsValid() || span.SpanContext().TraceID().String() == trace {
			t.Errorf("%.80q is taken for a trace: %v", bad, span)
		}
	}
}

// Without configuration there is nothing to do, at no cost.
func TestNothingIsTracedForFree(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	var traces *Tracing
	allocations := testing.AllocsPerRun(100, func() {
		ctx, request := traces.Request(t.Context(), r, "id")
		ctx, span := Start(ctx, "x")
		_, work := traces.Work(ctx, "y")
		span.Count("n", 1)
		span.Fail("z")
		span.End()
		work.End()
		request.Answered("/", 200, "")
		traces.Close()
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
