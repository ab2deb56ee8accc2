package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/docs"
	"ocore.dev/audit/internal/httpapi"
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

// A list of 50 items through gate, validation, router, domain and encoding; without a
// token's verification and net/http's own part.
func BenchmarkListAnswer(b *testing.B) {
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
		b.Fatal(err)
	}
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "/api/audit-logs?page=2&per_page=50", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer token")
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		w.bytes = 0
		handler.ServeHTTP(w, request)
		if w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
	b.SetBytes(w.bytes)
}
