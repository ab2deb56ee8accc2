package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/docs"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/merkle"
)

// ready is a Store that has a page in memory, so that what is measured is all but the
// database.
type ready struct {
	audit.Store
	rows []audit.Row
}

func (r ready) Newest(_ context.Context, _ string, _ audit.Window, visit func(audit.Row)) (audit.Found, error) {
	for _, row := range r.rows {
		visit(row)
	}
	positions := audit.Span{High: 5_000_000}.Descending(50, 50)
	return audit.Found{Size: 5_000_000, Total: 5_000_000, Positions: positions}, nil
}

// discard is a ResponseWriter that counts.
type discard struct {
	header http.Header
	status int
	bytes  int64
}

func (d *discard) Header() http.Header { return d.header }

func (d *discard) WriteHeader(status int) { d.status = status }

func (d *discard) Write(body []byte) (int, error) {
	d.bytes += int64(len(body))
	return len(body), nil
}

// listOf50 asks a handler for a list of 50 items, through gate, validation, router, domain and
// encoding; without a token's verification and net/http's own part.
func listOf50(tb testing.TB) (ask func(), bytes func() int64) {
	tb.Helper()
	rows := make([]audit.Row, 50)
	for i := range rows {
		text := fmt.Sprintf(`{"id":"0199f3c2-7d5e-7c31-9a51-3f8f0f7c%04x","action":"deployment.triggered","resourceType":"deployment",`+
			`"resourceId":"checkout-7","userId":"user-1","userName":"Ada","beforeState":{"status":"running","revision":118},`+
			`"afterState":{"status":"pending","revision":119,"note":%q},"recordedBy":"control-plane"}`, i, make([]byte, 60))
		rows[i] = audit.Row{Position: int64(4_999_999 - i), CreatedAt: time.Date(2026, 11, 23, 6, 5, 0, 0, time.UTC), Text: []byte(text)}
	}
	handler, err := httpapi.New(httpapi.Options{
		Service: audit.NewService(ready{rows: rows}), Authenticator: trusting{},
		Ready: func(context.Context) error { return nil }, Docs: docs.Handler, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "/api/audit-logs?page=2&per_page=50", http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer token")
	w := &discard{header: http.Header{}}
	return func() {
		clear(w.header)
		w.bytes = 0
		handler.ServeHTTP(w, request)
		if w.status != http.StatusOK {
			tb.Fatal(w.status)
		}
	}, func() int64 { return w.bytes }
}

func BenchmarkListAnswer(b *testing.B) {
	ask, bytes := listOf50(b)
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
	b.SetBytes(bytes())
}

// Most of what a request costs is what is made for it.
func TestAListMakesLittle(t *testing.T) {
	ask, _ := listOf50(t)
	if made := testing.AllocsPerRun(200, ask); made > 40 {
		t.Errorf("%.0f allocations for a list; 40 are allowed", made)
	}
}

// sealing is a Store that does with a submission what needs no database.
type sealing struct{ audit.Store }

func (sealing) Append(_ context.Context, s audit.Submission) ([]audit.Receipt, error) {
	receipts := make([]audit.Receipt, len(s.Entries))
	for i, e := range s.Entries {
		sealed, err := audit.NewSealed(s.Organization, e.Seal(s.RecordedBy, time.Time{}))
		if err != nil {
			return nil, err
		}
		at := time.Date(2026, 11, 23, 6, 5, 0, 0, time.UTC)
		hash := merkle.LeafHash(sealed.Leaf(at))
		receipts[i] = audit.Receipt{ID: e.ID, Row: audit.Row{Position: int64(i), CreatedAt: at, Text: sealed.Text}, LeafHash: hash}
	}
	return receipts, nil
}

const sentEntry = `{"action":"deployment.triggered","resourceType":"deployment","resourceId":"5b0c2f0e-6a0e-4a55-9d0e-0d7d9f7a1c11",` +
	`"resourceName":"checkout-7","userId":"8d1d3f52-1d59-4c43-8f2f-7f0a0a5f2a90","userName":"Amélie Fournier","ipAddress":"203.0.113.112",` +
	`"userAgent":"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",` +
	`"beforeState":{"status":"running","region":"eu-central-1","revision":118,"size":"s-2vcpu-4gb","image":"registry.example/shop:4.12.3","labels":{"team":"shop","tier":"1"}},` +
	`"afterState":{"status":"pending","region":"eu-central-1","revision":119,"size":"s-2vcpu-4gb","image":"registry.example/shop:4.13.0","labels":{"team":"shop","tier":"1"}}}`

// Entries through gate, validation, binding, admission and sealing; without a token's
// verification, the database and net/http's own part.
func BenchmarkRecord(b *testing.B) {
	handler, err := httpapi.New(httpapi.Options{
		Service: audit.NewService(sealing{}), Authenticator: always{both()},
		Ready: func(context.Context) error { return nil }, Docs: docs.Handler, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, of := range []struct{ name, path, body string }{
		{"one", "/api/audit-logs", sentEntry},
		{"batch of 100", "/api/audit-logs/batch", `{"items":[` + strings.Repeat(sentEntry+",", 99) + sentEntry + `]}`},
	} {
		b.Run(of.name, func(b *testing.B) {
			w := &discard{header: http.Header{}}
			b.SetBytes(int64(len(of.body)))
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, of.path, strings.NewReader(of.body))
				if err != nil {
					b.Fatal(err)
				}
				request.Header.Set("Content-Type", "application/json")
				handler.ServeHTTP(w, request)
				if w.status != http.StatusCreated {
					b.Fatal(w.status)
				}
			}
		})
	}
}
