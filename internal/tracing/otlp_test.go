package tracing

import (
	"compress/gzip"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

func environment(pairs ...string) variables {
	return func(name string) string {
		for _, pair := range pairs {
			if value, found := strings.CutPrefix(pair, name+"="); found {
				return value
			}
		}
		return ""
	}
}

func TestWhereTracesGo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		variables []string
		url       string // "" for an error
	}{
		{nil, "http://localhost:4318/v1/traces"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://a:4318"}, "http://a:4318/v1/traces"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT= https://a/otlp/ "}, "https://a/otlp/v1/traces"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://b/here?key=1"}, "https://b/here?key=1"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=a:4317"}, ""},
		{[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=/v1/traces"}, ""},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=unix:///a"}, ""},
		{[]string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc"}, ""},
		{[]string{"OTEL_EXPORTER_OTLP_COMPRESSION=brotli"}, ""},
		{[]string{"OTEL_EXPORTER_OTLP_TIMEOUT=10s"}, ""},
		{[]string{"OTEL_EXPORTER_OTLP_HEADERS=a secret"}, ""},
		{[]string{"OTEL_EXPORTER_OTLP_HEADERS=a=%zz secret"}, ""},
		{[]string{"OTEL_EXPORTER_OTLP_CERTIFICATE=/nowhere"}, ""},
		{[]string{"OTEL_EXPORTER_OTLP_CERTIFICATE=otlp_test.go"}, ""},
		{[]string{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=/nowhere"}, ""},
	} {
		s, err := newSender(environment(c.variables...))
		switch {
		case c.url == "" && (err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_") || strings.Contains(err.Error(), "secret")):
			t.Errorf("%v: %v", c.variables, err)
		case c.url != "" && (err != nil || s.url != c.url):
			t.Errorf("%v: %v, %v", c.variables, s, err)
		}
	}
}

// A collector behind TLS that refuses for now, and one that refuses for good.
func TestSending(t *testing.T) {
	t.Parallel()
	var answers atomic.Value
	var got []string
	collector := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(unpacked)
		var sent tracepb.TracesData
		if err != nil || proto.Unmarshal(body, &sent) != nil || len(sent.GetResourceSpans()) != 1 || sent.GetResourceSpans()[0].GetSchemaUrl() != "x" {
			t.Errorf("%v %v", &sent, err)
		}
		got = append(got, r.Header.Get("A")+" "+r.Header.Get("B")+" "+r.Header.Get("Content-Type")+" "+r.URL.Path)
		codes := answers.Load().([]int)
		answers.Store(codes[1:])
		w.WriteHeader(codes[0])
	}))
	collector.Config.ErrorLog = log.New(io.Discard, "", 0) // of the stranger's handshakes
	collector.StartTLS()
	defer collector.Close()
	trusted := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: collector.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	variables := []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_EXPORTER_OTLP_TIMEOUT=20000",
		"OTEL_EXPORTER_OTLP_HEADERS=other=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=%2C1, b = x=y",
	}
	spans := []*tracepb.ResourceSpans{{SchemaUrl: "x"}}
	stranger, err := newSender(environment(variables...))
	if err != nil {
		t.Fatal(err)
	}
	stranger.pause = time.Millisecond
	if err := stranger.UploadTraces(t.Context(), spans); !untrusted(err) {
		t.Errorf("a collector that nobody trusts: %v", err)
	}
	s, err := newSender(environment(append(variables, "OTEL_EXPORTER_OTLP_CERTIFICATE="+trusted)...))
	if err != nil {
		t.Fatal(err)
	}
	s.pause = time.Millisecond
	for _, c := range []struct {
		answers []int
		calls   int
		ok      bool
	}{
		{[]int{200}, 1, true},
		{[]int{202}, 1, true},
		{[]int{503, 429, 200}, 3, true},
		{[]int{502, 504, 503, 503, 200}, 4, false},
		{[]int{400, 200}, 1, false},
		{[]int{401, 200}, 1, false},
	} {
		got = nil
		answers.Store(c.answers)
		if err := s.UploadTraces(t.Context(), spans); (err == nil) != c.ok || len(got) != c.calls {
			t.Errorf("%v: %d calls, %v", c.answers, len(got), err)
		}
		for _, call := range got {
			if call != ",1 x=y application/x-protobuf /v1/traces" {
				t.Errorf("sent %q", call)
			}
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func untrusted(err error) bool {
	_, is := errors.AsType[x509.UnknownAuthorityError](err)
	return is
}

// A redirect would hand spans to somebody else, and headers that net/http doesn't know to be secrets.
func TestACollectorLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer elsewhere.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		collector := httptest.NewServer(http.RedirectHandler(elsewhere.URL, code))
		s, err := newSender(environment("OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_EXPORTER_OTLP_HEADERS=x-api-key=secret"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.UploadTraces(t.Context(), []*tracepb.ResourceSpans{{}}); err == nil {
			t.Errorf("%d is taken for success", code)
		}
		collector.Close()
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("followed %d times", n)
	}
}
