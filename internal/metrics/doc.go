// Package metrics counts what the service does, and is the only importer of Prometheus.
//
// To add a metric: a field of [Metrics], made and registered in [New], and a method by which
// its owner counts; or [Metrics.Watch] for what can be read when somebody looks. Names have
// the prefix ocore_audit_, base units, and _total if they count; docs/operating.md lists
// them. A label's values come from a list that is part of the source, never from a request:
// no organization, no person, no path that somebody made up.
package metrics
