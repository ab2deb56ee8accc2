package tracing

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// sender is an otlptrace.Client: OTLP over HTTP with Protocol Buffers, by the variables of
// OpenTelemetry's specification of OTLP exporters. OpenTelemetry's own links all of gRPC, which
// is a third of the binary and megabytes of memory even where nothing is traced.
type sender struct {
	url     string
	headers http.Header
	gzip    bool
	client  *http.Client
	pause   time.Duration // before the first repeat; each next is twice as long
}

// variables read one signal's variables: the one for traces wins over the one for all.
type variables func(name string) string

func (get variables) otlp(name string) (value, from string) {
	for _, from := range []string{"OTEL_EXPORTER_OTLP_TRACES_" + name, "OTEL_EXPORTER_OTLP_" + name} {
		if value := strings.TrimSpace(get(from)); value != "" {
			return value, from
		}
	}
	return "", ""
}

// defaultSendTimeout and localCollector are the specification's.
const (
	defaultSendTimeout = 10 * time.Second
	localCollector     = "http://localhost:4318"
)

// newSender fails on a variable that it can't follow: a collector that silently gets nothing
// would be missed when it is needed.
func newSender(get variables) (*sender, error) {
	s := &sender{headers: http.Header{"Content-Type": {"application/x-protobuf"}}, pause: time.Second}
	var err error
	if s.url, err = endpoint(get); err != nil {
		return nil, err
	}
	if value, from := get.otlp("PROTOCOL"); value != "" && value != "http/protobuf" {
		return nil, fmt.Errorf("%s takes http/protobuf, not %q", from, value)
	}
	switch value, from := get.otlp("COMPRESSION"); value {
	case "", "none":
	case "gzip":
		s.gzip = true
		s.headers.Set("Content-Encoding", "gzip")
	default:
		return nil, fmt.Errorf("%s takes gzip or none, not %q", from, value)
	}
	if err := s.addHeaders(get); err != nil {
		return nil, err
	}
	timeout := defaultSendTimeout
	if value, from := get.otlp("TIMEOUT"); value != "" {
		ms, err := strconv.Atoi(value)
		if err != nil || ms <= 0 {
			return nil, fmt.Errorf("%s takes milliseconds, not %q", from, value)
		}
		timeout = time.Duration(ms) * time.Millisecond
	}
	transport, err := transport(get)
	if err != nil {
		return nil, err
	}
	s.client = &http.Client{Timeout: timeout, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // nobody else is meant to have spans, and headers that may be secrets
	}}
	return s, nil
}

// endpoint is the variable for traces as it stands, or the one for all with its path added.
func endpoint(get variables) (string, error) {
	value, from := get.otlp("ENDPOINT")
	value = cmp.Or(value, localCollector)
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%s is no URL such as %s", from, localCollector)
	}
	if from != "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" {
		u = u.JoinPath("v1", "traces")
	}
	return u.String(), nil
}

// addHeaders reads name=value pairs, percent-encoded, as of W3C Baggage without properties.
func (s *sender) addHeaders(get variables) error {
	list, from := get.otlp("HEADERS")
	for pair := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, found := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !found || name == "" || err != nil {
			return fmt.Errorf("%s takes pairs such as name=value,other=value, percent-encoded", from) // without them: they may be secrets
		}
		s.headers.Set(name, value)
	}
	return nil
}

// transport trusts the authorities of the system or of a file, and shows a certificate if told.
func transport(get variables) (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if file, from := get.otlp("CERTIFICATE"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", from, err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: %s holds no certificate", from, file)
		}
	}
	certificate, from := get.otlp("CLIENT_CERTIFICATE")
	key, _ := get.otlp("CLIENT_KEY")
	if certificate == "" && key == "" {
		return t, nil
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cmp.Or(from, "OTEL_EXPORTER_OTLP_CLIENT_KEY"), err)
	}
	t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	return t, nil
}

// Start implements otlptrace.Client; there is nothing to begin.
func (s *sender) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (s *sender) Stop(context.Context) error {
	s.client.CloseIdleConnections()
	return nil
}

// attempts bounds how often one batch is sent, while later ones wait.
const attempts = 4

// UploadTraces implements otlptrace.Client. What a collector refuses for now is repeated, what it
// refuses for good is not (the specification of OTLP, "Failures").
func (s *sender) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := s.encode(spans)
	if err != nil {
		return err
	}
	pause := s.pause
	for attempt := 1; ; attempt++ {
		passing, err := s.post(ctx, body)
		if err == nil || !passing || attempt == attempts {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// encode writes an ExportTraceServiceRequest, of which TracesData is the twin in a package that
// doesn't link gRPC.
func (s *sender) encode(spans []*tracepb.ResourceSpans) ([]byte, error) {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil || !s.gzip {
		return body, err
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// maxAnswer bounds what is read of a collector's answer, so that its connection can be used again.
const maxAnswer = 64 << 10

func (s *sender) post(ctx context.Context, body []byte) (passing bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	r.Header = s.headers.Clone()
	response, err := s.client.Do(r)
	if err != nil {
		return true, err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer))
	switch code := response.StatusCode; {
	case code < http.StatusMultipleChoices:
		return false, nil
	case code == http.StatusTooManyRequests, code == http.StatusBadGateway, code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		passing = true
	}
	return passing, fmt.Errorf("the collector answers %s", response.Status)
}
