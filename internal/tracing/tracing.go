package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// scope is who makes the spans, as OpenTelemetry calls it.
const scope = "ocore.dev/audit"

// flushTimeout bounds how long the end of the process waits for a collector.
const flushTimeout = 5 * time.Second

// Tracing makes the spans of one process. A nil one makes none, and costs nothing.
type Tracing struct {
	tracer   trace.Tracer
	provider *sdk.TracerProvider
	log      *slog.Logger
}

// Open traces as the variables of the OpenTelemetry specification say, which it reads by
// getenv and the libraries themselves: nil, for no tracing, unless they name an endpoint or
// the exporter otlp. What they say that can't be done is an error. A collector that isn't there
// is none: spans are dropped, and log says so.
func Open(ctx context.Context, getenv func(string) string, version string, log *slog.Logger) (*Tracing, error) {
	wanted, err := configured(getenv)
	if !wanted || err != nil {
		return nil, err
	}
	sender, err := newSender(getenv)
	if err != nil {
		return nil, err
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName("ocore-audit"), semconv.ServiceVersion(version), semconv.ServiceInstanceID(uuid.NewString())),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	// The library has no other way to say that a variable is wrong.
	var wrong []error
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { wrong = append(wrong, err) }))
	provider := sdk.NewTracerProvider(sdk.WithResource(about), sdk.WithBatcher(otlptrace.NewUnstarted(sender)))
	if err := errors.Join(wrong...); err != nil {
		return nil, errors.Join(fmt.Errorf("traces: %w", err), provider.Shutdown(ctx))
	}
	otel.SetErrorHandler(complaint(log))
	return &Tracing{provider.Tracer(scope), provider, log}, nil
}

// complaint logs what goes wrong with sending, once a minute: a collector that isn't there is
// missed every few seconds.
func complaint(log *slog.Logger) otel.ErrorHandler {
	often := rate.Sometimes{Interval: time.Minute}
	return otel.ErrorHandlerFunc(func(err error) {
		often.Do(func() {
			log.LogAttrs(context.Background(), slog.LevelWarn, "traces were not sent; nothing else suffers", slog.Any("error", err))
		})
	})
}

// configured reports whether somebody wants traces.
func configured(get variables) (bool, error) {
	exporter := strings.TrimSpace(get("OTEL_TRACES_EXPORTER"))
	endpoint, _ := get.otlp("ENDPOINT")
	switch {
	case strings.EqualFold(strings.TrimSpace(get("OTEL_SDK_DISABLED")), "true"), exporter == "none", exporter == "" && endpoint == "":
		return false, nil
	case exporter != "" && exporter != "otlp":
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER takes otlp or none, not %q", exporter)
	}
	return true, nil
}

// Close sends what is left, for at most 5 s.
func (t *Tracing) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.LogAttrs(ctx, slog.LevelWarn, "the last traces were not sent", slog.Any("error", err))
	}
}

// Work begins a span of something that no request asked for; below what ctx records, if it
// records.
func (t *Tracing) Work(ctx context.Context, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(ctx, name)
	return ctx, Span{span}
}
