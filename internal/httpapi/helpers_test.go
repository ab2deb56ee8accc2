package httpapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/gen/client"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/testkit"
)

// ada may do everything in acme, but nothing with the admin trail; grace is its operator.
var (
	ada   = testkit.Member("acme")
	grace = testkit.Operator()
)

// as is the member with other permissions.
func as(permissions ...audit.Permission) audit.Principal {
	p := ada
	p.Permissions = permissions
	return p
}

// answer is what came back, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// send calls the operation at path below the base path, as the principal unless that is
// empty. headers are names and values in turn; an empty value leaves a header out.
func send(t testing.TB, s *testkit.Service, by audit.Principal, method, path, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if by.Subject != "" {
		r.Header.Set("Authorization", "Bearer "+testkit.Token(t, by))
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for pair := range slices.Chunk(headers, 2) {
		r.Header.Del(pair[0])
		if pair[1] != "" {
			r.Header.Set(pair[0], pair[1])
		}
	}
	return do(t, s, r)
}

func do(t testing.TB, s *testkit.Service, r *http.Request) answer {
	t.Helper()
	response, err := s.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

func get(t testing.TB, s *testkit.Service, by audit.Principal, path string) answer {
	t.Helper()
	return send(t, s, by, http.MethodGet, path, "")
}

func post(t testing.TB, s *testkit.Service, by audit.Principal, path, body string) answer {
	t.Helper()
	return send(t, s, by, http.MethodPost, path, body)
}

// read decodes an answer that must have the status.
func read[T any](t testing.TB, a answer, status int) T {
	t.Helper()
	var value T
	if a.status != status {
		t.Fatalf("status %d, want %d: %.500s", a.status, status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &value); err != nil {
		t.Fatalf("%v: %.500s", err, a.body)
	}
	return value
}

// page is any list's or export's answer, with each entry as its text.
type page struct {
	Items, Logs []json.RawMessage
	Page        int64
	PerPage     int64
	Total       int64
	NextCursor  string
}

func list(t testing.TB, s *testkit.Service, by audit.Principal, path string) page {
	t.Helper()
	p := read[page](t, get(t, s, by, path), http.StatusOK)
	if p.Items == nil && p.Logs == nil {
		t.Errorf("%s: the list is null", path)
	}
	return p
}

// leak is what only our own code, its libraries or PostgreSQL would say.
var leak = regexp.MustCompile(`(?i)pgx|postgres|sqlstate|goroutine|panic|\.go:|openapi3|kin-|echo|strconv|unmarshal|json:|gzip:|http:|nil pointer|relation|dial |connection refused|127\.0\.0\.1`)

// problem reads an answer that must be a problem of the status, and holds it against what
// is promised of every one.
func (a answer) problem(t testing.TB, status int) client.Problem {
	t.Helper()
	if kind := a.header.Get("Content-Type"); kind != "application/problem+json" {
		t.Errorf("Content-Type %q", kind)
	}
	p := read[client.Problem](t, a, status)
	if err := spec(t).Components.Schemas["Problem"].Value.VisitJSON(read[any](t, a, status)); err != nil {
		t.Errorf("%v: %s", err, a.body)
	}
	slug, known := strings.CutPrefix(p.Type, "https://docs.ocore.dev/audit/problems/")
	if !known || slug == "" || p.Title == "" || int(p.Status) != status || (p.Detail == nil && len(p.Errors) == 0) {
		t.Errorf("not a whole problem: %s", a.body)
	}
	if p.RequestID == "" || p.RequestID != a.header.Get("X-Request-Id") {
		t.Errorf("requestId %q, X-Request-Id %q", p.RequestID, a.header.Get("X-Request-Id"))
	}
	if word := leak.FindString(a.body); word != "" {
		t.Errorf("tells %q: %s", word, a.body)
	}
	return p
}

// pointers lists where a problem's faults are.
func pointers(p client.Problem) []string {
	var found []string
	for _, fault := range p.Errors {
		found = append(found, fault.Pointer)
	}
	return found
}

// anonymous is an answer's body without what differs from request to request.
func (a answer) anonymous() string {
	return strings.ReplaceAll(a.body, a.header.Get("X-Request-Id"), "")
}

// seed records drafts in acme, past HTTP where that would take long.
func seed(t testing.TB, s *testkit.Service, drafts ...audit.Draft) []audit.Receipt {
	t.Helper()
	var all []audit.Receipt
	for batch := range slices.Chunk(drafts, audit.MaxBatch) {
		receipts, err := audit.NewService(s.Store).Record(t.Context(), "acme", ada, batch)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, receipts...)
	}
	return all
}

// numbered makes n drafts of servers srv-0, srv-1, and so on.
func numbered(n int) []audit.Draft {
	drafts := make([]audit.Draft, n)
	for i := range drafts {
		drafts[i] = audit.Draft{Action: "server.updated", ResourceType: "server", ResourceID: fmt.Sprintf("srv-%d", i)}
	}
	return drafts
}

// ids are the ids of entries, in their order.
func ids(t testing.TB, entries []json.RawMessage) []string {
	t.Helper()
	found := make([]string, len(entries))
	for i, entry := range entries {
		var named struct{ ID string }
		if err := json.Unmarshal(entry, &named); err != nil {
			t.Fatal(err)
		}
		found[i] = named.ID
	}
	return found
}

// join makes one text of entries, to compare them byte for byte.
func join(entries []json.RawMessage) string {
	var text bytes.Buffer
	for _, entry := range entries {
		text.Write(entry)
		text.WriteByte('\n')
	}
	return text.String()
}

// next follows an answer's Link, if it has one.
func next(t testing.TB, s *testkit.Service, by audit.Principal, a answer) (answer, bool) {
	t.Helper()
	link := a.header.Get("Link")
	if link == "" {
		return answer{}, false
	}
	target, found := strings.CutSuffix(link, `>; rel="next"`)
	path, rooted := strings.CutPrefix(target, "<"+httpapi.BasePath)
	if !found || !rooted {
		t.Fatalf("Link: %s", link)
	}
	return get(t, s, by, path), true
}

// raw sends bytes as they are, which no client library would, and reads one answer.
func raw(t testing.TB, s *testkit.Service, text string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.URL, "http://"), httpapi.BasePath))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, text)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}
