package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// Metrics of the real process, on a listener that has nothing else, while the public one
// has nothing of it.
func TestMetricsHaveAListenerOfTheirOwn(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, dir, "--metrics-listen", "127.0.0.1:0", "--log-format", "json")
	address := regexp.MustCompile(`"serving metrics","address":"([^"]+)"`).FindStringSubmatch(s.log.String())
	if address == nil {
		t.Fatalf("no address of metrics in %s", s.log.String())
	}
	token := strings.TrimSpace(output(t, dir, "token"))
	for range 3 {
		s.get(t, token, "/api/audit-logs")
	}
	s.get(t, "made-up", "/api/audit-logs")
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap"} {
		if status, body := s.get(t, token, path); status != http.StatusNotFound {
			t.Errorf("the public listener answers %s: %d %s", path, status, body)
		}
	}
	operators := &instance{url: "http://" + address[1]}
	if status, _ := operators.get(t, token, "/api/audit-logs"); status != http.StatusNotFound {
		t.Errorf("the metrics' listener answers the API: %d", status)
	}
	if status, body := operators.get(t, token, "/debug/pprof/goroutine?debug=1"); status != http.StatusOK || !strings.Contains(string(body), "goroutine profile") {
		t.Errorf("a profile: %d %s", status, body)
	}
	status, scraped := operators.get(t, token, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, scraped)
	}
	faults, err := promlint.New(strings.NewReader(string(scraped))).Lint()
	if err != nil || len(faults) > 0 {
		t.Errorf("%v %v", faults, err)
	}
	for _, line := range []string{
		`ocore_audit_http_requests_total{code="200",method="GET",route="/api/audit-logs"} 3`,
		`ocore_audit_authentication_failures_total{reason="malformed"} 1`,
		`ocore_audit_unposted_positions 0`,
		`ocore_audit_database_connections_limit{pool="worker"} 3`,
		`ocore_audit_checkpoints_refused 0`,
	} {
		if !strings.Contains(string(scraped), "\n"+line+"\n") {
			t.Errorf("%s isn't there: %s", line, scraped)
		}
	}
	everyMetricIsExplained(t, string(scraped))
	s.stop(t, syscall.SIGTERM)
	if conn, err := net.Dial("tcp", address[1]); err == nil {
		conn.Close()
		t.Error("metrics outlived the service")
	}
}

// everyMetricIsExplained holds docs/operating.md against what the process shows.
func everyMetricIsExplained(t *testing.T, scraped string) {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "docs", "operating.md"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	guide, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`(?m)^# TYPE (ocore_audit_\S+)`).FindAllStringSubmatch(scraped, -1) {
		if !strings.Contains(string(guide), "`"+strings.TrimPrefix(name[1], "ocore_audit_")+"`") {
			t.Errorf("docs/operating.md doesn't explain %s", name[1])
		}
	}
}
