package trail_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/gen/client/trail"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/testkit"
)

// fill records n entries of servers 0, 1 and 2 in turn, past HTTP.
func fill(t testing.TB, s *testkit.Service, n int) {
	t.Helper()
	drafts := make([]audit.Draft, n)
	for i := range drafts {
		drafts[i] = audit.Draft{
			ID: fmt.Sprintf("e-%d", i), Action: []string{"server.created", "server.updated"}[i%2], ResourceType: "server", ResourceID: fmt.Sprint(i % 3),
			UserID: "ada", UserName: "Ada,\r\n\"Countess\"", AfterState: fmt.Appendf(nil, `{"n":%d.0}`, i),
		}
	}
	for len(drafts) > 0 {
		batch := drafts[:min(len(drafts), audit.MaxBatch)]
		if _, err := audit.NewService(s.Store).Record(t.Context(), "acme", ada, batch); err != nil {
			t.Fatal(err)
		}
		drafts = drafts[len(batch):]
	}
}

// collect takes a walk to its end.
func collect[T any](t testing.TB, walk iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for entry, err := range walk {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entry)
	}
	return all
}

func TestListsHavePagesFiltersAndTotals(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	fill(t, s, 30)
	c := direct(t, s, ada)
	all := collect(t, c.Walk(t.Context(), trail.Filter{}))
	for _, test := range []struct {
		filter trail.Filter
		page   trail.Page
		total  int64
		first  string
		items  int
	}{
		{trail.Filter{}, trail.Page{}, 30, "e-29", 20},
		{trail.Filter{}, trail.Page{Number: 2}, 30, "e-9", 10},
		{trail.Filter{}, trail.Page{Number: 3, Size: 7}, 30, "e-15", 7},
		{trail.Filter{}, trail.Page{Number: 99}, 30, "", 0},
		{trail.Filter{Action: "server.created"}, trail.Page{}, 15, "e-28", 15},
		{trail.Filter{ResourceType: "server", ResourceID: "1"}, trail.Page{}, 10, "e-28", 10},
		{trail.Filter{UserID: "grace"}, trail.Page{}, 0, "", 0},
		{trail.Filter{Start: all[4].CreatedAt, End: all[4].CreatedAt, Action: "server.updated"}, trail.Page{}, 15, "e-29", 15},
		{trail.Filter{Start: all[0].CreatedAt.Add(time.Nanosecond)}, trail.Page{}, 0, "", 0},
	} {
		list, err := c.List(t.Context(), test.filter, test.page)
		if err != nil || list.Total != test.total || len(list.Items) != test.items || test.items > 0 && list.Items[0].ID != test.first {
			t.Errorf("%+v %+v: %d of %d, %v", test.filter, test.page, len(list.Items), list.Total, err)
		}
	}
	first, err := c.List(t.Context(), trail.Filter{}, trail.Page{Size: 4})
	if err != nil {
		t.Fatal(err)
	}
	if next, err := c.List(t.Context(), trail.Filter{}, trail.Page{Size: 4, Cursor: *first.NextCursor}); err != nil || next.Items[0].ID != "e-25" {
		t.Errorf("%v", err)
	}
}

func TestAWalkSeesEveryEntryOnceWhateverIsRecordedMeanwhile(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	fill(t, s, 1203)
	c := direct(t, s, ada)
	next := 1202
	for entry, err := range c.Walk(t.Context(), trail.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("e-%d", next); entry.ID != want {
			t.Fatalf("%s, want %s", entry.ID, want)
		}
		if next--; next%500 == 0 {
			if _, err := c.Record(t.Context(), login("ada")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if next != -1 {
		t.Errorf("ended before e-%d", next)
	}
}

func TestAWalkCanBeLeft(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	fill(t, s, 600)
	proxy, url := between(t, s)
	for range connect(t, url, ada).Walk(t.Context(), trail.Filter{}) {
		break
	}
	if proxy.requests() != 1 {
		t.Errorf("%d requests", proxy.requests())
	}
}

func TestAWalkGoesOnAfterFaultsAndEndsWithAnError(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	fill(t, s, 1100)
	_, url := between(t, s, dropped, pass, halved, refuses(503))
	if all := collect(t, connect(t, url, ada).Walk(t.Context(), trail.Filter{})); len(all) != 1100 {
		t.Errorf("%d entries", len(all))
	}
	_, url = between(t, s, pass, refuses(403))
	entries, failed := 0, 0
	for _, err := range connect(t, url, ada).Walk(t.Context(), trail.Filter{}) {
		if err == nil {
			entries++
		} else if failed++; !errors.Is(err, trail.ErrForbidden) {
			t.Error(err)
		}
	}
	if entries != 500 || failed != 1 {
		t.Errorf("%d entries and %d errors", entries, failed)
	}
}

// A service without cursors must not seem to have one page alone.
func TestAWalkWithoutAWayOnIsAnError(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	_, url := between(t, s, func(w http.ResponseWriter, _ func() *http.Response) {
		io.WriteString(w, `{"items":[{"id":"a","createdAt":"2026-01-01T00:00:00Z"}],"page":1,"perPage":500,"total":2}`)
	})
	for _, err := range connect(t, url, ada).Walk(t.Context(), trail.Filter{}) {
		if err == nil {
			t.Error("an entry")
		}
	}
}

func TestResourceHistory(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	fill(t, s, 9)
	c := direct(t, s, ada)
	dots := login("ada")
	dots.ResourceType, dots.ResourceID = "a/b", ".."
	if _, err := c.Record(t.Context(), dots); err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[[2]string]int{{"server", "1"}: 3, {"server", "7"}: 0, {"a/b", ".."}: 1} {
		if got := collect(t, c.ResourceHistory(t.Context(), resource[0], resource[1])); len(got) != want || want > 0 && *got[0].ResourceID != resource[1] {
			t.Errorf("%v: %d entries", resource, len(got))
		}
	}
	for _, resource := range [][2]string{{"", "1"}, {"server", ""}} {
		for _, err := range c.ResourceHistory(t.Context(), resource[0], resource[1]) {
			if err == nil {
				t.Errorf("%v has a history", resource)
			}
		}
	}
}

func TestNoIDIsAnotherPath(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	fill(t, s, 1)
	for _, id := range []string{"", ".", "..", "../x", "a/b", "?x=1", "e-0#", "%2e%2e"} {
		if got, err := connect(t, s.URL, ada).Entry(t.Context(), id); err == nil {
			t.Errorf("%q is %+v", id, got)
		}
	}
}

// An export of more than the service sends at once comes as one document, in both formats,
// and through faults before each part.
func TestExportAllJoinsParts(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	const n = 10_003
	fill(t, s, n)
	_, url := between(t, s, dropped, pass, refuses(503))
	c := connect(t, url, ada)
	var object, sheet bytes.Buffer
	if err := c.ExportAll(t.Context(), trail.Filter{}, trail.JSON, &object); err != nil {
		t.Fatal(err)
	}
	var document struct {
		Items []trail.AuditLog
		Total int
	}
	if err := json.Unmarshal(object.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	if err := c.ExportAll(t.Context(), trail.Filter{}, trail.CSV, &sheet); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&sheet).ReadAll()
	if err != nil || len(rows) != n+1 || len(document.Items) != n || document.Total != n || !strings.Contains(object.String(), `{"n":5.0}`) {
		t.Fatalf("%d rows, %d items of %d, %v", len(rows), len(document.Items), document.Total, err)
	}
	for i, item := range document.Items {
		if want := fmt.Sprintf("e-%d", n-1-i); item.ID != want || rows[i+1][4] != want {
			t.Fatalf("place %d: %s and %s, want %s", i, item.ID, rows[i+1][4], want)
		}
	}
}

func TestAnExportStreamsAndTellsWhatItIs(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	fill(t, s, 10_001)
	c := direct(t, s, ada)
	for format, begin := range map[trail.Format]string{trail.JSON: `{"items":[{"id":"e-10000"`, trail.CSV: "action,afterState,"} {
		export, err := c.Export(t.Context(), trail.Filter{}, format)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(export)
		export.Close()
		if err != nil || export.Total != 10_001 || !export.Truncated || !strings.HasPrefix(string(text), begin) {
			t.Errorf("%s: %d, %v, %v: %.60s", format, export.Total, export.Truncated, err, text)
		}
		few, err := c.Export(t.Context(), trail.Filter{Action: "server.created", ResourceID: "1", End: time.Now()}, format)
		if err != nil {
			t.Fatal(err)
		}
		few.Close()
		if few.Total != 1667 || few.Truncated {
			t.Errorf("%s: %d, %v", format, few.Total, few.Truncated)
		}
	}
}

func TestACutExportIsAnError(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	fill(t, s, 200)
	for _, format := range []trail.Format{trail.JSON, trail.CSV} {
		for name, cut := range map[string]fault{"cut": halved, "without a mark of its end": unmarked} {
			_, url := between(t, s, cut, cut)
			c := connect(t, url, ada)
			export, err := c.Export(t.Context(), trail.Filter{}, format)
			if err == nil {
				_, err = io.Copy(io.Discard, export)
				export.Close()
			}
			if err == nil {
				t.Errorf("%s, %s: no error", format, name)
			}
			if err := c.ExportAll(t.Context(), trail.Filter{}, format, io.Discard); err == nil {
				t.Errorf("%s, %s: no error of all", format, name)
			}
		}
	}
}

// A truncated export whose way on can't be read isn't the whole.
func TestAnExportThatCannotGoOnIsAnError(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for _, link := range []string{"", "nonsense", `</api/audit-logs/export>; rel="next"`} {
		_, url := between(t, s, func(w http.ResponseWriter, _ func() *http.Response) {
			for name, value := range map[string]string{"X-Total-Count": "2", "X-Truncated": "true", "Link": link} {
				w.Header().Set(name, value)
			}
			io.WriteString(w, `{"items":[{}],"total":2}`)
		})
		if err := connect(t, url, ada).ExportAll(t.Context(), trail.Filter{}, trail.JSON, io.Discard); err == nil {
			t.Errorf("%q: no error", link)
		}
	}
}

func TestRefusedExportsAreProblems(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	c := connect(t, s.URL, ada)
	past, now := time.Now().Add(-time.Hour), time.Now()
	if _, err := c.Export(t.Context(), trail.Filter{Start: now, End: past}, trail.JSON); !errors.Is(err, trail.ErrBadRequest) {
		t.Error(err)
	}
	if err := c.ExportAll(t.Context(), trail.Filter{}, "xml", io.Discard); err == nil {
		t.Error("no error")
	}
}

func TestTheAdminTrail(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	c := direct(t, s, testkit.Operator())
	sent := trail.AdminEntry{
		ID: "sup-1", Action: "org.settings_updated", UserID: "grace", UserName: "Grace Hopper", OrganizationID: "acme",
		Details: json.RawMessage(`{"setting":"serverQuota","to":1.50}`), IPAddress: "198.51.100.7", UserAgent: "back-office",
		Others: map[string]any{"ticket": "SUP-1842", "serial": json.RawMessage("12345678901234567890"), "USERID": "not the user"},
	}
	stored, err := c.RecordAdmin(t.Context(), sent)
	if err != nil {
		t.Fatal(err)
	}
	if stored.UserID != "grace" || string(stored.Details) != `{"setting":"serverQuota","to":1.50}` || len(stored.Others) != 3 ||
		string(stored.Others["serial"]) != "12345678901234567890" || stored.OrganizationID != "acme" || stored.RecordedBy != "grace" || stored.CreatedAt.IsZero() {
		t.Errorf("%+v", stored)
	}
	if again, err := c.RecordAdmin(t.Context(), sent); err != nil || again.Position != 0 {
		t.Errorf("%+v, %v", again, err)
	}
	for i := range 204 {
		if _, err := c.RecordAdmin(t.Context(), trail.AdminEntry{Action: "org.updated", Details: map[string]int{"n": i}}); err != nil {
			t.Fatal(err)
		}
	}
	if all := collect(t, c.WalkAdmin(t.Context(), trail.AdminFilter{})); len(all) != 205 || all[0].Position != 204 || all[204].ID != "sup-1" {
		t.Errorf("%d entries", len(all))
	}
	list, err := c.ListAdmin(t.Context(), trail.AdminFilter{Search: "SERVERQUOTA", Action: "org.settings_updated"}, trail.Page{Size: 5})
	if err != nil || list.Total != 1 || list.NextCursor != "" || list.Logs[0].ID != "sup-1" {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := c.RecordAdmin(t.Context(), trail.AdminEntry{Action: "org.updated", Others: map[string]any{"userId": "x"}}); err == nil {
		t.Error("a named member among the others was taken")
	}
	if _, err := c.RecordAdmin(t.Context(), trail.AdminEntry{Action: "audit_log.exported"}); !errors.Is(err, trail.ErrUnprocessable) {
		t.Error(err)
	}
}

func TestAdminEntriesAreStoredOnceToo(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	_, url := between(t, s, dropped)
	if stored, err := connect(t, url, testkit.Operator()).RecordAdmin(t.Context(), trail.AdminEntry{Action: "org.updated"}); err != nil || stored.Position != 0 {
		t.Errorf("%+v, %v", stored, err)
	}
}
