package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/metrics"
	"ocore.dev/audit/internal/tracing"
)

var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// observer gives each request its id, its log line, its span and its place in the metrics.
type observer struct {
	log             *requestLog
	metrics         *metrics.Metrics
	traces          *tracing.Tracing
	strictTransport []string
}

// wrap keeps the ids that callers send, if they are harmless.
func (o *observer) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		end := o.metrics.Arrived()
		c := &call{requestID: r.Header.Get("X-Request-Id")}
		if !requestID.MatchString(c.requestID) {
			c.requestID = uuid.Must(uuid.NewV7()).String()
		}
		header := w.Header()
		header.Set("X-Request-Id", c.requestID)
		secure(header, o.strictTransport)
		recorder := &statusRecorder{ResponseWriter: w}
		ctx, traced := o.trace(r, c)
		r = r.WithContext(ctx)
		defer func() {
			c.end()
			took := time.Since(begun)
			route := c.routeOf(r)
			end(cmp.Or(route, "none"), r.Method, recorder.status, took)
			o.countFailure(c)
			traced.Answered(route, recorder.status, c.problem())
			o.log.write(r, c, recorder.status, took)
		}()
		next.ServeHTTP(recorder, r)
	})
}

// trace begins the request's span. Probes have none: they would be most of all traces.
func (o *observer) trace(r *http.Request, c *call) (context.Context, tracing.Request) {
	ctx := withCall(r.Context(), c)
	if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
		return ctx, tracing.Request{}
	}
	ctx, traced := o.traces.Request(ctx, r, c.requestID)
	c.traceID = traced.TraceID()
	return ctx, traced
}

// routeOf is the path that the document or the service has for a request, never the one
// that was sent; "" for none.
func (c *call) routeOf(r *http.Request) string {
	if c.route != "" {
		return c.route
	}
	_, path, _ := strings.Cut(r.Pattern, "/") // without the method
	if path == "" {
		return ""
	}
	return "/" + path
}

// problem is the last part of the type of what went wrong, "" if nothing did.
func (c *call) problem() string {
	if c.failure == nil {
		return ""
	}
	return kindOf(c.failure).slug
}

func (o *observer) countFailure(c *call) {
	if c.failure == nil {
		return
	}
	o.metrics.Refused(c.problem())
	if errors.Is(c.failure, audit.ErrOverloaded) && c.lane != nil {
		o.metrics.Overloaded(c.lane.name)
	}
	if errors.Is(c.failure, audit.ErrUnauthenticated) {
		reason := "other"
		var named interface{ Reason() string }
		if errors.As(c.failure, &named) {
			reason = named.Reason()
		}
		o.metrics.AuthenticationFailed(reason)
	}
}

// recovered answers a panic as an unknown error. [http.ErrAbortHandler] is on purpose
// and goes on to the server, which cuts the connection.
func recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			broken := recover()
			if broken == nil {
				return
			}
			recorder, _ := w.(*statusRecorder)
			if broken == http.ErrAbortHandler || recorder == nil || recorder.status != 0 { //nolint:errorlint // the value itself is the signal
				panic(http.ErrAbortHandler)
			}
			writeProblem(w, r, fmt.Errorf("panic: %v\n%s", broken, debug.Stack()))
		}()
		next.ServeHTTP(w, r)
	})
}

// statusRecorder remembers the status for the log line.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusRecorder) Write(body []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return s.ResponseWriter.Write(body)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
