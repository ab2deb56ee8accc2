package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// prefix is the one of every metric of the service's own.
const prefix = "ocore_audit_"

// Metrics are the counts of one process. A nil one counts nothing, so that whoever counts
// needn't ask whether somebody looks.
type Metrics struct {
	registry *prometheus.Registry

	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	inFlight  prometheus.Gauge
	refusals  *prometheus.CounterVec
	failures  *prometheus.CounterVec
	unlogged  prometheus.Counter
	limited   *prometheus.CounterVec
	overloads *prometheus.CounterVec

	commits         *prometheus.CounterVec
	commitDurations prometheus.Histogram
	commitRequests  prometheus.Histogram
	commitEntries   prometheus.Histogram
}

// New makes the metrics of a process of the version.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: counters("http_requests_total", "Requests that were answered.", "route", "method", "code"),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "http_request_duration_seconds", Help: "How long answers took that were no refusal and no failure.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
		}, []string{"route", "method"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "http_requests_in_flight", Help: "Requests that are being answered."}),
		refusals: counters("http_refusals_total", "Requests that were answered by a problem, by the last part of its type.", "reason"),
		failures: counters("authentication_failures_total", "Requests whose caller could not be authenticated.", "reason"),
		unlogged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: prefix + "log_lines_suppressed_total", Help: "Lines about refused requests that were not written because there were too many.",
		}),
		limited:         counters("rate_limited_total", "Requests that were refused by a limit of the operator's.", "limit"),
		overloads:       counters("overload_refusals_total", "Requests that were refused because too much was at work.", "lane"),
		commits:         counters("commits_total", "Transactions that were to store entries.", "outcome"),
		commitDurations: histogram("commit_duration_seconds", "How long a transaction that stored entries took.", prometheus.ExponentialBuckets(.001, 2, 14)),
		commitRequests:  histogram("commit_requests", "Requests that one transaction stored together.", prometheus.ExponentialBuckets(1, 2, 12)),
		commitEntries:   histogram("commit_entries", "Entries that one transaction stored, known ones too.", prometheus.ExponentialBuckets(1, 2, 12)),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: prefix + "build_info", Help: "Always 1; its labels say what runs.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.durations, m.inFlight, m.refusals, m.failures, m.unlogged, m.limited, m.overloads,
		m.commits, m.commitDurations, m.commitRequests, m.commitEntries, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: buckets})
}

// Arrived counts a request as in flight until its end is called with how it was answered.
// The route is the document's path, with its braces, or another of a fixed list.
func (m *Metrics) Arrived() (end func(route, method string, status int, took time.Duration)) {
	if m == nil {
		return func(string, string, int, time.Duration) {}
	}
	m.inFlight.Inc()
	return m.answered
}

func (m *Metrics) answered(route, method string, status int, took time.Duration) {
	m.inFlight.Dec()
	method = known(method)
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	if status < http.StatusBadRequest {
		m.durations.WithLabelValues(route, method).Observe(took.Seconds())
	}
}

// known keeps methods that callers made up out of the labels.
func known(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// Refused counts a problem by the last part of its type.
func (m *Metrics) Refused(reason string) {
	if m != nil {
		m.refusals.WithLabelValues(reason).Inc()
	}
}

// AuthenticationFailed counts a caller who could not be authenticated. The reason is one
// of a fixed list, and never anything that was sent.
func (m *Metrics) AuthenticationFailed(reason string) {
	if m != nil {
		m.failures.WithLabelValues(reason).Inc()
	}
}

// Limited counts a request that a limit refused: organization or credential.
func (m *Metrics) Limited(limit string) {
	if m != nil {
		m.limited.WithLabelValues(limit).Inc()
	}
}

// Overloaded counts a request of a lane that was refused because too much was at work.
func (m *Metrics) Overloaded(lane string) {
	if m != nil {
		m.overloads.WithLabelValues(lane).Inc()
	}
}

// WatchLane reads how many requests of a kind are worked on and wait, whenever somebody
// looks.
func (m *Metrics) WatchLane(name string, read func() (running, waiting int)) {
	if m == nil {
		return
	}
	for state, pick := range map[string]func() int{
		"running": func() int { running, _ := read(); return running },
		"waiting": func() int { _, waiting := read(); return waiting },
	} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: prefix + "lane_requests", Help: "Requests that are worked on, or wait for their turn.",
			ConstLabels: prometheus.Labels{"lane": name, "state": state},
		}, func() float64 { return float64(pick()) }))
	}
}

// NotLogged counts a line that was left out of the log.
func (m *Metrics) NotLogged() {
	if m != nil {
		m.unlogged.Inc()
	}
}

// Committed counts a transaction that stored, or failed to store, so many entries of so
// many requests.
func (m *Metrics) Committed(requests, entries int, took time.Duration, err error) {
	if m == nil {
		return
	}
	if err != nil {
		m.commits.WithLabelValues("failed").Inc()
		return
	}
	m.commits.WithLabelValues("stored").Inc()
	m.commitDurations.Observe(took.Seconds())
	m.commitRequests.Observe(float64(requests))
	m.commitEntries.Observe(float64(entries))
}

// Watch reads a gauge whenever somebody looks. name has no prefix, and its base unit at
// its end; read must be quick and safe for concurrent use.
func (m *Metrics) Watch(name, help string, read func() float64) {
	if m != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + name, Help: help}, read))
	}
}

// CheckpointAge is the gauge of how long ago every trail that had grown was signed.
func (m *Metrics) CheckpointAge(read func() time.Duration) {
	m.Watch("checkpoint_age_seconds", "Time since every trail that had grown had a checkpoint.", func() float64 { return read().Seconds() })
}
