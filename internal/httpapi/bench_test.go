package httpapi_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/testkit"
)

// calls sends the request n times past the checker, as a client would that reuses its
// connection.
func calls(b *testing.B, s *testkit.Service, method, path, body string) {
	b.Helper()
	token := testkit.Token(b, testkit.Member("acme"))
	client := &http.Client{}
	b.ReportAllocs()
	for b.Loop() {
		request, err := http.NewRequestWithContext(b.Context(), method, s.URL+path, bytes.NewReader([]byte(body)))
		if err != nil {
			b.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode/100 != 2 {
			b.Fatal(response.Status)
		}
	}
}

func filled(b *testing.B) *testkit.Service {
	b.Helper()
	s := testkit.NewService(b)
	for from := range 20 {
		drafts := make([]audit.Draft, 1000)
		for i := range drafts {
			state := fmt.Appendf(nil, `{"region":"fra1","memoryGiB":%d,"note":%q}`, i, strings.Repeat("n", i%400))
			drafts[i] = audit.Draft{
				Action: fmt.Sprint("server.updated.", i%7), ResourceType: "server", ResourceID: fmt.Sprint("web-", i%200), UserID: fmt.Sprint("user-", i%50),
				UserName: "Ada Lovelace", IPAddress: "192.0.2.14", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)", BeforeState: state, AfterState: state,
			}
		}
		_, err := audit.NewService(s.Store).Record(b.Context(), "acme", testkit.Member("acme"), drafts)
		if err != nil {
			b.Fatal(from, err)
		}
	}
	return s
}

func BenchmarkListPage(b *testing.B) { calls(b, filled(b), "GET", "/audit-logs?per_page=50", "") }

func BenchmarkListFilteredPage(b *testing.B) {
	calls(b, filled(b), "GET", "/audit-logs?per_page=50&page=20&action=server.updated.3", "")
}

func BenchmarkExport(b *testing.B) { calls(b, filled(b), "GET", "/audit-logs/export", "") }

func BenchmarkRecordBatch(b *testing.B) {
	entry := `{"action":"server.updated","resourceType":"server","resourceId":"web-01","userId":"ada","userName":"Ada Lovelace","ipAddress":"192.0.2.14",` +
		`"userAgent":"Mozilla/5.0 (X11; Linux x86_64)","beforeState":{"region":"fra1","memoryGiB":4,"note":"` + strings.Repeat("n", 150) + `"},"afterState":{"region":"fra1","memoryGiB":8,"note":"` + strings.Repeat("n", 150) + `"}}`
	calls(b, testkit.NewService(b), "POST", "/audit-logs/batch", `{"items":[`+strings.Repeat(entry+",", 999)+entry+`]}`)
}
