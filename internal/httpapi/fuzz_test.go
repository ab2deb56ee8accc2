package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/docs"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/testkit"
)

// remembering is a store of one trail that knows no more than what it was given last: fuzz
// targets would wait for a real one. What they found is sent to a real one by
// TestWhatFuzzingFoundIsStoredAsSent.
type remembering struct {
	audit.Store
	rows   []audit.Row
	ids    []string
	filter audit.Filter
	asked  bool
	trails []string // of which something was read, and written
	grown  []string
}

func (m *remembering) Append(_ context.Context, s audit.Submission) ([]audit.Receipt, error) {
	m.grown = append(m.grown, s.Organization)
	var receipts []audit.Receipt
	for _, e := range s.Entries {
		row := audit.Row{Position: int64(len(m.rows)), CreatedAt: time.Unix(1, 0), Text: e.Seal(s.RecordedBy, time.Time{})}
		m.rows, m.ids = append(m.rows, row), append(m.ids, e.ID)
		receipts = append(receipts, audit.Receipt{ID: e.ID, Row: row})
	}
	return receipts, nil
}

func (m *remembering) Find(_ context.Context, organization string, f audit.Filter, w audit.Window) (audit.Found, error) {
	m.filter, m.asked, m.trails = f, true, append(m.trails, organization)
	return audit.Found{Size: max(0, w.Size)}, nil
}

func (m *remembering) Newest(ctx context.Context, organization string, w audit.Window, _ func(audit.Row)) (audit.Found, error) {
	return m.Find(ctx, organization, audit.Filter{}, w)
}

func (m *remembering) CountValues(context.Context, string, audit.Column, []int64, int64) ([]audit.ValueCount, int64, error) {
	return nil, 0, nil
}

func (m *remembering) Rows(_ context.Context, organization string, positions []int64, visit func(audit.Row)) error {
	m.trails = append(m.trails, organization)
	for range positions {
		visit(audit.Row{})
	}
	return nil
}

func (m *remembering) Entry(_ context.Context, organization, id string) (audit.Row, error) {
	m.trails = append(m.trails, organization)
	if i := slices.Index(m.ids, id); i >= 0 {
		return m.rows[i], nil
	}
	return audit.Row{}, audit.ErrNotFound
}

// always takes anybody for somebody.
type always struct{ principal audit.Principal }

func (a always) Authenticate(context.Context, []string) (audit.Principal, error) {
	return a.principal, nil
}

// both may do what ada may, and what grace may.
func both() audit.Principal {
	p := ada
	p.Permissions = slices.Concat(ada.Permissions, grace.Permissions)
	return p
}

// patient is a connection that takes as long as it takes, which exports ask for.
type patient struct{ *httptest.ResponseRecorder }

func (patient) SetWriteDeadline(time.Time) error { return nil }

// fuzzed is the handler over a store, without a network between.
func fuzzed(t testing.TB, store audit.Store, by audit.Principal) http.Handler {
	t.Helper()
	handler, err := httpapi.New(httpapi.Options{
		Service: audit.NewService(store), Authenticator: always{by}, Docs: docs.Handler, Log: slog.New(slog.DiscardHandler),
		Ready: func(context.Context) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

func serveOne(handler http.Handler, r *http.Request) answer {
	w := httptest.NewRecorder()
	handler.ServeHTTP(patient{w}, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

func newCall(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	path, query, _ := strings.Cut(target, "?")
	r.URL = &url.URL{Path: httpapi.BasePath + path, RawQuery: query}
	r.Header.Set("Content-Type", "application/json")
	return r
}

// bodies are the paths that take one, with the schema of each.
var bodies = []struct{ path, schema string }{
	{"/audit-logs", "NewAuditLog"}, {"/audit-logs/batch", "NewAuditLogBatch"}, {"/admin/audit-logs", "NewAdminAuditLog"},
}

// FuzzBody holds three readers of a body against each other: the document's validator on what
// the standard library decodes, the generated binder, and admission. What the schema forbids
// is never stored, what it allows is stored or a 422, and what is stored is what was sent.
func FuzzBody(f *testing.F) {
	for _, body := range []string{
		"", "{}", "null", "[]", least, whole, `{"items":[` + least + `]}`, `{"items":[` + whole + `,` + least + `]}`, `{"action":"a","details":{"a":1.10},"open":[1,{}]}`,
		`{"action":"a","Action":"b","resourceType":"t"}`, `{"\u0061ction":"a","resourceType":"t"}`, `{"action":"a","action":"b","resourceType":"t"}`,
		`{"action":"a","resourceType":"t","beforeState":{"n":1e400}}`, `{"action":"a","resourceType":"t","id":"."}`, `{"action":"a","resourceType":"t","occurredAt":"2016-12-31t23:59:60z"}`,
		`{"action":"` + strings.Repeat("é", 101) + `","resourceType":"t"}`, `{"action":"a","resourceType":"t","position":1}`, `{"action":"audit_log.exported"}`,
		`{"action":"a","resourceType":"t","afterState":{"\ud83d\ude00":"\ud83d"}}`, "{\"action\":\"\xff\",\"resourceType\":\"t\"}", `{"action":"a","resourceType":"t"} `, `{"action":"a","resourceType":"t"}x`,
		`{"items":[{"id":"x","action":"a","resourceType":"t"},{"id":"x","action":"a","resourceType":"t"}]}`, `{"items":[null]}`, `{"items":null}`, `{"action":1e999,"resourceType":"t"}`,
	} {
		for kind := range bodies {
			f.Add(kind, body)
		}
	}
	store := &remembering{}
	handler := fuzzed(f, store, both())
	f.Fuzz(func(t *testing.T, kind int, body string) {
		if kind < 0 || kind >= len(bodies) {
			return
		}
		*store = remembering{}
		a := serveOne(handler, newCall(http.MethodPost, bodies[kind].path, body))
		schema := spec(t).Components.Schemas[bodies[kind].schema].Value
		holdBody(t, schema, body, a)
		if a.status == http.StatusCreated {
			holdStored(t, schema, body, store)
		} else if len(store.rows) > 0 {
			t.Fatalf("%q: %d, and stored", body, a.status)
		}
	})
}

// holdBody says what the status may be.
func holdBody(t testing.TB, schema *openapi3.Schema, body string, a answer) {
	t.Helper()
	allowed := []int{http.StatusBadRequest, http.StatusUnprocessableEntity}
	var value any
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.UseNumber()
	switch err := decoder.Decode(&value); {
	case err != nil || decoder.More() || !json.Valid([]byte(body)) || !utf8.ValidString(body):
	case schema.VisitJSON(plainNumbers(value), openapi3.VisitAsRequest()) == nil:
		allowed = []int{http.StatusCreated, http.StatusUnprocessableEntity}
		if repeated(value) {
			allowed = []int{http.StatusBadRequest, http.StatusUnprocessableEntity}
		}
	}
	if !slices.Contains(allowed, a.status) {
		t.Fatalf("%.500q: %d %s, want one of %v", body, a.status, a.body, allowed)
	}
	if a.status != http.StatusCreated {
		a.problem(t, a.status)
	}
}

// plainNumbers are numbers as the validator knows them; those beyond it are no less numbers.
func plainNumbers(value any) any {
	switch v := value.(type) {
	case json.Number:
		f, _ := v.Float64()
		return f
	case map[string]any:
		for name, inner := range v {
			v[name] = plainNumbers(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = plainNumbers(inner)
		}
	}
	return value
}

// repeated reports whether a batch has one id twice, which a schema can't forbid.
func repeated(value any) bool {
	object, _ := value.(map[string]any)
	items, _ := object["items"].([]any)
	seen := map[any]bool{}
	for _, item := range items {
		entry, _ := item.(map[string]any)
		id, given := entry["id"]
		if given && seen[id] {
			return true
		}
		seen[id] = given
	}
	return false
}

// holdStored compares every entry with what was sent, and every member both ways.
func holdStored(t testing.TB, schema *openapi3.Schema, body string, store *remembering) {
	t.Helper()
	sent := []json.RawMessage{json.RawMessage(body)}
	if schema.Properties["items"] != nil {
		var batch struct{ Items []json.RawMessage }
		if err := json.Unmarshal([]byte(body), &batch); err != nil {
			t.Fatal(err)
		}
		sent = batch.Items
	}
	if len(sent) != len(store.rows) {
		t.Fatalf("%q: %d of %d entries are stored", body, len(store.rows), len(sent))
	}
	for i, row := range store.rows {
		holdEntry(t, sent[i], row.AppendJSON(nil))
		holdRow(t, row)
	}
}

func holdEntry(t testing.TB, sent, stored []byte) {
	t.Helper()
	var before, after map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(sent, &before), json.Unmarshal(stored, &after)); err != nil {
		t.Fatalf("%s became %s: %v", sent, stored, err)
	}
	for name, raw := range before {
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			t.Fatal(err)
		}
		same := compact.String() == string(after[name])
		var one, other string
		if json.Unmarshal(raw, &one) == nil && json.Unmarshal(after[name], &other) == nil {
			same = one == other
			if name == "occurredAt" {
				at, err := audit.ParseTime(one)
				same = same || err == nil && audit.FormatTime(at) == other
			}
		}
		if !same {
			t.Fatalf("%s: %s became %s", name, raw, after[name])
		}
	}
	for name := range after {
		if _, given := before[name]; !given && !slices.Contains([]string{"id", "position", "createdAt", "recordedBy", "leafHash"}, name) {
			t.Fatalf("%s became %s: nobody sent %s", sent, stored, name)
		}
	}
}

// holdRow holds the entry as CSV against the entry as JSON.
func holdRow(t testing.TB, row audit.Row) {
	t.Helper()
	records, err := csv.NewReader(bytes.NewReader(row.AppendCSV(audit.AppendCSVHeader(nil)))).ReadAll()
	if err != nil || len(records) != 2 {
		t.Fatalf("%s as CSV: %v, %q", row.Text, err, records)
	}
	var entry map[string]json.RawMessage
	if err := json.Unmarshal(row.AppendJSON(nil), &entry); err != nil {
		t.Fatal(err)
	}
	for i, name := range records[0] {
		cell := records[1][i]
		if first, _ := utf8.DecodeRuneInString(cell); cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
			t.Fatalf("%s of %s opens as a formula: %q", name, row.Text, cell)
		}
		want := string(entry[name])
		if text := ""; len(entry[name]) > 0 && json.Unmarshal(entry[name], &text) == nil {
			want = text
		}
		if audit.UnescapeCell(cell) != strings.ReplaceAll(want, "\r\n", "\n") { // the reader makes one of two
			t.Fatalf("%s of %s became the cell %q", name, row.Text, cell)
		}
	}
}

// FuzzQuery holds the whole way of a query against the plainest reading of it: a filter that
// reaches the store is what was sent, nothing else, and whatever doesn't is a 400.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{
		"", "page=1&per_page=20", "action=&user_id=", "action=a+b%20c&start_date=2026-01-01T00:00:00+01:00", "page=1&page=2", "%70age=1&page=1", "nonsense=1",
		"action=%00", "action=%FF", "action=%zz", "a;b", "&&", "=", "page=9223372036854775807&per_page=1000", "page=-1", "per_page=01", "limit=1&search=%25_%5C", "format=csv", "format=xml",
		"start_date=2026-01-01T00:00:00Z&end_date=2025-01-01T00:00:00Z", "end_date=9999-12-31T23:59:59.9999999Z", "start_date=2016-12-31T23:59:60Z", "resource_id=" + strings.Repeat("x", 1025),
		"cursor=MQBhY21lADE5OTYAMTk1MgAx", "cursor=MQBhY21lADEAMQAwAAAAAAAAAAAAAA", "resource_type=a%26action%3Db", "action=\u202e&user_id=%E2%80%AE",
		"exclude_action=b&exclude_action=a&exclude_action=&exclude_action=b", strings.Repeat("exclude_user_id=x&", 11), "exclude_resource_id=a%00", "exclude_resource_type=%FF&exclude_resource_type=a", "field=user_id&exclude_action=a,b",
	} {
		for kind := range lists {
			f.Add(kind, query)
		}
	}
	store := &remembering{}
	handler := fuzzed(f, store, both())
	f.Fuzz(func(t *testing.T, kind int, query string) {
		if kind < 0 || kind >= len(lists) {
			return
		}
		*store = remembering{}
		a := serveOne(handler, newCall(http.MethodGet, lists[kind]+"?"+query, ""))
		if a.status == http.StatusBadRequest {
			if a.problem(t, a.status); store.asked {
				t.Fatalf("%q: refused after it was asked for", query)
			}
			return
		}
		values, err := url.ParseQuery(query)
		if a.status != http.StatusOK || err != nil || !store.asked {
			t.Fatalf("%q: %d, %v: %s", query, a.status, err, a.body)
		}
		if values.Get("cursor") == "" {
			holdFilter(t, kind, values, store.filter)
		}
	})
}

// lists are what takes filters.
var lists = []string{"/audit-logs", "/audit-logs/export", "/audit-logs/resource/t/r%2F", "/admin/audit-logs", "/audit-logs/facets"}

func holdFilter(t testing.TB, kind int, values url.Values, got audit.Filter) {
	t.Helper()
	want := audit.Filter{
		Action: values.Get("action"), ResourceType: values.Get("resource_type"), ResourceID: values.Get("resource_id"), UserID: values.Get("user_id"), Search: values.Get("search"),
		ExcludeAction: audit.NewValues(values["exclude_action"]...), ExcludeResourceType: audit.NewValues(values["exclude_resource_type"]...),
		ExcludeResourceID: audit.NewValues(values["exclude_resource_id"]...), ExcludeUserID: audit.NewValues(values["exclude_user_id"]...),
	}
	if strings.Contains(lists[kind], "resource") {
		want.Resource = audit.ResourceKey{Type: "t", ID: "r%2F"} // the path is set unescaped
	}
	for name, sent := range values {
		if len(sent) > 1 && !strings.HasPrefix(name, "exclude_") || slices.ContainsFunc(sent, func(value string) bool { return !utf8.ValidString(value) }) {
			t.Fatalf("%s=%q is taken", name, sent)
		}
	}
	for _, bound := range []struct {
		name   string
		got    time.Time
		beyond func(got, sent time.Time) bool
	}{
		{"start_date", got.From, func(got, sent time.Time) bool { return got.Before(sent) }},
		{"end_date", got.To, func(got, sent time.Time) bool { return got.After(sent) }},
	} {
		sent, err := audit.ParseTime(values.Get(bound.name))
		empty := got.From.After(got.To) && !got.To.IsZero() // an instant of no microsecond
		if values.Get(bound.name) == "" && !empty && !bound.got.IsZero() ||
			values.Get(bound.name) != "" && (err != nil || !empty && (bound.beyond(bound.got, sent) || bound.got.Sub(sent).Abs() >= time.Microsecond)) {
			t.Fatalf("%s=%q became %v", bound.name, values.Get(bound.name), bound.got)
		}
	}
	got.From, got.To = time.Time{}, time.Time{}
	if got != want {
		t.Fatalf("%v became %+v", values, got)
	}
}

// FuzzPath holds the two routers against each other, the document's before the gate and the
// generated one behind it: however a path is written, whoever may see an organization's trail
// alone reaches no other, and the platform's administrators reach theirs alone.
func FuzzPath(f *testing.F) {
	for _, target := range []string{
		"/audit-logs", "/audit-logs/export", "/audit-logs/entries/e-1", "/audit-logs/resource/t/r", "/admin/audit-logs", "/admin%2Faudit-logs", "/audit-logs/../admin/audit-logs",
		"/audit-logs/entries/..%2F..%2Fadmin%2Faudit-logs", "/audit-logs/resource/..%2f/%2e%2e", "//admin/audit-logs", "/audit-logs/%65xport", "/audit-logs%2fexport", "/audit-logs/resource/a%2Fb/c%252Fd",
		"/audit-logs/entries/export", "/audit-logs/export/", "/audit-logs;x=1/export", "/ADMIN/audit-logs", "/audit-logs/resource/export/entries", "/audit-logs/batch", "/%61dmin/audit-logs", "/admin/audit-logs#x",
		"/admin/audit-logs%00", "/audit-logs/resource/:type/:id", "/audit-logs/entries/*", "/audit-logs/entries/%", "/audit-logs/./export", "/audit-logs/entries/%2e", "/audit-logs/resource/%20/%0a",
	} {
		f.Add(target)
	}
	store := &remembering{}
	tenant, platform := fuzzed(f, store, ada), fuzzed(f, store, grace)
	f.Fuzz(func(t *testing.T, target string) {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " /api" + target + " HTTP/1.1\r\nHost: x\r\n\r\n")))
			if err != nil {
				return
			}
			for _, c := range []struct {
				handler http.Handler
				trail   string
			}{{tenant, "acme"}, {platform, audit.AdminOrganization}} {
				*store = remembering{}
				r.Body, r.Header = io.NopCloser(strings.NewReader(least)), http.Header{"Content-Type": {"application/json"}}
				a := serveOne(c.handler, r.Clone(t.Context()))
				if a.status >= 500 {
					t.Fatalf("%s %q: %d %s", method, target, a.status, a.body)
				}
				for _, trail := range store.trails {
					if trail != c.trail {
						t.Fatalf("%s %q reaches the trail of %s", method, target, trail)
					}
				}
				for i, trail := range store.grown { // an export is recorded by the service
					if exported := trail == audit.AdminOrganization && strings.Contains(string(store.rows[i].Text), `"action":"audit_log.exported"`); trail != c.trail && !exported {
						t.Fatalf("%s %q adds to the trail of %s", method, target, trail)
					}
				}
			}
		}
	})
}

// What fuzzing found interesting, and what is sent to the targets anyway, goes through the
// real service once: real HTTP, real PostgreSQL.
func TestWhatFuzzingFoundIsStoredAsSent(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	files, err := filepath.Glob("testdata/fuzz/FuzzBody/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v: no corpus", err)
	}
	stored := 0
	for _, file := range files {
		kind, body := corpusEntry(t, file)
		if kind < 0 || kind >= len(bodies) {
			continue
		}
		schema := spec(t).Components.Schemas[bodies[kind].schema].Value
		a := post(t, s, of(bodies[kind].path), bodies[kind].path, body)
		if a.status == http.StatusConflict { // an id of another file's
			continue
		}
		holdBody(t, schema, body, a)
		if a.status != http.StatusCreated || kind == 1 {
			continue
		}
		stored++
		holdEntry(t, []byte(body), []byte(a.body))
		if kind == 0 {
			var named struct{ ID string }
			if err := json.Unmarshal([]byte(a.body), &named); err != nil {
				t.Fatal(err)
			}
			if found := get(t, s, ada, "/audit-logs/entries/"+named.ID); found.body != withoutLeafHash(t, a.body) {
				t.Errorf("%s: recorded %s, found %s", file, a.body, found.body)
			}
		}
	}
	if stored == 0 {
		t.Error("none of the corpus is stored")
	}
}

// corpusEntry reads a file of FuzzBody's corpus, in the format of the go command.
func corpusEntry(t testing.TB, file string) (kind int, body string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(string(text), "\n")
	value := func(row int, kind string) string {
		inner, ok := strings.CutPrefix(rows[row], kind+"(")
		if len(rows) < 3 || !ok {
			t.Fatalf("%s: %q", file, rows)
		}
		return strings.TrimSuffix(inner, ")")
	}
	kind, err = strconv.Atoi(value(1, "int"))
	if err == nil {
		body, err = strconv.Unquote(value(2, "string"))
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return kind, body
}
