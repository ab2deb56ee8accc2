package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/docs"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/metrics"
	"ocore.dev/audit/internal/testkit"
)

// ample is a store with ten thousand large entries.
type ample struct{ audit.Store }

func (ample) Append(_ context.Context, s audit.Submission) ([]audit.Receipt, error) {
	return make([]audit.Receipt, len(s.Entries)), nil
}

func (ample) Find(_ context.Context, _ string, _ audit.Filter, w audit.Window) (audit.Found, error) {
	return audit.Found{Size: 1e6, Total: 1e6, Positions: audit.Span{High: 1e6}.Descending(0, w.Limit)}, nil
}

func (ample) Rows(_ context.Context, _ string, positions []int64, visit func(audit.Row)) error {
	for _, p := range positions {
		visit(audit.Row{Position: p, CreatedAt: time.Now(), Text: fmt.Appendf(nil, `{"id":"e-%d","note":"%s"}`, p, strings.Repeat("n", 8000))})
	}
	return nil
}

// impatient is a service with time-outs that a test can wait for.
func impatient(t *testing.T, chunk time.Duration) *testkit.Service {
	t.Helper()
	return impatientTo(t, chunk, slog.New(slog.DiscardHandler))
}

func impatientTo(t *testing.T, chunk time.Duration, log *slog.Logger) *testkit.Service {
	t.Helper()
	counts := metrics.New("test")
	handler, err := httpapi.New(httpapi.Options{
		Service: audit.NewService(ample{}), Authenticator: trusting{}, Docs: docs.Handler, Log: log, Metrics: counts,
		Ready: func(context.Context) error { return nil }, ChunkTimeout: chunk,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config = httpapi.NewServer(handler, log)
	server.Config.ReadHeaderTimeout = 200 * time.Millisecond
	server.Config.ReadTimeout = 400 * time.Millisecond
	server.Config.IdleTimeout = 200 * time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	return &testkit.Service{URL: server.URL + httpapi.BasePath, HTTP: server.Client(), Metrics: counts}
}

func dial(t *testing.T, s *testkit.Service) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.URL, "http://"), httpapi.BasePath))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second)) // for the test to fail
	return conn
}

const listHead = "GET /api/audit-logs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n"

func TestWhoSendsTooSlowlyIsCutOff(t *testing.T) {
	t.Parallel()
	s := impatient(t, 200*time.Millisecond)
	for name, c := range map[string]struct{ send, then string }{
		"nothing":             {"", ""},
		"half a head":         {listHead, "x"},
		"a head by the byte":  {"GET /", "a"},
		"an idle connection":  {listHead + "\r\n", ""},
		"headers without end": {listHead, "X-More: x\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, s)
			io.WriteString(conn, c.send)
			go func() {
				for c.then != "" { // until the connection is gone
					time.Sleep(20 * time.Millisecond)
					if _, err := io.WriteString(conn, c.then); err != nil {
						return
					}
				}
			}()
			answered, err := io.ReadAll(conn)
			if own, timedOut := errors.AsType[net.Error](err); timedOut && own.Timeout() {
				t.Errorf("the connection stays open after %q", answered)
			}
		})
	}
}

func TestABodyThatDoesNotComeIsAProblem(t *testing.T) {
	t.Parallel()
	s := impatient(t, 200*time.Millisecond)
	const head = "POST /api/audit-logs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Type: application/json\r\n"
	for name, c := range map[string]struct{ send, then string }{
		"half a body":            {head + "Content-Length: 1000\r\n\r\n{", ""},
		"a body by the byte":     {head + "Content-Length: 1000\r\n\r\n{", " "},
		"half a chunk":           {head + "Transfer-Encoding: chunked\r\n\r\n10\r\n{", ""},
		"chunks by the byte":     {head + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "1\r\n \r\n"},
		"half a compressed head": {head + "Content-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n\x1f\x8b", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bodyThatDoesNotCome(t, s, c.send, c.then)
		})
	}
}

func bodyThatDoesNotCome(t *testing.T, s *testkit.Service, send, then string) {
	t.Helper()
	conn := dial(t, s)
	io.WriteString(conn, send)
	go func() {
		for then != "" {
			time.Sleep(20 * time.Millisecond)
			if _, err := io.WriteString(conn, then); err != nil {
				return
			}
		}
	}()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	answer{response.StatusCode, response.Header, string(body)}.problem(t, http.StatusBadRequest)
	if !response.Close {
		t.Error("the connection is kept")
	}
}

// Exports last as long as each part is taken in time; then nothing of them is left, and
// what was sent doesn't look whole. The log says so, as the operator's trouble that it may be.
func TestWhoDoesNotReadAnExportIsCutOff(t *testing.T) {
	t.Parallel()
	var log lines
	s := impatientTo(t, 200*time.Millisecond, slog.New(slog.NewJSONHandler(&log, nil)))
	conn := dial(t, s)
	io.WriteString(conn, "GET /api/audit-logs/export HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n")
	inFlight := func() float64 { return metric(t, scrape(t, s), "ocore_audit_http_requests_in_flight") }
	testkit.Eventually(t, "the export has begun", func() bool { return inFlight() == 1 })
	testkit.Eventually(t, "the export is given up", func() bool { return inFlight() == 0 })
	running(t, s, "exports", 0)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got bytes.Buffer
	if n, err := io.Copy(&got, response.Body); err == nil {
		t.Errorf("an export of %d bytes that was given up looks whole", n)
	}
	if line := log.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, `"level":"ERROR"`) || !strings.Contains(line, `"operation":"exportAuditLogs"`) || !strings.Contains(line, "timeout") {
		t.Errorf("logged %s", line)
	}
}

func TestAnExportThatIsReadSlowlyGoesOn(t *testing.T) {
	t.Parallel()
	s := impatient(t, time.Second)
	response, err := s.HTTP.Get(s.URL + "/audit-logs/export")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	begun := time.Now()
	part := make([]byte, 1<<20)
	var read int
	for time.Since(begun) < 1500*time.Millisecond { // longer than a part may take
		n, err := io.ReadAtLeast(response.Body, part, len(part))
		if err != nil {
			t.Fatalf("after %d bytes: %v", read, err)
		}
		read += n
		time.Sleep(40 * time.Millisecond)
	}
	rest, err := io.Copy(io.Discard, response.Body)
	if total := int64(read) + rest; err != nil || total < 80e6 {
		t.Errorf("%d bytes: %v", total, err)
	}
}

func TestHeadsAreBounded(t *testing.T) {
	t.Parallel()
	s := impatient(t, 200*time.Millisecond)
	conn := dial(t, s)
	go io.WriteString(conn, listHead+"X-Long: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge || !response.Close {
		t.Errorf("%s", response.Status)
	}
}
