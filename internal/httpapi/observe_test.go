package httpapi_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/testkit"
)

// scrape reads the service's metrics as Prometheus would.
func scrape(t *testing.T, s *testkit.Service) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.Metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// metric is the value of one line of a scrape, 0 where there is none.
func metric(t *testing.T, scraped, name string) float64 {
	t.Helper()
	_, after, found := strings.Cut(scraped, "\n"+name+" ")
	if !found {
		return 0
	}
	text, _, _ := strings.Cut(after, "\n")
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestRequestsAreCountedByRoutesOfTheDocument(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	post(t, s, ada, "/audit-logs", whole)
	post(t, s, ada, "/audit-logs", `{"action":1}`)
	for _, id := range []string{"e-1", "e-2", "e-3"} {
		get(t, s, ada, "/audit-logs/entries/"+id)
		get(t, s, ada, "/made/up/"+id)
		get(t, s, as(), "/audit-logs/resource/server/"+id)
	}
	send(t, s, ada, "BREW", "/audit-logs", "")
	get(t, outside(s), ada, "/healthz")
	get(t, outside(s), ada, "/docs")
	get(t, outside(s), ada, "/elsewhere")
	scraped := scrape(t, s)
	for name, want := range map[string]float64{
		`http_requests_total{code="201",method="POST",route="/api/audit-logs"}`:                     1,
		`http_requests_total{code="400",method="POST",route="/api/audit-logs"}`:                     1,
		`http_requests_total{code="200",method="GET",route="/api/audit-logs/entries/{id}"}`:         1,
		`http_requests_total{code="404",method="GET",route="/api/audit-logs/entries/{id}"}`:         2,
		`http_requests_total{code="403",method="GET",route="/api/audit-logs/resource/{type}/{id}"}`: 3,
		`http_requests_total{code="404",method="GET",route="none"}`:                                 4,
		`http_requests_total{code="405",method="other",route="none"}`:                               1,
		`http_requests_total{code="200",method="GET",route="/healthz"}`:                             1,
		`http_request_duration_seconds_count{method="GET",route="/api/audit-logs/entries/{id}"}`:    1,
		`http_refusals_total{reason="forbidden"}`:                                                   3,
		`http_refusals_total{reason="not-found"}`:                                                   6,
		`http_requests_in_flight`:                   0,
		`commits_total{outcome="stored"}`:           1,
		`commit_entries_sum`:                        1,
		`waiting_bytes`:                             0,
		`database_connections_limit{pool="append"}`: 4,
	} {
		if got := metric(t, scraped, "ocore_audit_"+name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for _, sent := range []string{"e-1", "e-2", "made", "elsewhere", "BREW", "acme"} {
		if strings.Contains(scraped, sent) {
			t.Errorf("a label holds %q, which a caller chose", sent)
		}
	}
}

func TestAuthenticationFailuresAreCountedByReason(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	parts := strings.Split(testkit.Token(t, ada), ".")
	for reason, authorization := range map[string][]string{
		"no_token":        nil,
		"several_headers": {"Bearer a", "Bearer b"},
		"no_bearer":       {"Basic YWRhOnNlY3JldA"},
		"malformed":       {"Bearer made-up"},
		"issuer":          {"Bearer " + parts[0] + ".e30." + parts[2]},
		"key":             {"Bearer eyJhbGciOiJub25lIn0." + parts[1] + "." + parts[2]},
		"signature":       {"Bearer " + parts[0] + "." + parts[1] + "." + parts[0]},
		"claims":          {"Bearer " + testkit.ExpiredToken(t, ada)},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/audit-logs", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header["Authorization"] = authorization
		do(t, s, r).problem(t, http.StatusUnauthorized)
		name := `ocore_audit_authentication_failures_total{reason="` + reason + `"}`
		if scraped := scrape(t, s); metric(t, scraped, name) != 1 {
			t.Errorf("%s isn't 1: %s", name, scraped)
		}
	}
}

// The log holds a line for each request, whatever the request holds, until there are too
// many that are refused: then it holds some, and how many it left out.
func TestAStormOfRefusalsDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	var log lines
	s := testkit.ServeDatabase(t, testkit.NewDatabase(t), logTo(&log))
	const storm = 2000
	for range storm {
		if a := get(t, s, audit.Principal{}, "/audit-logs"); a.status != http.StatusUnauthorized {
			t.Fatal(a.status)
		}
	}
	get(t, s, ada, "/audit-logs")
	text := log.String()
	refused, good := strings.Count(text, `"status":401`), strings.Count(text, `"status":200`)
	unlogged := metric(t, scrape(t, s), "ocore_audit_log_lines_suppressed_total")
	if refused < 100 || refused > storm/2 || good != 1 || refused+int(unlogged) != storm {
		t.Errorf("%d lines of refusals, %v left out, %d of what went well", refused, unlogged, good)
	}
}

func TestALogLineIsOneLine(t *testing.T) {
	t.Parallel()
	var log lines
	s := testkit.ServeDatabase(t, testkit.NewDatabase(t), logTo(&log))
	long := strings.Repeat("x", 8000)
	for i, path := range []string{
		"/a%0Ab", "/a%0D%0Ab", "/a%1B%5B31mred", "/%E2%80%A8", "/%22,%22level%22:%22ERROR", "/%FF%00", "/" + long,
		"/audit-logs?x=%0A", "/audit-logs/entries/%0A" + long[:100], "/audit-logs/resource/a%0Ab/c",
	} {
		a := send(t, s, ada, http.MethodGet, path, "", "User-Agent", "x\ty", "X-Org-Slug", "acme\u2028")
		if a.status < 400 {
			t.Errorf("%s: %d", path, a.status)
		}
		text := log.String()
		if n := strings.Count(text, "\n"); n != i+1 || strings.ContainsAny(text, "\r\x1b\x00\u2028") || strings.Contains(text, long[:1000]) {
			t.Errorf("%q made %d lines: %q", path, n-i, text)
		}
	}
}

func TestFailuresInsideAreOneLineToo(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]func(io.Writer) slog.Handler{
		"text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"json": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		var log lines
		s := serveLog(t, &brittle{find: func() error { panic(errors.New("a\nb\r\x1b[31m")) }}, slog.New(form(&log)))
		get(t, s, ada, "/audit-logs").problem(t, http.StatusInternalServerError)
		if text := log.String(); strings.Count(text, "\n") != 1 || strings.ContainsAny(text, "\r\x1b") || !strings.Contains(text, "goroutine") {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// However many ask whether it is ready, the database is asked by one at a time.
func TestAStormOfProbesIsOneLook(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var looking, most atomic.Int64
	s := testkit.ServeDatabase(t, testkit.NewDatabase(t), func(o *httpapi.Options) {
		o.Ready = func(context.Context) error {
			most.Store(max(most.Load(), looking.Add(1)))
			defer looking.Add(-1)
			<-release
			return nil
		}
	})
	const probes = 40
	var asking sync.WaitGroup
	for range probes {
		asking.Go(func() {
			if a := get(t, outside(s), audit.Principal{}, "/readyz"); a.status != http.StatusOK {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	testkit.Eventually(t, "all have come", func() bool { return metric(t, scrape(t, s), "ocore_audit_http_requests_in_flight") == probes })
	close(release)
	asking.Wait()
	if most.Load() != 1 {
		t.Errorf("%d looked at once", most.Load())
	}
}
