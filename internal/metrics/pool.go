package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Pool is the state of a pool of database connections.
type Pool struct {
	Max, InUse, Idle int32
	Acquired         int64         // so often a connection was taken
	Waited           int64         // so often none was idle
	WaitTime         time.Duration // all waits together
}

// WatchPool reads a pool's state whenever somebody looks.
func (m *Metrics) WatchPool(name string, read func() Pool) {
	if m == nil {
		return
	}
	describe := func(metric, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+"database_"+metric, help, labels, prometheus.Labels{"pool": name})
	}
	m.registry.MustRegister(&pool{
		read:        read,
		connections: describe("connections", "Connections to PostgreSQL.", "state"),
		limit:       describe("connections_limit", "Connections that the pool may have."),
		acquired:    describe("connection_acquires_total", "Times that a connection was taken from the pool."),
		waited:      describe("connection_waits_total", "Times that no connection was idle when one was wanted."),
		waitTime:    describe("connection_wait_seconds_total", "Time that was spent in taking connections from the pool."),
	})
}

// pool is a collector, so that one look shows one state.
type pool struct {
	read                                           func() Pool
	connections, limit, acquired, waited, waitTime *prometheus.Desc
}

// Describe implements [prometheus.Collector].
func (p *pool) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{p.connections, p.limit, p.acquired, p.waited, p.waitTime} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (p *pool) Collect(to chan<- prometheus.Metric) {
	state := p.read()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value)
	}
	gauge(p.connections, float64(state.InUse), "in_use")
	gauge(p.connections, float64(state.Idle), "idle")
	gauge(p.limit, float64(state.Max))
	counter(p.acquired, float64(state.Acquired))
	counter(p.waited, float64(state.Waited))
	counter(p.waitTime, state.WaitTime.Seconds())
}
