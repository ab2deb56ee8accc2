package metrics

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// used is metrics in which everything was counted once: a metric that was never counted
// isn't shown, and then isn't checked.
func used() *Metrics {
	m := New("1.2.3")
	m.Arrived()("/api/audit-logs", http.MethodGet, http.StatusOK, time.Millisecond)
	m.Arrived()("/api/audit-logs", "BREW", http.StatusMethodNotAllowed, time.Millisecond)
	m.Refused("method-not-allowed")
	m.AuthenticationFailed("no_token")
	m.NotLogged()
	m.Limited("credential")
	m.Overloaded("reads")
	m.WatchLane("reads", func() (int, int) { return 3, 2 })
	m.Committed(3, 4, time.Millisecond, nil)
	m.Committed(3, 4, time.Millisecond, errors.New("away"))
	m.CheckpointAge(func() time.Duration { return 90 * time.Second })
	m.WatchPool("read", func() Pool { return Pool{Max: 8, InUse: 1, Idle: 2, Acquired: 3, Waited: 4, WaitTime: 5 * time.Second} })
	m.WatchPool("append", func() Pool { return Pool{} })
	return m
}

func TestMetricsAreNamedAsPrometheusAdvises(t *testing.T) {
	t.Parallel()
	m := used()
	faults, err := testutil.GatherAndLint(m.registry)
	if err != nil || len(faults) > 0 {
		t.Errorf("%v %v", faults, err)
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if name := f.GetName(); !strings.HasPrefix(name, prefix) && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s has no prefix", name)
		}
	}
}

func TestWhatIsCountedIsShown(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(used().Handler())
	defer server.Close()
	text := fetch(t, server.URL+"/metrics")
	for _, line := range []string{
		`ocore_audit_http_requests_total{code="200",method="GET",route="/api/audit-logs"} 1`,
		`ocore_audit_http_requests_total{code="405",method="other",route="/api/audit-logs"} 1`,
		`ocore_audit_http_request_duration_seconds_count{method="GET",route="/api/audit-logs"} 1`,
		`ocore_audit_http_requests_in_flight 0`,
		`ocore_audit_commits_total{outcome="failed"} 1`,
		`ocore_audit_commit_entries_sum 4`,
		`ocore_audit_checkpoint_age_seconds 90`,
		`ocore_audit_database_connections{pool="read",state="in_use"} 1`,
		`ocore_audit_database_connection_wait_seconds_total{pool="read"} 5`,
		`ocore_audit_lane_requests{lane="reads",state="running"} 3`,
		`ocore_audit_lane_requests{lane="reads",state="waiting"} 2`,
		`ocore_audit_build_info{version="1.2.3"} 1`,
		`go_goroutines `,
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("%s isn't there:\n%s", line, text)
		}
	}
	if index := fetch(t, server.URL+"/debug/pprof/"); !strings.Contains(index, "goroutine") {
		t.Errorf("no profiles: %s", index)
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", url, response.Status, err)
	}
	return string(body)
}

func TestNobodyNeedsToLook(t *testing.T) {
	t.Parallel()
	var m *Metrics
	m.Arrived()("/", http.MethodGet, http.StatusOK, 0)
	m.Refused("internal")
	m.AuthenticationFailed("no_token")
	m.NotLogged()
	m.Limited("credential")
	m.Overloaded("reads")
	m.WatchLane("reads", nil)
	m.Committed(1, 1, 0, nil)
	m.CheckpointAge(nil)
	m.WatchPool("read", nil)
}
