package compare_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/compare"
	"ocore.dev/audit/internal/importer"
	"ocore.dev/audit/internal/testkit"
)

// Two services with the same import answer the same to every call, the second time too.
func TestTheSameImportIsTheSame(t *testing.T) {
	t.Parallel()
	records := importer.Demo(1, time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), 5)
	old, new := service(t, records), service(t, records)
	for _, s := range []*testkit.Service{old, new} {
		for i := range 30 {
			raw := fmt.Appendf(nil, `{"id":"a-%d","action":"org.updated","details":{"n":%d}}`, i, i)
			if _, err := audit.NewService(s.Store).RecordAdmin(t.Context(), ada, raw); err != nil {
				t.Fatal(err)
			}
		}
	}
	ignoreTime := func(o *compare.Options) { o.Ignore = []string{"createdAt"} } // of admin entries: recorded, not imported
	first := run(t, old.URL, new.URL, ignoreTime)
	if len(first.findings) != 0 || first.summary.Same != len(first.calls) || first.summary.Items < 1000 || len(first.summary.Rewritten) != 0 || len(first.summary.Added) != 0 {
		t.Errorf("%+v\n%s", first.summary, first.lines())
	}
	for _, part := range []string{"page=2", "resource_type=", "resource_id=", "user_id=", "action=", "start_date=", "end_date=", "/resource/", "format=csv&action", "export\n", "search=", "limit=100", "page=0&per_page=0"} {
		if !strings.Contains(strings.Join(first.calls, "\n")+"\n", part) {
			t.Errorf("no call with %q among %q", part, first.calls)
		}
	}
	second := run(t, old.URL, new.URL, ignoreTime)
	if len(second.findings) != 0 || len(second.notes) != 1 || !strings.Contains(second.notes[0], "audit_log.exported") {
		t.Errorf("%v\n%s", second.notes, second.lines())
	}
}

func TestEachDifferenceIsNamed(t *testing.T) {
	t.Parallel()
	records := history(10)
	old := service(t, records)
	changed := history(10)
	changed[4].Draft.UserName, changed[4].Draft.AfterState = "Bob", []byte(`{"price":4.1,"disks":[{"size":4},{"size":5}],"new":null,"nextCursor":"x"}`)
	turned := func(body string) string { // the first item goes to the third place
		var page struct {
			Items []json.RawMessage `json:"items"`
			Total int               `json:"total"`
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Error(err)
			return body
		}
		page.Items[0], page.Items[1], page.Items[2] = page.Items[1], page.Items[2], page.Items[0]
		text, err := json.Marshal(page)
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	replace := func(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }
	same := service(t, records)
	columns := `["` + strings.Join(audit.CSVColumns, `","`) + `"]`
	columns = strings.Replace(columns, `"position",`, "", 1) // ignored below
	for name, test := range map[string]struct {
		url  string
		call string
		want string
	}{
		"a changed entry": {service(t, changed).URL, "/audit-logs", `
member e-4 afterState.disks[1] >{"size":5}
member e-4 afterState.new >null
member e-4 afterState.nextCursor >"x"
member e-4 afterState.price 4.10>4.1
member e-4 userName "=Ada,\n\"Countess\"">"Bob"`},
		"a changed entry in CSV": {service(t, changed).URL, "/audit-logs/export?format=csv", `
member e-4 afterState.disks[1] >{"size":5}
member e-4 afterState.new >null
member e-4 afterState.nextCursor >"x"
member e-4 afterState.price 4.10>4.1
member e-4 userName "'=Ada,\n\"Countess\"">"Bob"`},
		"the last entry missing": {service(t, history(9)).URL, "/audit-logs?per_page=5", `
envelope  total 10>9
missing e-9  >
extra e-4  >`},
		"an entry more": {service(t, history(11)).URL, "/audit-logs/export", `
envelope  total 10>11
extra e-10  >`},
		"another order": {altered(t, same, turned), "/audit-logs/export", "\norder   \"e-9\">\"e-8\""},
		"other total":   {altered(t, same, replace(`"total":10`, `"total":11`)), "/audit-logs", "\nenvelope  total 10>11"},
		"other page":    {altered(t, same, replace(`"page":2`, `"page":1`)), "/audit-logs?page=2&per_page=3", "\nenvelope  page 2>1"},
		"other envelope": {altered(t, same, replace(`"items":`, `"data":`, `"total":10`, `"count":10`)), "/audit-logs", `
envelope  count >10
envelope  data >"a list"
envelope  items "a list">
envelope  total 10>`},
		"no envelope": {altered(t, same, func(string) string { return `[1,2]` }), "/audit-logs?per_page=1&page=10", `
envelope   null>[1,2]
envelope  items "a list">
envelope  page 10>
envelope  perPage 1>
envelope  total 10>
missing e-0  >`},
		"other status": {behind(t, same, func(w http.ResponseWriter, _ int, _ string) { w.WriteHeader(http.StatusNotFound) }), "/audit-logs", `
status   200>404`},
		"other type": {behind(t, same, func(w http.ResponseWriter, _ int, _ string) {
			w.Header().Set("Content-Type", "text/html")
		}), "/audit-logs", `
type   "application/json">"text/html"`},
		"null for a value":   {altered(t, same, replace(`"resourceId":"1"`, `"resourceId":null`)), "/audit-logs?per_page=3", "\nmember e-7 resourceId \"1\">null"},
		"absent for a value": {altered(t, same, replace(`"resourceId":"1",`, ``)), "/audit-logs?per_page=3", "\nmember e-7 resourceId \"1\">"},
		"an unknown member":  {altered(t, same, replace(`"id":"e-9"`, `"id":"e-9","color":"red"`)), "/audit-logs?per_page=3", "\nmember e-9 color >\"red\""},
		"a time":             {altered(t, same, replace(`00:00:09.000000Z`, `00:00:09.000001Z`)), "/audit-logs?per_page=3", "\nmember e-9 createdAt \"2026-01-01T00:00:09.000000Z\">\"2026-01-01T00:00:09.000001Z\""},
		"an id twice":        {altered(t, same, replace(`"e-8"`, `"e-9"`)), "/audit-logs?per_page=2", "\nmissing e-8  >\nextra e-9 (again, 2)  >"},
		"a column less":      {altered(t, same, replace("userAgent,", "")), "/audit-logs/export?format=csv&action=none", "\ncolumns  userAgent true>"},
		"columns turned":     {altered(t, same, replace("action,afterState", "afterState,action")), "/audit-logs/export?format=csv&action=none", "\ncolumns   " + columns + ">" + strings.Replace(columns, `"action","afterState"`, `"afterState","action"`, 1)},
		"a column more":      {altered(t, same, replace("action,", "action,color,")), "/audit-logs/export?format=csv&action=none", "\ncolumns  color >true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, old.URL, test.url, func(o *compare.Options) { o.Ignore = []string{"position"} }, test.call)
			if got := r.lines(); got != strings.TrimPrefix(test.want, "\n") {
				t.Errorf("found\n%s\nwant%s", got, test.want)
			}
			if r.summary.Calls != 1 || r.summary.Failed != 0 || r.summary.Differences != len(r.findings) {
				t.Errorf("%+v", r.summary)
			}
		})
	}
}

// What a customer sees who moved in by the import command: nothing is different, and what
// was added or is written otherwise is told.
func TestACustomersServiceMovedIn(t *testing.T) {
	t.Parallel()
	const n = 60
	old := newCustomers(t, n)
	new := moveIn(t, old)
	r := run(t, old, new.URL, nil)
	if len(r.findings) != 0 || r.summary.Same != len(r.calls) || len(r.calls) < 40 {
		t.Errorf("%+v\n%s", r.summary, r.lines())
	}
	for _, name := range []string{"position", "recordedBy", "importedAt", "occurredAt", "nextCursor"} {
		if r.summary.Added[name] == 0 {
			t.Errorf("%s isn't told as added: %v", name, r.summary.Added)
		}
	}
	for _, form := range []string{
		"beforeState: null, now absent", "userAgent: null, now absent", "resourceName: empty, now absent", "createdAt: the same moment, written otherwise",
		"userName: an apostrophe before what a spreadsheet would run", "items: null, now an empty list", "logs: null, now an empty list",
	} {
		if r.summary.Rewritten[form] == 0 {
			t.Errorf("%q isn't told: %v", form, r.summary.Rewritten)
		}
	}
	strict := run(t, old, new.URL, func(o *compare.Options) { o.Strict = true }, "/audit-logs?per_page=1")
	want := strings.Join([]string{
		`envelope  nextCursor >`, `member 00000000-0000-4000-8000-000000000059 beforeState null>`, `createdAt "2026-01-01T00:00:59Z">"2026-01-01T00:00:59.000000Z"`,
		`importedAt >"`, `position >59`, `recordedBy >"import"`, `resourceName "">`, `userAgent null>`,
	}, "\n")
	for _, line := range strings.Split(want, "\n") {
		if !strings.Contains(strict.lines(), line) {
			t.Errorf("strictly, %q is missing in\n%s", line, strict.lines())
		}
	}
	if len(strict.findings) != 8 {
		t.Errorf("strictly:\n%s", strict.lines())
	}
	ignoring := run(t, old, new.URL, func(o *compare.Options) {
		o.Strict, o.Ignore = true, strings.Fields("nextCursor beforeState createdAt importedAt position recordedBy resourceName userAgent")
	}, "/audit-logs?per_page=1")
	if len(ignoring.findings) != 0 {
		t.Errorf("ignoring:\n%s", ignoring.lines())
	}
}

func TestAnOldServiceThatRefusesIsAnErrorOfTheList(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	c := compare.New(compare.Options{Old: compare.Side{Base: s.URL}, New: compare.Side{Base: s.URL}})
	if _, _, err := c.Calls(t.Context()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Error(err)
	}
}

func TestBothRefusingIsTheSameAndCounted(t *testing.T) {
	t.Parallel()
	s := service(t, history(1))
	r := run(t, s.URL, s.URL, nil, "/audit-logs?page=x", "/nowhere", "/audit-logs")
	if len(r.findings) != 0 || r.summary.Same != 3 || r.summary.Refused[400] != 1 || r.summary.Refused[404] != 1 {
		t.Errorf("%+v\n%s", r.summary, r.lines())
	}
}

func TestAnAnswerThatIsNotWholeFails(t *testing.T) {
	t.Parallel()
	s := service(t, history(10))
	for name, answer := range map[string]func(w http.ResponseWriter, status int, body string){
		"cut": func(w http.ResponseWriter, _ int, body string) {
			fmt.Fprint(w, body[:len(body)/2])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
		"no JSON":         func(w http.ResponseWriter, _ int, body string) { fmt.Fprint(w, body[:len(body)/2]) },
		"two documents":   func(w http.ResponseWriter, _ int, body string) { fmt.Fprint(w, body, body) },
		"connection lost": func(http.ResponseWriter, int, string) { panic(http.ErrAbortHandler) },
	} {
		r := run(t, s.URL, behind(t, s, answer), nil, "/audit-logs", "/audit-logs/export")
		if r.summary.Failed != 2 || len(r.findings) != 2 || r.findings[0].Kind != compare.Failed || r.findings[0].Member != "new" {
			t.Errorf("%s: %+v\n%s", name, r.summary, r.lines())
		}
	}
}

func TestABusyServiceIsAskedAgain(t *testing.T) {
	t.Parallel()
	s := service(t, history(3))
	var asked atomic.Int64
	busy := behind(t, s, func(w http.ResponseWriter, status int, body string) {
		if asked.Add(1) < 3 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, body)
	})
	if r := run(t, s.URL, busy, nil, "/audit-logs"); len(r.findings) != 0 || asked.Load() != 3 {
		t.Errorf("asked %d times\n%s", asked.Load(), r.lines())
	}
}

func TestTheTokenGoesNowhereElse(t *testing.T) {
	t.Parallel()
	var visited atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited.Store(true) }))
	t.Cleanup(other.Close)
	from := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	t.Cleanup(from.Close)
	if r := run(t, from.URL, from.URL, nil, "/audit-logs"); visited.Load() || r.summary.Refused[http.StatusFound] != 1 {
		t.Errorf("visited %v, %+v", visited.Load(), r.summary)
	}
}

func TestAReportThatFailsEndsTheComparison(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	full := errors.New("the disk is full")
	c := compare.New(compare.Options{
		Old: compare.Side{Base: s.URL}, New: compare.Side{Base: "http://127.0.0.1:1"}, Report: func(compare.Finding) error { return full },
	})
	if err := c.Call(t.Context(), "/audit-logs"); !errors.Is(err, full) {
		t.Error(err)
	}
}

func TestOnlyReadsAreCalls(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"/audit-logs": "/audit-logs", "GET /audit-logs?page=1&start_date=2026-01-01T00:00:00+02:00": "/audit-logs?page=1&start_date=2026-01-01T00:00:00+02:00",
		"POST /audit-logs": "", "DELETE /audit-logs/1": "", "HEAD /": "", "audit-logs": "", "https://elsewhere.example/audit-logs": "",
		"/audit-logs HTTP/1.1": "", "/audit-logs?x=%zz": "/audit-logs?x=%zz", "/audit-logs/%zz": "", "/audit-logs#x": "", "": "", "get /audit-logs": "",
	} {
		got, err := compare.CheckCall(line)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", line, got, err)
		}
	}
}

// Exports of 10,000 entries with large states take no more memory than one of small ones.
func TestLargeExportsStayOnDisk(t *testing.T) {
	const items, size = 10_000, 10_000
	state := strings.Repeat("x", size)
	large := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"items":[`)
		for i := range items {
			if i > 0 {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, `{"id":"e-%d","afterState":{"text":"%s"}}`, i, state)
		}
		fmt.Fprintf(w, `],"total":%d}`, items)
	}))
	t.Cleanup(large.Close)
	var most atomic.Uint64
	go func() {
		for t.Context().Err() == nil {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapAlloc))
			time.Sleep(20 * time.Millisecond)
		}
	}()
	r := run(t, large.URL, large.URL, nil, "/audit-logs/export")
	if len(r.findings) != 0 || r.summary.Items != items {
		t.Errorf("%+v", r.summary)
	}
	if most.Load() > 64<<20 {
		t.Errorf("%d MiB of heap for %d MiB of answers", most.Load()>>20, 2*items*size>>20)
	}
}
