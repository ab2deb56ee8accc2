package httpapi_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/gen/client"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/testkit"
)

// shop imports entries over some weeks, in which values are missing, common and rare.
func shop(t testing.TB, s *testkit.Service, size int) (begun time.Time) {
	t.Helper()
	random := rand.New(rand.NewPCG(8, 9))
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	begun = at
	for from := 0; from < size; from += 1000 {
		var drafts []audit.Draft
		var times []time.Time
		for i := from; i < min(from+1000, size); i++ {
			d := audit.Draft{ID: fmt.Sprint("s-", i), Action: fmt.Sprint("action.", random.IntN(30)), ResourceType: []string{"server", "disk", "member"}[random.IntN(3)]}
			if random.IntN(2) == 0 {
				d.ResourceID = fmt.Sprint("r/", random.IntN(200))
			}
			if random.IntN(3) > 0 {
				d.UserID = fmt.Sprintf("user %02d+é", random.IntN(40)*random.IntN(2))
			}
			at = at.Add(time.Duration(random.IntN(2_000)) * time.Second)
			drafts, times = append(drafts, d), append(times, at)
		}
		imported(t, s, drafts, times)
	}
	return begun
}

// filters of a query, and the same condition in SQL.
func randomQuery(random *rand.Rand, begun time.Time, withDates bool) (url.Values, string, []any) {
	query, where, args := url.Values{}, "organization = 'acme'", []any{}
	sample := map[string]func() string{
		"action":        func() string { return fmt.Sprint("action.", random.IntN(31)) },
		"resource_type": func() string { return []string{"server", "disk", "member", "none"}[random.IntN(4)] },
		"resource_id":   func() string { return fmt.Sprint("r/", random.IntN(200)) },
		"user_id":       func() string { return fmt.Sprintf("user %02d+é", random.IntN(10)) },
	}
	for _, column := range slices.Sorted(maps.Keys(sample)) { // a map's own order would undo the seed
		value := sample[column]
		if random.IntN(6) == 0 {
			query.Set(column, value())
			args = append(args, query.Get(column))
			where += fmt.Sprintf(" AND %s = $%d", column, len(args))
		}
		if random.IntN(3) == 0 {
			for range 1 + random.IntN(4) {
				query.Add("exclude_"+column, value())
			}
			args = append(args, query["exclude_"+column])
			where += fmt.Sprintf(" AND (%s <> ALL ($%d)) IS NOT FALSE", column, len(args))
		}
	}
	if withDates {
		from := begun.Add(time.Duration(random.Int64N(int64(20 * 24 * time.Hour))))
		for _, bound := range []struct{ name, operator string }{{"start_date", ">="}, {"end_date", "<="}} {
			if random.IntN(2) == 0 {
				query.Set(bound.name, from.Format(time.RFC3339Nano))
				args = append(args, from.Truncate(time.Microsecond))
				where += fmt.Sprintf(" AND created_at %s $%d", bound.operator, len(args))
				from = from.Add(time.Duration(random.Int64N(int64(20 * 24 * time.Hour))))
			}
		}
	}
	return query, where, args
}

func countSQL(t testing.TB, conn *pgx.Conn, statement string, args ...any) (n int64) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), statement, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return n
}

func TestExclusionsOverHTTP(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	begun := shop(t, s, 3000)
	conn := testkit.Connect(t, s.Database.SuperuserURL)
	random := rand.New(rand.NewPCG(10, 11))
	for range 60 {
		query, where, args := randomQuery(random, begun, true)
		total := countSQL(t, conn, "SELECT count(*) FROM entries WHERE "+where, args...)
		query.Set("per_page", "70")
		walked, path := int64(0), "/audit-logs?"+query.Encode()
		for path != "" {
			p := list(t, s, ada, path)
			if p.Total != total {
				t.Fatalf("%s: total %d, counted %d", path, p.Total, total)
			}
			walked += int64(len(p.Items))
			if path = ""; p.NextCursor != "" {
				path = "/audit-logs?per_page=70&cursor=" + p.NextCursor
				// Beside a cursor its own filter may stand, in any order, and no other.
				query.Set("cursor", p.NextCursor)
				if random.IntN(4) == 0 {
					path = "/audit-logs?" + query.Encode()
				}
				query.Add("exclude_action", "another")
				get(t, s, ada, "/audit-logs?"+query.Encode()).problem(t, http.StatusBadRequest)
				if query["exclude_action"] = slices.DeleteFunc(query["exclude_action"], func(value string) bool { return value == "another" }); len(query["exclude_action"]) == 0 {
					query.Del("exclude_action")
				}
			}
		}
		if walked != total {
			t.Fatalf("%v: walked %d of %d", query, walked, total)
		}
		query.Del("cursor")
		query.Del("per_page")
		if exported := list(t, s, ada, "/audit-logs/export?"+query.Encode()); exported.Total != total || int64(len(exported.Items)) != total {
			t.Fatalf("%v: exported %d, total %d, counted %d", query, len(exported.Items), exported.Total, total)
		}
	}
	total := countSQL(t, conn, "SELECT count(*) FROM entries WHERE organization = 'acme' AND resource_type = 'server' AND resource_id = 'r/1' AND user_id IS DISTINCT FROM 'user 00+é'")
	if p := list(t, s, ada, "/audit-logs/resource/server/r%2F1?exclude_user_id=user+00%2B%C3%A9"); p.Total != total || total == 0 {
		t.Errorf("a resource's history: %d, counted %d", p.Total, total)
	}
	list(t, s, ada, "/audit-logs/export?exclude_action=action.1") // the newest record, as the next look wants it
	if got := get(t, s, grace, "/admin/audit-logs?action=audit_log.exported&exclude_action=x&limit=1").body; !strings.Contains(got, `"exclude_`) || !strings.Contains(got, `["`) {
		t.Errorf("the record of an export: %s", got)
	}
	for query, want := range map[string]int64{"search=r": 61, "search=r&exclude_action=audit_log.exported": 0, "exclude_action=audit_log.exported": 0, "exclude_action=x": 61, "search=exclude_user&exclude_action=x": -1} {
		if p := list(t, s, grace, "/admin/audit-logs?"+query); want >= 0 && p.Total != want || want < 0 && (p.Total == 0 || p.Total >= 61) {
			t.Errorf("the admin trail by %s: %d", query, p.Total)
		}
	}
}

func TestHistogramsAddUpToTotals(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	begun := shop(t, s, 3000)
	conn := testkit.Connect(t, s.Database.SuperuserURL)
	random := rand.New(rand.NewPCG(12, 13))
	for range 60 {
		query, where, args := randomQuery(random, begun, true)
		total := list(t, s, ada, "/audit-logs?per_page=1&"+query.Encode()).Total
		buckets := []int{0, 1, 7, 60, 200}[random.IntN(5)]
		query.Set("buckets", fmt.Sprint(buckets))
		h := read[client.AuditLogHistogram](t, get(t, s, ada, "/audit-logs/histogram?"+query.Encode()), http.StatusOK)
		if buckets == 0 {
			buckets = 60
		}
		if h.Total != total || len(h.Items) != buckets || h.Start == nil || h.End == nil || !h.Items[0].Start.Equal(*h.Start) {
			t.Fatalf("%v: %+v, want a total of %d", query, h, total)
		}
		var matching []time.Time
		if err := conn.QueryRow(t.Context(), "SELECT coalesce(array_agg(created_at), '{}') FROM entries WHERE "+where, args...).Scan(&matching); err != nil {
			t.Fatal(err)
		}
		for i, interval := range h.Items {
			end := h.End.Add(time.Microsecond)
			if i+1 < len(h.Items) {
				end = h.Items[i+1].Start
			}
			want := int64(0)
			for _, at := range matching {
				if !at.Before(interval.Start) && at.Before(end) {
					want++
				}
			}
			length := end.Sub(interval.Start) - h.End.Add(time.Microsecond).Sub(*h.Start)/time.Duration(buckets)
			if interval.Count != want || length.Abs() > time.Microsecond {
				t.Fatalf("%v: interval %d is %+v until %v, counted %d", query, i, interval, end, want)
			}
		}
	}
	for query, want := range map[string]string{
		"start_date=2030-01-01T00:00:00Z&buckets=2":                                             `{"start":"2030-01-01T00:00:00.000000Z","end":"2030-01-01T00:00:00.000000Z","items":[{"start":"2030-01-01T00:00:00.000000Z","count":0}],"total":0}`,
		"end_date=2020-01-01T00:00:00Z&buckets=2":                                               `{"start":"2020-01-01T00:00:00.000000Z","end":"2020-01-01T00:00:00.000000Z","items":[{"start":"2020-01-01T00:00:00.000000Z","count":0}],"total":0}`,
		"start_date=2020-01-01T00:00:00Z&end_date=2020-01-01T00:00:00.000002Z":                  `{"start":"2020-01-01T00:00:00.000000Z","end":"2020-01-01T00:00:00.000002Z","items":[{"start":"2020-01-01T00:00:00.000000Z","count":0},{"start":"2020-01-01T00:00:00.000001Z","count":0},{"start":"2020-01-01T00:00:00.000002Z","count":0}],"total":0}`,
		"start_date=2020-01-01T00:00:00.0000001Z&end_date=2020-01-01T00:00:00.0000002Z":         `{"start":"2020-01-01T00:00:00.000000Z","end":"2020-01-01T00:00:00.000000Z","items":[{"start":"2020-01-01T00:00:00.000000Z","count":0}],"total":0}`,
		"start_date=0001-01-01T00:00:00.000001Z&end_date=9999-12-31T23:59:59.999999Z&buckets=1": `{"start":"0001-01-01T00:00:00.000001Z","end":"9999-12-31T23:59:59.999999Z","items":[{"start":"0001-01-01T00:00:00.000001Z","count":3000}],"total":3000}`,
	} {
		if a := get(t, s, ada, "/audit-logs/histogram?"+query); a.body != want {
			t.Errorf("%s: %s, want %s", query, a.body, want)
		}
	}
	if a := get(t, s, testkit.Member("empty"), "/audit-logs/histogram"); a.body != `{"items":[],"total":0}` {
		t.Errorf("an empty trail: %s", a.body)
	}
	get(t, s, ada, "/audit-logs/histogram?start_date=2026-01-02T00:00:00Z&end_date=2026-01-01T00:00:00Z").problem(t, http.StatusBadRequest)
}

func TestFacetsSayWhatTheyCounted(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	begun := shop(t, s, 11_000)
	conn := testkit.Connect(t, s.Database.SuperuserURL)
	random := rand.New(rand.NewPCG(14, 15))
	cut := 0
	for i := range 40 {
		query, where, args := randomQuery(random, begun, i%2 == 0)
		if i == 0 {
			query, where, args = url.Values{}, "organization = 'acme'", nil
		}
		total := countSQL(t, conn, "SELECT count(*) FROM entries WHERE "+where, args...)
		for _, field := range []string{"action", "resource_type", "resource_id", "user_id"} {
			query.Set("field", field)
			got := read[client.AuditLogFacetList](t, get(t, s, ada, "/audit-logs/facets?"+query.Encode()), http.StatusOK)
			rows, err := conn.Query(t.Context(), fmt.Sprintf(`SELECT %s AS value, count(*) AS count FROM (SELECT * FROM entries WHERE %s ORDER BY position DESC LIMIT 10000) AS newest
				WHERE %[1]s IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1`, field, where), args...)
			if err != nil {
				t.Fatal(err)
			}
			want, err := pgx.CollectRows(rows, pgx.RowToStructByName[client.AuditLogFacet])
			if err != nil {
				t.Fatal(err)
			}
			if got.Total != total || got.Of != min(total, 10_000) || got.Exact != (total <= 10_000) || got.Distinct != int64(len(want)) || !slices.Equal(got.Items, want[:min(20, len(want))]) {
				t.Fatalf("%v: %+v\ncounted %d: %v", query, got, total, want)
			}
			if !got.Exact {
				cut++
			}
		}
	}
	if cut == 0 {
		t.Error("nothing was more than facets count")
	}
	if a := get(t, s, testkit.Member("empty"), "/audit-logs/facets"); a.body != `{"items":[],"of":0,"exact":true,"distinct":0,"total":0}` {
		t.Errorf("an empty trail: %s", a.body)
	}
}

func TestValuesAreTheFirstThatBeginWithAText(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	shop(t, s, 2000)
	for query, want := range map[string]string{
		"prefix=action.2":                        `["action.2","action.20","action.21","action.22","action.23","action.24","action.25","action.26","action.27","action.28","action.29"]`,
		"field=resource_type":                    `["disk","member","server"]`,
		"field=resource_type&prefix=se":          `["server"]`,
		"field=resource_type&prefix=Se":          `[]`,
		"field=resource_id&prefix=r%2F19":        `["r/19","r/190","r/191","r/192","r/193","r/194","r/195","r/196","r/197","r/198","r/199"]`,
		"field=user_id&prefix=user+00%2B%C3%A9":  `["user 00+é"]`,
		"field=user_id&prefix=user+00%2B%C3%A9x": `[]`,
	} {
		if a := get(t, s, ada, "/audit-logs/values?"+query); a.body != `{"items":`+want+`}` {
			t.Errorf("%s: %s", query, a.body)
		}
	}
	if got := read[client.AuditLogValueList](t, get(t, s, ada, "/audit-logs/values?field=resource_id"), http.StatusOK); len(got.Items) != 20 || !slices.IsSorted(got.Items) {
		t.Errorf("all: %q", got.Items)
	}
}
