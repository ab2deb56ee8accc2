package compare_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/compare"
	"ocore.dev/audit/internal/importer"
	"ocore.dev/audit/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// ada may read everything, the admin trail included.
var ada = func() audit.Principal {
	p := testkit.Member("acme")
	p.Permissions = append(p.Permissions, audit.ViewAdminAuditLogs, audit.CreateAdminAuditLogs)
	return p
}()

// history is n entries of a few servers and people, a second apart, each with a state.
func history(n int) []importer.Record {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	records := make([]importer.Record, n)
	for i := range records {
		records[i] = importer.Record{Time: begin.Add(time.Duration(i) * time.Second), Draft: audit.Draft{
			ID: fmt.Sprintf("e-%d", i), Action: []string{"server.created", "server.updated"}[i%2], ResourceType: []string{"server", "disk"}[i%2],
			ResourceID: fmt.Sprint(i % 3), UserID: []string{"ada", "grace"}[i%2], UserName: "=Ada,\n\"Countess\"",
			AfterState: fmt.Appendf(nil, `{"price":%d.10,"disks":[{"size":%d}]}`, i, i),
		}}
	}
	return records
}

// importInto brings records into acme as the import command does.
func importInto(t testing.TB, s *testkit.Service, records []importer.Record) {
	t.Helper()
	for batch := range slices.Chunk(records, 500) {
		entries := make([]audit.Admitted, len(batch))
		for i, record := range batch {
			entry, err := audit.Admit(record.Draft, "")
			if err != nil {
				t.Fatal(err)
			}
			entry.OriginalTime = record.Time
			entries[i] = entry
		}
		if _, err := audit.NewService(s.Store).Import(t.Context(), "acme", audit.Principal{Subject: "import"}, entries); err != nil {
			t.Fatal(err)
		}
	}
}

// service is a new service with the records.
func service(t testing.TB, records []importer.Record) *testkit.Service {
	t.Helper()
	s := testkit.NewService(t)
	importInto(t, s, records)
	return s
}

// result is what a comparison said.
type result struct {
	findings []compare.Finding
	summary  compare.Summary
	notes    []string
	calls    []string
}

// lines are the findings in short, to compare them.
func (r result) lines() string {
	var lines []string
	for _, f := range r.findings {
		lines = append(lines, fmt.Sprintf("%s %s %s %s>%s", f.Kind, f.ID, f.Member, f.Old, f.New))
	}
	return strings.Join(lines, "\n")
}

// run compares the services at two base URLs by the calls, or by those that are made from
// the old one. change sets options.
func run(t testing.TB, old, new string, change func(*compare.Options), calls ...string) (r result) {
	t.Helper()
	token := testkit.Token(t, ada)
	options := compare.Options{
		Old: compare.Side{Base: old, Token: token}, New: compare.Side{Base: new, Token: token},
		Report: func(f compare.Finding) error { r.findings = append(r.findings, f); return nil },
	}
	if change != nil {
		change(&options)
	}
	c := compare.New(options)
	if calls == nil {
		var err error
		if calls, r.notes, err = c.Calls(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, call := range calls {
		if err := c.Call(t.Context(), call); err != nil {
			t.Fatal(err)
		}
	}
	r.summary, r.calls = c.Summary(), calls
	return r
}

// altered stands before a service and changes the bodies of its 200s.
func altered(t testing.TB, s *testkit.Service, alter func(body string) string) string {
	t.Helper()
	return behind(t, s, func(w http.ResponseWriter, status int, body string) {
		if status == http.StatusOK {
			body = alter(body)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

// behind stands before a service and answers in its place, once it has answered.
func behind(t testing.TB, s *testkit.Service, answer func(w http.ResponseWriter, status int, body string)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s was sent", r.Method, r.URL)
		}
		onward, err := http.NewRequest(r.Method, strings.TrimSuffix(s.URL, "/api")+r.URL.RequestURI(), nil)
		if err != nil {
			t.Error(err)
			return
		}
		onward.Header = r.Header.Clone()
		onward.Header.Del("Accept-Encoding")
		response, err := http.DefaultTransport.RoundTrip(onward)
		if err != nil {
			t.Error(err)
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Error(err)
			return
		}
		w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
		answer(w, response.StatusCode, string(body))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/api"
}

// customers is a small service that answers as the customer's reference shows it: the twelve
// members always, null where it knows none, seconds in dates, null for no entries, and
// nothing that we add.
type customers struct {
	t       testing.TB
	entries []map[string]any // newest first
}

var twelve = strings.Fields("action afterState beforeState createdAt id ipAddress resourceId resourceName resourceType userAgent userId userName")

func newCustomers(t testing.TB, n int) string {
	t.Helper()
	c := &customers{t: t}
	for i := n - 1; i >= 0; i-- {
		e := map[string]any{
			"action": []string{"server.created", "auth.login"}[i%2], "resourceType": []string{"server", "session"}[i%2], "resourceId": fmt.Sprint(i % 4),
			"createdAt": time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC).Format(time.RFC3339), "id": fmt.Sprintf("00000000-0000-4000-8000-%012d", i),
			"afterState": json.RawMessage(fmt.Sprintf(`{"serial": 1234567890123456789%d, "price":1.10, "note":"a<b & \u00e9"}`, i%10)), "beforeState": nil,
			"userId": "u-1", "userName": "@Ada", "ipAddress": "192.0.2.1", "resourceName": "", "userAgent": nil,
		}
		c.entries = append(c.entries, e)
	}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	return server.URL
}

func (c *customers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.Method != http.MethodGet {
		c.t.Errorf("%s %s was sent", r.Method, r.URL)
	}
	if path, found := strings.CutPrefix(r.URL.EscapedPath(), "/audit-logs/resource/"); found {
		kind, id, _ := strings.Cut(path, "/")
		kind, _ = url.PathUnescape(kind)
		id, _ = url.PathUnescape(id)
		q.Set("resource_type", kind)
		q.Set("resource_id", id)
		c.list(w, q)
		return
	}
	switch r.URL.Path {
	case "/audit-logs":
		c.list(w, q)
	case "/audit-logs/export":
		c.export(w, q)
	case "/admin/audit-logs":
		c.answer(w, map[string]any{"logs": nil, "total": 0})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (c *customers) matching(q url.Values) (found []map[string]any) {
	for _, e := range c.entries {
		fits := true
		for parameter, member := range map[string]string{"resource_type": "resourceType", "resource_id": "resourceId", "action": "action", "user_id": "userId"} {
			fits = fits && (q.Get(parameter) == "" || q.Get(parameter) == e[member])
		}
		at, _ := time.Parse(time.RFC3339, e["createdAt"].(string))
		if start, err := time.Parse(time.RFC3339, q.Get("start_date")); err == nil {
			fits = fits && !at.Before(start)
		}
		if end, err := time.Parse(time.RFC3339, q.Get("end_date")); err == nil {
			fits = fits && !at.After(end)
		}
		if fits {
			found = append(found, e)
		}
	}
	return found
}

func (c *customers) list(w http.ResponseWriter, q url.Values) {
	number := func(name string, otherwise int) (n int) {
		if fmt.Sscan(q.Get(name), &n); n == 0 {
			return otherwise
		}
		return n
	}
	page, size := number("page", 1), number("per_page", 20)
	all := c.matching(q)
	var items []map[string]any // null when empty
	if begin := (page - 1) * size; begin < len(all) {
		items = all[begin:min(begin+size, len(all))]
	}
	c.answer(w, map[string]any{"items": items, "page": page, "perPage": size, "total": len(all)})
}

func (c *customers) export(w http.ResponseWriter, q url.Values) {
	all := c.matching(q)
	if q.Get("format") != "csv" {
		c.answer(w, map[string]any{"items": all, "total": len(all)})
		return
	}
	w.Header().Set("Content-Type", "text/csv")
	fmt.Fprintf(w, "%s\n", strings.Join(twelve, ","))
	for _, e := range all {
		for i, name := range twelve {
			cell := ""
			switch v := e[name].(type) {
			case string:
				cell = v
			case json.RawMessage:
				cell = string(v)
			}
			if i > 0 {
				io.WriteString(w, ",")
			}
			fmt.Fprintf(w, `"%s"`, strings.ReplaceAll(cell, `"`, `""`))
		}
		io.WriteString(w, "\n")
	}
}

func (c *customers) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	json.NewEncoder(w).Encode(v)
}

// moveIn imports what the customer's service exports.
func moveIn(t testing.TB, from string) *testkit.Service {
	t.Helper()
	response, err := http.Get(from + "/audit-logs/export")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	records, rejected, err := importer.Read(importer.OCore, []string{"-"}, bytes.NewReader(body))
	if err != nil || len(rejected) > 0 {
		t.Fatalf("%v, %v", rejected, err)
	}
	return service(t, records)
}
