package main

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver is an OTLP/HTTP receiver, and what it was sent.
type receiver struct {
	url      string
	mutex    sync.Mutex
	spans    []*tracepb.Span
	resource map[string]string
	header   http.Header
	raw      bytes.Buffer
}

func newCollector(t *testing.T) *receiver {
	t.Helper()
	c := &receiver{resource: map[string]string{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var sent tracepb.TracesData // on the wire an ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, &sent) != nil {
			t.Errorf("%s %s isn't OTLP: %v", r.Method, r.URL, err)
		}
		c.mutex.Lock()
		defer c.mutex.Unlock()
		c.raw.Write(body)
		c.header = r.Header
		for _, of := range sent.GetResourceSpans() {
			for _, a := range of.GetResource().GetAttributes() {
				c.resource[a.GetKey()] = a.GetValue().GetStringValue()
			}
			for _, scope := range of.GetScopeSpans() {
				c.spans = append(c.spans, scope.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// all are the spans that came so far.
func (c *receiver) all() []*tracepb.Span {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return slices.Clone(c.spans)
}

// named are those of one name.
func (c *receiver) named(name string) (found []*tracepb.Span) {
	for _, s := range c.all() {
		if s.GetName() == name {
			found = append(found, s)
		}
	}
	return found
}

func attribute(s *tracepb.Span, name string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() != name {
			continue
		}
		if n, ok := a.GetValue().GetValue().(*common.AnyValue_IntValue); ok {
			return fmt.Sprint(n.IntValue)
		}
		return a.GetValue().GetStringValue()
	}
	return ""
}

// send calls the API; headers are pairs.
func (s *instance) send(t *testing.T, token, method, path, body string, headers ...string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for pair := range slices.Chunk(headers, 2) {
		r.Header.Add(pair[0], pair[1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	defer response.Body.Close()
	answered, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return response.StatusCode, answered
}

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
)

// What an operator's collector gets of the real process, and what it must never get.
func TestTraces(t *testing.T) {
	t.Parallel()
	to := newCollector(t)
	dir := folder(t)
	s := startWith(t, []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.url, "OTEL_EXPORTER_OTLP_HEADERS=authorization=a%20secret%20of%20the%20collector",
		"OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test", "OTEL_BSP_SCHEDULE_DELAY=50",
	}, dir, "--log-format", "json")
	token := strings.TrimSpace(output(t, dir, "token"))
	entry := `{"id":"SENT-id","action":"SENT-action","resourceType":"SENT-type","resourceId":"SENT-resource","userId":"SENT-user","afterState":{"SENT-key":"SENT-value"}}`
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPost, "/api/audit-logs", entry, 201},
		{http.MethodGet, "/api/audit-logs?action=SENT-action&user_id=SENT-user", "", 200},
		{http.MethodGet, "/api/audit-logs/entries/SENT-id", "", 200},
		{http.MethodGet, "/api/audit-logs/resource/SENT-type/SENT-resource", "", 200},
		{http.MethodGet, "/api/audit-logs?SENT=1", "", 400},
		{http.MethodGet, "/SENT/path", "", 404},
		{"SENT", "/api/audit-logs", "", 405},
		{http.MethodGet, "/healthz", "", 200},
	} {
		if status, body := s.send(t, token, c.method, c.path, c.body, "traceparent", "00-"+callersTrace+"-"+callersSpan+"-01",
			"tracestate", "sent=SENT-state", "X-Request-Id", "r-1", "User-Agent", "SENT-agent", "Baggage", "SENT=SENT", "X-Forwarded-For", "SENT"); status != c.status {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
	}
	s.send(t, "SENT-token", http.MethodGet, "/api/audit-logs", "") // without a parent
	s.stop(t, syscall.SIGTERM)

	seen := map[string]int{}
	inside := map[string]bool{}
	for _, span := range to.all() {
		if hex.EncodeToString(span.GetTraceId()) == callersTrace {
			inside[span.GetName()] = true
		}
		if span.GetKind() != tracepb.Span_SPAN_KIND_SERVER {
			continue
		}
		seen[span.GetName()+" "+attribute(span, "http.response.status_code")]++
		called := hex.EncodeToString(span.GetParentSpanId()) == callersSpan && hex.EncodeToString(span.GetTraceId()) == callersTrace
		if unknown := attribute(span, "http.response.status_code") == "401"; called == unknown || unknown && len(span.GetParentSpanId()) > 0 {
			t.Errorf("the parent of %s is %x in %x", span.GetName(), span.GetParentSpanId(), span.GetTraceId())
		}
		if called && attribute(span, "ocore_audit.request_id") != "r-1" {
			t.Errorf("%v has no request id", span)
		}
		if strings.Contains(span.GetName(), " ") && attribute(span, "http.request.method")+" "+attribute(span, "http.route") != span.GetName() {
			t.Errorf("%v isn't named by its route", span)
		}
	}
	want := map[string]int{
		"POST /api/audit-logs 201": 1, "GET /api/audit-logs 200": 1, "GET /api/audit-logs/entries/{id} 200": 1,
		"GET /api/audit-logs/resource/{type}/{id} 200": 1, "GET /api/audit-logs 400": 1, "GET 404": 1, "HTTP 405": 1, "GET /api/audit-logs 401": 1,
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("requests are %v, want %v", seen, want)
	}
	for _, name := range []string{"append", "commit"} {
		if !inside[name] {
			t.Errorf("nothing in the caller's trace is called %s: %v", name, inside)
		}
	}
	statements := regexp.MustCompile(`\bHeadLock\b.*\bEntryKnown\b`)
	if !slices.ContainsFunc(to.all(), func(s *tracepb.Span) bool {
		return statements.MatchString(s.GetName()) && attribute(s, "db.system.name") == "postgresql"
	}) {
		t.Errorf("no statements of a commit: %v", inside)
	}
	for name, want := range map[string]string{"service.name": "ocore-audit", "service.version": version, "deployment.environment.name": "test"} {
		if to.resource[name] != want {
			t.Errorf("%s is %q, want %q", name, to.resource[name], want)
		}
	}
	if got := to.header.Get("Authorization"); got != "a secret of the collector" {
		t.Errorf("the collector is sent %q", got)
	}
	for _, never := range []string{"SENT", "acme", "developer", token, "127.0.0.1"} {
		if bytes.Contains(to.raw.Bytes(), []byte(never)) {
			t.Errorf("a span holds %q", never)
		}
	}
	if log := s.log.String(); strings.Count(log, `"trace_id":"`+callersTrace+`"`) != 7 || strings.Contains(log, "secret of") || strings.Contains(log, "traces") {
		t.Errorf("the log doesn't name the trace: %s", log)
	}
}

// Each request that waited for a commit leads to it, and it to each of them.
func TestCommitsAreLinkedToTheirRequests(t *testing.T) {
	t.Parallel()
	to := newCollector(t)
	dir := folder(t)
	s := startWith(t, []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + to.url + "/v1/traces", "OTEL_SERVICE_NAME=trail"}, dir)
	token := strings.TrimSpace(output(t, dir, "token"))
	const calls = 40
	var sending sync.WaitGroup
	for range calls {
		sending.Go(func() {
			if status, body := s.send(t, token, http.MethodPost, "/api/audit-logs", `{"action":"a.b","resourceType":"r"}`); status != http.StatusCreated {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	sending.Wait()
	s.stop(t, syscall.SIGTERM)
	appends, commits := to.named("append"), to.named("commit")
	carried := map[string]string{} // append → commit
	requests := 0
	for _, c := range commits {
		for _, link := range c.GetLinks() {
			carried[string(link.GetSpanId())] = string(c.GetSpanId())
		}
		var n int
		fmt.Sscan(attribute(c, "ocore_audit.requests"), &n)
		if requests += n; n != len(c.GetLinks()) {
			t.Errorf("a commit of %d requests has %d links", n, len(c.GetLinks()))
		}
	}
	if len(appends) != calls || requests != calls || len(carried) != calls {
		t.Errorf("%d appends, %d commits of %d requests with links to %d", len(appends), len(commits), requests, len(carried))
	}
	for _, a := range appends {
		if links := a.GetLinks(); len(links) != 1 || string(links[0].GetSpanId()) != carried[string(a.GetSpanId())] {
			t.Errorf("an append doesn't lead to its commit: %v", a)
		}
	}
	if to.resource["service.name"] != "trail" {
		t.Errorf("the service is called %q", to.resource["service.name"])
	}
}

// A collector that is gone, or that takes a connection and never answers, costs nobody anything
// but the end of the process a few seconds.
func TestATraceCollectorThatIsNotThere(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for name, address := range map[string]string{"gone": gone.Addr().String(), "silent": silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t)
			s := startWith(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + address, "OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_BSP_MAX_QUEUE_SIZE=4"}, dir)
			token := strings.TrimSpace(output(t, dir, "token"))
			for range 50 {
				if status, body := s.send(t, token, http.MethodPost, "/api/audit-logs", `{"action":"a.b","resourceType":"r"}`); status != http.StatusCreated {
					t.Fatalf("%d %s", status, body)
				}
			}
			begun := time.Now()
			s.stop(t, syscall.SIGTERM)
			// 2 s of notice and 5 s for the collector; the rest is for a machine under load.
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("it stopped after %s", took)
			}
			if !strings.Contains(s.log.String(), "traces were not sent") {
				t.Errorf("the log says nothing: %s", s.log.String())
			}
		})
	}
}

// Nothing is sent that nobody asked for, and what can't be done is told at the start.
func TestTracesAreOffUnlessConfigured(t *testing.T) {
	t.Parallel()
	to := newCollector(t)
	for _, c := range []struct {
		variables []string
		fault     string // "" for none
	}{
		{[]string{"OTEL_SERVICE_NAME=x"}, ""},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.url, "OTEL_SDK_DISABLED=true"}, ""},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.url, "OTEL_TRACES_EXPORTER=none"}, ""},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.url, "OTEL_TRACES_SAMPLER=always_off"}, ""},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=localhost:4317"}, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.url, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{[]string{"OTEL_TRACES_EXPORTER=zipkin"}, "OTEL_TRACES_EXPORTER"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.url, "OTEL_TRACES_SAMPLER=sometimes"}, "sampler"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.url, "OTEL_RESOURCE_ATTRIBUTES=nonsense"}, "traces"},
	} {
		t.Run(strings.Join(c.variables, " "), func(t *testing.T) {
			t.Parallel()
			dir := folder(t)
			if c.fault == "" {
				s := startWith(t, c.variables, dir)
				if status, _ := s.send(t, strings.TrimSpace(output(t, dir, "token")), http.MethodGet, "/api/audit-logs", "", "traceparent", "00-"+callersTrace+"-"+callersSpan+"-01"); status != http.StatusOK {
					t.Errorf("%d", status)
				}
				s.stop(t, syscall.SIGTERM)
				return
			}
			process := command(t.Context(), dir, "run", "--listen", "127.0.0.1:0")
			process.Env = append(process.Env, c.variables...)
			said, _ := process.CombinedOutput()
			if code := process.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(string(said), c.fault) {
				t.Errorf("exits with %d: %s", code, said)
			}
		})
	}
	t.Cleanup(func() {
		if spans := to.all(); len(spans) > 0 {
			t.Errorf("%d spans were sent: %v", len(spans), cmp.Or(spans...))
		}
	})
}
