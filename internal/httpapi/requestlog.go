package httpapi

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/metrics"
)

// Of the lines about refusals and failures of one status so many are written a second, and
// so many at once unless options say otherwise: a storm of bad tokens must not fill the disk.
const (
	linesPerSecond     = 10
	defaultLinesAtOnce = 100
)

// maxLoggedPath bounds what is repeated of a path that the document doesn't know.
const maxLoggedPath = 256

// requestLog writes the line of each request. What operations are called with is not
// logged: paths and filters name people. Of refusals and failures beyond the bounds it
// counts what it leaves out; the next line of that status says how many.
type requestLog struct {
	log     *slog.Logger
	metrics *metrics.Metrics
	proxies proxies
	atOnce  int
	mutex   sync.Mutex
	refused map[int]*lines       // by status, of which problem.go has a handful
	alarms  map[string]time.Time // when an alarm was last raised, by organization
}

type lines struct {
	limiter  *rate.Limiter
	unlogged int
}

func newRequestLog(o Options) *requestLog {
	return &requestLog{
		log: o.Log, metrics: o.Metrics, proxies: o.TrustedProxies,
		atOnce: cmp.Or(o.RefusalLines, defaultLinesAtOnce), refused: map[int]*lines{}, alarms: map[string]time.Time{},
	}
}

func (l *requestLog) write(r *http.Request, c *call, status int, took time.Duration) {
	ctx := r.Context()
	l.alarm(context.WithoutCancel(ctx), c)
	level := logLevel(status)
	if c.failure != nil && status < http.StatusBadRequest {
		level = slog.LevelError // broke off after it had begun well
	}
	if !l.log.Enabled(ctx, level) {
		return
	}
	unlogged, allowed := l.admit(status)
	if !allowed {
		l.metrics.NotLogged()
		return
	}
	attributes := make([]slog.Attr, 0, 10)
	attributes = append(attributes, slog.String("method", shorten(r.Method)), slog.Int("status", status),
		slog.Duration("took", took), slog.String("request_id", c.requestID))
	if c.traceID != "" {
		attributes = append(attributes, slog.String("trace_id", c.traceID))
	}
	if c.operation != "" {
		attributes = append(attributes, slog.String("operation", c.operation), slog.String("organization", c.organization))
	} else {
		attributes = append(attributes, slog.String("path", shorten(r.URL.Path)))
	}
	if c.failure != nil {
		attributes = append(attributes, slog.String("error", c.failure.Error()))
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests {
		attributes = append(attributes, slog.String("client", l.proxies.client(r)))
	}
	if unlogged > 0 {
		attributes = append(attributes, slog.Int("unlogged", unlogged))
	}
	l.log.LogAttrs(context.WithoutCancel(ctx), level, "request", attributes...)
}

// alarmPause is between two alarms about one trail. The lines of requests have every finding.
const alarmPause = time.Hour

// alarm tells the operator of what is stored and isn't what was signed.
func (l *requestLog) alarm(ctx context.Context, c *call) {
	var a *audit.Alteration
	if !errors.As(c.failure, &a) {
		return
	}
	l.mutex.Lock()
	last, known := l.alarms[a.Organization]
	due := !known || time.Since(last) >= alarmPause
	if due {
		l.alarms[a.Organization] = time.Now()
	}
	l.mutex.Unlock()
	if due {
		l.log.LogAttrs(ctx, slog.LevelError, "TAMPERING: what is stored of a trail is not what was signed; see docs/verifying.md",
			slog.String("organization", a.Organization), slog.String("reason", a.Text()), slog.String("request_id", c.requestID))
	}
}

// admit reports whether the line may be written, and how many of its status weren't.
func (l *requestLog) admit(status int) (unlogged int, allowed bool) {
	if status < http.StatusBadRequest {
		return 0, true
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	q := l.refused[status]
	if q == nil {
		q = &lines{limiter: rate.NewLimiter(linesPerSecond, l.atOnce)}
		l.refused[status] = q
	}
	if !q.limiter.Allow() {
		q.unlogged++
		return 0, false
	}
	unlogged, q.unlogged = q.unlogged, 0
	return unlogged, true
}

func shorten(text string) string {
	if len(text) <= maxLoggedPath {
		return text
	}
	return text[:maxLoggedPath] + "…"
}
