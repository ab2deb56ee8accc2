package httpapi_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/testkit"
	"ocore.dev/audit/internal/testkit/reference"
)

// imported records entries at times of the past: drafts and times in order.
func imported(t testing.TB, s *testkit.Service, drafts []audit.Draft, at []time.Time) []string {
	t.Helper()
	entries := make([]audit.Admitted, len(drafts))
	named := make([]string, len(drafts))
	for i, d := range drafts {
		entry, err := audit.Admit(d, "")
		if err != nil {
			t.Fatal(err)
		}
		entry.OriginalTime = at[i]
		entries[i], named[i] = entry, entry.ID
	}
	if _, err := audit.NewService(s.Store).Import(t.Context(), "acme", ada, entries); err != nil {
		t.Fatal(err)
	}
	return named
}

func TestListsAreNewestFirstAndHaveDefaults(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for range 25 {
		post(t, s, ada, "/audit-logs", `{"action":"a","resourceType":"t","resourceId":"r"}`)
		post(t, s, grace, "/admin/audit-logs", `{"action":"a"}`)
	}
	for path, size := range map[string]string{"/audit-logs": "per_page", "/audit-logs/resource/t/r": "per_page", "/admin/audit-logs": "limit"} {
		by := ada
		if size == "limit" {
			by = grace
		}
		whole := list(t, s, by, path+"?"+size+"=100")
		entries := slices.Concat(whole.Items, whole.Logs)
		for i, entry := range entries {
			var e struct{ Position int }
			if err := json.Unmarshal(entry, &e); err != nil || e.Position != 24-i {
				t.Fatalf("%s: entry %d has position %d: %v", path, i, e.Position, err)
			}
		}
		for _, c := range []struct {
			query    string
			page     int64
			from, to int
		}{
			{"", 1, 0, 20},
			{"?page=0&" + size + "=0", 1, 0, 20},
			{"?page=1&" + size + "=20", 1, 0, 20},
			{"?page=2", 2, 20, 25},
			{"?page=3&" + size + "=10", 3, 20, 25},
			{"?" + size + "=25", 1, 0, 25},
			{"?page=5&" + size + "=5", 5, 20, 25},
			{"?page=3", 3, 25, 25},
			{"?page=9007199254740991", 9007199254740991, 25, 25},
			{"?page=9007199254740991&" + size + "=100", 9007199254740991, 25, 25},
		} {
			a := get(t, s, by, path+c.query)
			p := read[page](t, a, http.StatusOK)
			got := slices.Concat(p.Items, p.Logs)
			if join(got) != join(entries[c.from:c.to]) || p.Total != 25 || (p.Items == nil) == (p.Logs == nil) {
				t.Errorf("%s%s: %s", path, c.query, a.body)
			}
			perPage := int64(20)
			if _, asked, found := strings.Cut(c.query, size+"="); found && asked != "0" {
				perPage, _ = strconv.ParseInt(asked, 10, 64)
			}
			if by.Subject == ada.Subject && (p.Page != c.page || p.PerPage != perPage) {
				t.Errorf("%s%s: page %d of %d", path, c.query, p.Page, p.PerPage)
			}
			more := c.to < 25
			if linked, _ := next(t, s, by, a); (linked.status == http.StatusOK) != more || (p.NextCursor != "") != more {
				t.Errorf("%s%s: Link %q, nextCursor %q", path, c.query, a.header.Get("Link"), p.NextCursor)
			}
		}
	}
}

func TestImportedEntriesShowBothTimes(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	id := imported(t, s, numbered(1), []time.Time{time.Date(2020, 2, 29, 12, 0, 0, 0, time.UTC)})[0]
	for where, text := range map[string]string{
		"list": get(t, s, ada, "/audit-logs").body, "entry": get(t, s, ada, "/audit-logs/entries/"+id).body, "export": get(t, s, ada, "/audit-logs/export").body,
	} {
		if !strings.Contains(text, `"createdAt":"2020-02-29T12:00:00.000000Z"`) || !strings.Contains(text, `"importedAt":"20`) {
			t.Errorf("%s: %s", where, text)
		}
	}
	if row := readCSV(t, get(t, s, ada, "/audit-logs/export?format=csv").body)[0]; row["createdAt"] != "2020-02-29T12:00:00.000000Z" || row["importedAt"] < "2026" {
		t.Errorf("%v", row)
	}
}

func TestUnknownThingsHaveEmptyLists(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(3)...)
	for path, want := range map[string]string{
		"/audit-logs?action=unheard":                            `{"items":[],"page":1,"perPage":20,"total":0}`,
		"/audit-logs?action=unheard&page=7":                     `{"items":[],"page":7,"perPage":20,"total":0}`,
		"/audit-logs?page=2&per_page=3":                         `{"items":[],"page":2,"perPage":3,"total":3}`,
		"/audit-logs/resource/server/unheard":                   `{"items":[],"page":1,"perPage":20,"total":0}`,
		"/audit-logs/resource/unheard/srv-1":                    `{"items":[],"page":1,"perPage":20,"total":0}`,
		"/audit-logs/export?action=unheard":                     `{"items":[],"total":0}`,
		"/audit-logs?start_date=9999-12-31T23:59:59.999999999Z": `{"items":[],"page":1,"perPage":20,"total":0}`,
		"/audit-logs?end_date=0001-01-01T00:00:00Z":             `{"items":[],"page":1,"perPage":20,"total":0}`,
		// What stands beside the path holds too, and contradicts it.
		"/audit-logs/resource/server/srv-1?resource_type=disk": `{"items":[],"page":1,"perPage":20,"total":0}`,
		"/audit-logs/resource/server/srv-1?resource_id=srv-2":  `{"items":[],"page":1,"perPage":20,"total":0}`,
	} {
		if a := get(t, s, ada, path); a.status != http.StatusOK || a.body != want {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if p := list(t, s, ada, "/audit-logs/resource/server/srv-1?resource_type=server&resource_id=srv-1"); p.Total != 1 {
		t.Errorf("agreeing with the path: %d", p.Total)
	}
	if a := get(t, s, grace, "/admin/audit-logs?search=unthought"); a.body != `{"logs":[],"total":0}` {
		t.Error(a.body)
	}
}

// eachQueryParameter calls do for every query parameter of every operation, with the path
// of a call to that operation.
func eachQueryParameter(t testing.TB, do func(path string, p *openapi3.Parameter)) {
	t.Helper()
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		for _, p := range o.Parameters {
			if p.Value.In == openapi3.ParameterInQuery {
				at := sampleOf(t, method, path, o).path
				if p.Value.Required {
					at, _, _ = strings.Cut(at, "?")
				}
				do(at, p.Value)
			}
		}
	})
}

// of is who may call the path.
func of(path string) audit.Principal {
	if strings.HasPrefix(path, "/admin") {
		return grace
	}
	return ada
}

func TestEmptyParametersAreAbsent(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	s.Drain()
	seed(t, s, numbered(30)...)
	post(t, s, grace, "/admin/audit-logs", `{"action":"a"}`)
	queries := map[string]string{}
	eachQueryParameter(t, func(path string, p *openapi3.Parameter) {
		if !p.Required {
			queries[path] += p.Name + "=&"
		}
	})
	queries["/audit-logs"] = "action=&user_id=&start_date=&end_date=&page=&per_page="
	for path, query := range queries {
		plain, empty := get(t, s, of(path), path), get(t, s, of(path), with(path, query))
		if empty.status != http.StatusOK || empty.body != plain.body || empty.header.Get("Link") != plain.header.Get("Link") {
			t.Errorf("%s?%s: %d %s\n%s", path, query, empty.status, empty.body, plain.body)
		}
	}
	if len(queries) != 9 {
		t.Errorf("operations with parameters: %v", queries)
	}
}

func TestParametersThatCannotBeHeldAreRefusedByName(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	s.Drain()
	refused := func(path, query, parameter, detail string) {
		t.Helper()
		p := get(t, s, of(path), with(path, query)).problem(t, http.StatusBadRequest)
		if p.Parameter == nil || *p.Parameter != parameter || !strings.Contains(*p.Detail, detail) {
			t.Errorf("%s?%.80s: %+v, want the parameter %s and %q", path, query, p, parameter, detail)
		}
	}
	eachQueryParameter(t, func(path string, p *openapi3.Parameter) {
		schema := p.Schema.Value
		if schema.Items != nil {
			refused(path, strings.Repeat(p.Name+"=1&", 11), p.Name, "0 to 10")
			refused(path, p.Name+"=1&"+p.Name+"=%FF", p.Name, "")
			if a := get(t, s, of(path), path+"?"+strings.Repeat(p.Name+"=1&", 10)+p.Name+"="); a.status != http.StatusOK {
				t.Errorf("%s: %s ten times: %s", path, p.Name, a.body)
			}
			schema = schema.Items.Value
		} else {
			refused(path, p.Name+"=1&"+p.Name+"=1", p.Name, "2 times")
			refused(path, p.Name+"=&"+p.Name+"=", p.Name, "2 times")
		}
		refused(path, p.Name+"=%00", p.Name, "")
		refused(path, p.Name+"=%FF", p.Name, "")
		if schema.MaxLength != nil {
			refused(path, p.Name+"="+strings.Repeat("x", int(*schema.MaxLength)+1), p.Name, fmt.Sprint(*schema.MaxLength))
			if free := []string{"action", "resource_type", "resource_id", "user_id", "search", "prefix", "exclude_action", "exclude_user_id"}; slices.Contains(free, p.Name) {
				if a := get(t, s, of(path), path+"?"+p.Name+"="+strings.Repeat("%C3%A9", int(*schema.MaxLength))); a.status != http.StatusOK {
					t.Errorf("%s: %s of %d characters: %s", path, p.Name, *schema.MaxLength, a.body)
				}
			}
		}
		if schema.Max != nil {
			bound := strconv.FormatInt(int64(*schema.Max), 10)
			over := strconv.FormatInt(int64(*schema.Max)+1, 10)
			for _, value := range []string{over, "-1", "9223372036854775807", "9223372036854775808", "99999999999999999999", "1.0", "1e2", "+1", "%201", "0x1", "one", "null", "%2D0.5"} {
				refused(path, p.Name+"="+value, p.Name, bound)
			}
			if a := get(t, s, of(path), path+"?"+p.Name+"="+bound); a.status != http.StatusOK && !strings.Contains(path, "consistency") && p.Name != "position" { // no trail has such a size
				t.Errorf("%s: %s=%s: %s", path, p.Name, bound, a.body)
			}
		}
	})
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		sample := sampleOf(t, method, path, o)
		for _, query := range []string{"nonsense=1", "nonsense=", "nonsense", "nonsense=1&more=2", "nonsense=1&page=-1", "nonsense=1&also=2&and=3&more=4"} {
			p := send(t, s, of(path), method, with(sample.path, query), sample.body).problem(t, http.StatusBadRequest)
			if p.Parameter == nil || *p.Parameter != "nonsense" {
				t.Errorf("%s %s?%s: %+v", method, path, query, p)
			}
		}
		for _, query := range []string{"page=%zz", "a%=1", "page=1;per_page=2"} {
			send(t, s, of(path), method, with(sample.path, query), sample.body).problem(t, http.StatusBadRequest)
		}
	})
	values := ""
	for i := range 10 {
		values += fmt.Sprintf("exclude_user_id=%d%s&", i, strings.Repeat("x", 203))
	}
	refused("/audit-logs", values+"exclude_action=012345678", "exclude_action", "2048 bytes")
	if a := get(t, s, ada, "/audit-logs?exclude_action=01234567&"+values); a.status != http.StatusOK {
		t.Errorf("2048 bytes: %s", a.body)
	}
	refused("/audit-logs", "Page=1", "Page", "")
	refused("/audit-logs", "per_page[]=1", "per_page[]", "")
	refused("/audit-logs", "limit=1", "limit", "")
	refused("/audit-logs", "search=a", "search", "")
	refused("/admin/audit-logs", "per_page=1", "per_page", "")
	refused("/audit-logs/export", "format=xml", "format", "json csv")
	refused("/audit-logs/export", "format=JSON", "format", "json csv")
	refused("/audit-logs", strings.Repeat("n", 1000)+"=1", strings.Repeat("n", 64), "")
}

func TestDates(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	at := func(text string) time.Time {
		parsed, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	imported(t, s, numbered(3), []time.Time{
		at("2025-03-01T10:00:00.000001Z"), at("2025-03-01T10:00:00.000002Z"), at("2025-03-02T00:00:00Z"),
	})
	recorded := read[struct{ CreatedAt string }](t, post(t, s, ada, "/audit-logs", `{"action":"a","resourceType":"t"}`), 201).CreatedAt
	for query, want := range map[string]int64{
		"":                                       4,
		"start_date=2025-03-01T10:00:00.000001Z": 4,
		"start_date=2025-03-01T10:00:00.000002Z": 3,
		"end_date=2025-03-01T10:00:00.000001Z":   1,
		"end_date=2025-03-01T10:00:00Z":          0,
		"start_date=2025-03-01T10:00:00.000001Z&end_date=2025-03-01T10:00:00.000001Z": 1,
		// Digits past the sixth round inward.
		"start_date=2025-03-01T10:00:00.0000011Z":                                           3,
		"end_date=2025-03-01T10:00:00.0000019Z":                                             1,
		"start_date=2025-03-01T10:00:00.0000011Z&end_date=2025-03-01T10:00:00.0000019Z":     0,
		"start_date=2025-03-01T10:00:00.000000999Z&end_date=2025-03-01T10:00:00.000001999Z": 1,
		// Offsets, and the + that no client escapes.
		"start_date=2025-03-02T00:00:00Z":           2,
		"start_date=2025-03-02t00:00:00z":           2,
		"start_date=2025-03-02T01:00:00%2B01:00":    2,
		"start_date=2025-03-02T01:00:00+01:00":      2,
		"start_date=2025-03-01T12:00:00-12:00":      2,
		"start_date=2025-03-02T23:59:00%2B23:59":    2,
		"start_date=2025-03-02T00:00:00.000000000Z": 2,
		"start_date=2025-03-01T24:00:00Z":           -1,
		// The dates that answers show can be sent.
		"start_date=" + recorded: 1,
		"end_date=" + recorded:   4,
		// The ends of time are no fault.
		"start_date=0001-01-01T00:00:00Z":                                                4,
		"end_date=9999-12-31T23:59:59.999999999Z":                                        4,
		"start_date=0001-01-01T00:00:00Z&end_date=9999-12-31T23:59:59Z":                  4,
		"start_date=2025-03-02T00:00:00Z&end_date=2025-03-01T00:00:00Z":                  -1,
		"start_date=2025-03-01T10:00:00.000001001Z&end_date=2025-03-01T10:00:00.000001Z": -1,
		"start_date=2025-03-01":                                                          -1,
		"start_date=2025-03-01T10:00:00":                                                 -1,
		"start_date=2025-03-01%2010:00:00Z":                                              -1,
		"start_date=2025-02-29T00:00:00Z":                                                -1,
		"start_date=10000-01-01T00:00:00Z":                                               -1,
		"start_date=-001-01-01T00:00:00Z":                                                -1,
		"start_date=0000-12-31T23:59:59Z":                                                -1,
		"start_date=0001-01-01T00:00:00%2B01:00":                                         -1,
		"start_date=2025-03-01T10:00:00%2B24:00":                                         -1,
		"start_date=1740823200":                                                          -1,
		"start_date=%3Cstring%3E":                                                        -1,
		"start_date=%F0%9F%95%9B":                                                        -1,
	} {
		for _, path := range []string{"/audit-logs", "/audit-logs/export"} {
			a := get(t, s, ada, path+"?"+query)
			if want < 0 {
				if p := a.problem(t, http.StatusBadRequest); p.Parameter == nil || *p.Parameter != "start_date" {
					t.Errorf("%s: %+v", query, p)
				}
			} else if got := read[page](t, a, http.StatusOK); got.Total != want || len(got.Items) != int(want) {
				t.Errorf("%s: %d of %d, want %d", query, len(got.Items), got.Total, want)
			}
		}
	}
}

// known is an entry as the naive model keeps it.
type known struct {
	id    string
	draft audit.Draft
	at    time.Time
}

func TestFiltersAgreeWithANaiveModel(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	dice := rand.New(rand.NewPCG(1, 2))
	pick := func(values ...string) string { return values[dice.IntN(len(values))] }
	actions, types := []string{"server.created", "server.updated", "Server.updated", "a%"}, []string{"server", "disk", "ser_er"}
	resources, users := []string{"web-01", "web-02", "web/03", "é", ""}, []string{"ada", "bob", "Ada", "", ""}
	var model []known
	var drafts []audit.Draft
	var times []time.Time
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 300 {
		now = now.Add([]time.Duration{0, time.Microsecond, time.Second, 7 * time.Hour}[dice.IntN(4)])
		d := audit.Draft{Action: pick(actions...), ResourceType: pick(types...), ResourceID: pick(resources...), UserID: pick(users...)}
		drafts, times, model = append(drafts, d), append(times, now), append(model, known{draft: d, at: now})
	}
	for i, id := range imported(t, s, drafts, times) {
		model[i].id = id
	}
	slices.Reverse(model)

	for range 150 {
		wanted := audit.Draft{}
		query := url.Values{}
		for _, f := range []struct {
			name   string
			into   *string
			values []string
		}{{"action", &wanted.Action, actions}, {"resource_type", &wanted.ResourceType, types}, {"resource_id", &wanted.ResourceID, resources}, {"user_id", &wanted.UserID, users}} {
			if dice.IntN(3) == 0 {
				*f.into = pick(append(f.values, "unheard")...)
				query.Set(f.name, *f.into)
			}
		}
		from, until := time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		raw := query.Encode()
		date := func(name string, into *time.Time) {
			*into = times[dice.IntN(len(times))].Add([]time.Duration{0, 0, 1, -1, 500, time.Microsecond, -time.Microsecond, time.Hour}[dice.IntN(8)])
			raw += "&" + name + "=" + spell(dice, *into)
		}
		if dice.IntN(2) == 0 {
			date("start_date", &from)
		}
		if dice.IntN(2) == 0 {
			date("end_date", &until)
		}
		number, size := 1+dice.IntN(4), 1+dice.IntN(60)

		var matching []string
		for _, k := range model {
			d := k.draft
			if (wanted.Action == "" || wanted.Action == d.Action) && (wanted.ResourceType == "" || wanted.ResourceType == d.ResourceType) &&
				(wanted.ResourceID == "" || wanted.ResourceID == d.ResourceID) && (wanted.UserID == "" || wanted.UserID == d.UserID) &&
				!k.at.Before(from) && !k.at.After(until) {
				matching = append(matching, k.id)
			}
		}
		path := "/audit-logs?" + raw
		if from.After(until) {
			if p := get(t, s, ada, path).problem(t, http.StatusBadRequest); *p.Parameter != "start_date" {
				t.Errorf("%s: %+v", path, p)
			}
			continue
		}
		begin := min((number-1)*size, len(matching))
		end := min(begin+size, len(matching))
		got := list(t, s, ada, fmt.Sprintf("%s&page=%d&per_page=%d", path, number, size))
		if got.Total != int64(len(matching)) || !slices.Equal(ids(t, got.Items), matching[begin:end]) || (got.NextCursor != "") != (end < len(matching)) {
			t.Fatalf("%s, page %d of %d: %d entries of %d, want %d of %d", path, number, size, len(got.Items), got.Total, end-begin, len(matching))
		}
		paths := []string{"/audit-logs/export?" + raw}
		if wanted.ResourceType != "" && wanted.ResourceID != "" {
			paths = append(paths, "/audit-logs/resource/"+url.PathEscape(wanted.ResourceType)+"/"+url.PathEscape(wanted.ResourceID)+"?per_page=1000&"+raw)
		}
		for _, path := range paths {
			if all := list(t, s, ada, path); all.Total != int64(len(matching)) || !slices.Equal(ids(t, all.Items), matching) {
				t.Fatalf("%s: %d entries of %d, want %d", path, len(all.Items), all.Total, len(matching))
			}
		}
	}
}

// spell writes an instant in one of the ways that RFC 3339 allows, + escaped or not.
func spell(dice *rand.Rand, at time.Time) string {
	zone := []*time.Location{time.UTC, time.FixedZone("", 3600), time.FixedZone("", -(11*3600 + 30*60)), time.FixedZone("", 23*3600+59*60)}[dice.IntN(4)]
	text := at.In(zone).Format([]string{time.RFC3339Nano, "2006-01-02T15:04:05.000000000Z07:00"}[dice.IntN(2)])
	if dice.IntN(2) == 0 {
		text = strings.ToLower(text)
	}
	if dice.IntN(2) == 0 {
		return text
	}
	return url.QueryEscape(text)
}

// odd are values that something between a client and PostgreSQL might treat as the same
// as another, as a pattern, or as syntax.
var odd = []string{
	"server", "Server", "SERVER", " server", "server ", "caf\u00e9", "cafe\u0301", "CAFÉ", "ﬁ", "fi", "ß", "ss",
	"100%", "100_", "1000", "%", "_", "*", "?", `\`, `\%`, "'", `"`, "''", "--", ";", "a&b", "a=b", "a#b", "a+b", "a b", "a%20b", "a%2Bb", "%41", "A",
	"a/b", "a//b", "a%2Fb", "/", "//", ".", "..", "../..", "a/../b", "a;b", "a,b", "{id}", "<string>", "[]", "~", "日本", "🦆", "\u0001", "\n", "\u2028", "null", "0", "export", "$1", ":type",
}

func TestFiltersMatchWholeValuesByteForByte(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	var drafts []audit.Draft
	for _, value := range odd {
		drafts = append(drafts, audit.Draft{ID: fmt.Sprintf("e-%x", value), Action: value, ResourceType: value, ResourceID: value, UserID: value})
	}
	seed(t, s, drafts...)
	for _, value := range odd {
		paths := []string{"/audit-logs/resource/" + url.PathEscape(value) + "/" + url.PathEscape(value)}
		for _, name := range []string{"action", "resource_type", "resource_id", "user_id"} {
			paths = append(paths, "/audit-logs?"+name+"="+url.QueryEscape(value))
		}
		for _, path := range paths {
			if got := list(t, s, ada, path); got.Total != 1 || !slices.Equal(ids(t, got.Items), []string{fmt.Sprintf("e-%x", value)}) {
				t.Errorf("%q by %s: %d entries %q", value, path, got.Total, ids(t, got.Items))
			}
		}
	}
}

func TestResourcePathsHoldAnyIDAndTheirLinksToo(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	long := strings.Repeat("/", 1024)
	for _, id := range append([]string{long, strings.Repeat("é", 512), strings.Repeat("%", 1024)}, odd...) {
		seed(t, s, audit.Draft{Action: "a", ResourceType: "t", ResourceID: id}, audit.Draft{Action: "b", ResourceType: "t", ResourceID: id})
		first := get(t, s, ada, "/audit-logs/resource/t/"+url.PathEscape(id)+"?per_page=1")
		second, more := next(t, s, ada, first)
		if !more {
			t.Fatalf("%.40q: %d %.200s", id, first.status, first.body)
		}
		for i, a := range []answer{first, second} {
			p := read[page](t, a, http.StatusOK)
			var e struct{ Action, ResourceID string }
			if p.Total != 2 || len(p.Items) != 1 || p.Page != int64(i+1) || json.Unmarshal(p.Items[0], &e) != nil || e.ResourceID != id || e.Action != []string{"b", "a"}[i] {
				t.Errorf("%.40q, page %d: %.300s", id, i+1, a.body)
			}
		}
	}
	for path, status := range map[string]int{
		"/audit-logs/resource/t/" + strings.Repeat("%2F", 1025):   http.StatusBadRequest,
		"/audit-logs/resource/" + strings.Repeat("t", 101) + "/x": http.StatusBadRequest,
		"/audit-logs/resource/t/%00":                              http.StatusBadRequest,
		"/audit-logs/resource/%FF/x":                              http.StatusBadRequest,
		"/audit-logs/resource/t/":                                 http.StatusNotFound,
		"/audit-logs/resource//x":                                 http.StatusNotFound,
		"/audit-logs/resource/t":                                  http.StatusNotFound,
		"/audit-logs/resource/t/x/":                               http.StatusNotFound,
		"/audit-logs/resource/t/a/b":                              http.StatusNotFound,
	} {
		get(t, s, ada, path).problem(t, status)
	}
}

func TestAClientMadeFromTheReferenceRunsUnchanged(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	post(t, s, ada, "/audit-logs", whole)
	post(t, s, grace, "/admin/audit-logs", `{"action":"org.updated","details":{"plan":"gold"},"ticket":"SUP-1"}`)
	client := func(by audit.Principal) *reference.ClientWithResponses {
		token := testkit.Token(t, by)
		c, err := reference.NewClientWithResponses(s.URL, reference.WithHTTPClient(s.HTTP),
			reference.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
				r.Header.Set("Authorization", "Bearer "+token)
				return nil
			}))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	acme, platform := client(ada), client(grace)
	from, until := "2026-01-01T00:00:00+02:00", "2099-01-01T00:00:00Z"
	listed, err := acme.ListAuditLogsWithResponse(t.Context(), &reference.ListAuditLogsParams{
		Page: new(0), PerPage: new(0), Action: new("server.updated"), ResourceType: new("server"), ResourceID: new("web-01"),
		UserID: new("ada@acme.example"), StartDate: &from, EndDate: &until,
	})
	if err != nil || listed.JSON200 == nil || *listed.JSON200.Total != 1 || *listed.JSON200.Page != 1 || *listed.JSON200.PerPage != 20 {
		t.Fatalf("%v %s", err, listed.Body)
	}
	item := (*listed.JSON200.Items)[0]
	for name, value := range map[string]*string{
		"server.updated": item.Action, "e-1": item.ID, "192.0.2.14": item.IPAddress, "web-01": item.ResourceID, `Shop "front" end é`: item.ResourceName,
		"server": item.ResourceType, "Firefox/145.0": item.UserAgent, "ada@acme.example": item.UserID, "Ada Lovelace": item.UserName,
	} {
		if value == nil || *value != name {
			t.Errorf("%v, want %s", value, name)
		}
	}
	if item.CreatedAt == nil || item.BeforeState == nil || item.AfterState == nil {
		t.Errorf("%s", listed.Body)
	}
	resource, err := acme.ListResourceAuditLogsWithResponse(t.Context(), "server", "web-01", &reference.ListResourceAuditLogsParams{Page: new(1), PerPage: new(5)})
	if err != nil || resource.JSON200 == nil || *resource.JSON200.Total != 1 || len(*resource.JSON200.Items) != 1 {
		t.Errorf("%v %s", err, resource.Body)
	}
	export, err := acme.ExportAuditLogsWithResponse(t.Context(), &reference.ExportAuditLogsParams{Action: new("server.updated"), StartDate: &from})
	if err != nil || export.JSON200 == nil || *export.JSON200.Total != 1 || len(*export.JSON200.Items) != 1 {
		t.Errorf("%v %s", err, export.Body)
	}
	admin, err := platform.ListAdminAuditLogsWithResponse(t.Context(), &reference.ListAdminAuditLogsParams{Page: new(0), Limit: new(0), Action: new("org.updated"), Search: new("GOLD")})
	if err != nil || admin.JSON200 == nil || *admin.JSON200.Total != 1 || len(*admin.JSON200.Logs) != 1 {
		t.Errorf("%v %s", err, admin.Body)
	}
}

func TestOneAnswerIsOneStateOfTheTrail(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(5)...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 40 {
			post(t, s, ada, "/audit-logs", `{"action":"server.updated","resourceType":"server"}`)
		}
	}()
	for writing := true; writing; {
		select {
		case <-done:
			writing = false
		default:
		}
		for _, path := range []string{"/audit-logs?per_page=1", "/audit-logs?per_page=1&action=server.updated", "/audit-logs?per_page=1&action=server.updated&resource_type=server"} {
			p := list(t, s, ada, path)
			var newest struct{ Position int64 }
			if err := json.Unmarshal(p.Items[0], &newest); err != nil || newest.Position != p.Total-1 {
				t.Fatalf("%s: the newest of %d entries has position %d", path, p.Total, newest.Position)
			}
		}
	}
}

func TestAWalkNeverShiftsUnderNewEntries(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(40)...)
	for i := range 40 {
		post(t, s, grace, "/admin/audit-logs", fmt.Sprintf(`{"action":"a","details":{"n":"thing %d"}}`, i))
	}
	arrive := func() {
		seed(t, s, audit.Draft{Action: "server.updated", ResourceType: "server", ResourceID: "srv-1"})
		post(t, s, grace, "/admin/audit-logs", `{"action":"a","details":{"n":"thing"}}`)
	}
	for _, c := range []struct{ path, size string }{
		{"/audit-logs?", "per_page"},
		{"/audit-logs?action=server.updated&", "per_page"},
		{"/audit-logs?action=server.updated&resource_type=server&", "per_page"},
		{"/audit-logs?start_date=2020-01-01T00:00:00Z&end_date=2099-01-01T00:00:00%2B01:00&", "per_page"},
		{"/audit-logs/resource/server/srv-1?", "per_page"},
		{"/audit-logs/resource/server/srv-1?action=server.updated&", "per_page"},
		{"/admin/audit-logs?", "limit"},
		{"/admin/audit-logs?search=THING&action=a&", "limit"},
	} {
		by := of(c.path)
		before := list(t, s, by, c.path+c.size+"=100")
		want := slices.Concat(before.Items, before.Logs)
		var byLink, byCursor []json.RawMessage
		size := max(1, len(want)/7)
		take := func(a answer, number int64) page {
			p := read[page](t, a, http.StatusOK)
			if p.Total != before.Total || (p.Items != nil && (p.Page != number || p.PerPage != int64(size))) {
				t.Errorf("%s: page %d (%d) of %d, total %d", c.path, p.Page, number, p.PerPage, p.Total)
			}
			return p
		}
		a := get(t, s, by, fmt.Sprintf("%s%s=%d", c.path, c.size, size))
		for number, more := int64(1), true; more; number++ {
			p := take(a, number)
			byLink = append(byLink, slices.Concat(p.Items, p.Logs)...)
			arrive()
			if more = p.NextCursor != ""; more {
				alone, _, _ := strings.Cut(c.path, "?")
				q := list(t, s, by, fmt.Sprintf("%s?%s=%d&cursor=%s", alone, c.size, size, p.NextCursor))
				byCursor = append(byCursor, slices.Concat(q.Items, q.Logs)...)
			}
			if link := a.header.Get("Link"); more && !strings.Contains(link, "cursor="+p.NextCursor+"&"+c.size+"=") || !more && link != "" {
				t.Fatalf("%s: Link is %s, nextCursor %s", c.path, link, p.NextCursor)
			}
			a, _ = next(t, s, by, a)
		}
		if join(byLink) != join(want) || join(byCursor) != join(want[size:]) {
			t.Errorf("%s: the walk gave %d entries by Link and %d by cursor, of %d", c.path, len(byLink), len(byCursor), len(want))
		}
	}
}

func TestTheNextLinkOfANumberedPageIsACursor(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(10)...)
	all := list(t, s, ada, "/audit-logs?per_page=10").Items
	second := get(t, s, ada, "/audit-logs?page=2&per_page=3")
	seed(t, s, numbered(4)...)
	third, _ := next(t, s, ada, second)
	if p := read[page](t, third, http.StatusOK); join(p.Items) != join(all[6:9]) || p.Page != 3 || p.PerPage != 3 || p.Total != 10 {
		t.Errorf("%s", third.body)
	}
}

func TestACursorIsBoundToItsFilterAndOrganization(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(4)...)
	seed(t, s, numbered(4)...)
	for range 4 {
		post(t, s, grace, "/admin/audit-logs", `{"action":"a"}`)
	}
	plain := list(t, s, ada, "/audit-logs?per_page=1").NextCursor
	filtered := list(t, s, ada, "/audit-logs?per_page=1&action=server.updated&end_date=2099-01-01T00:00:00Z").NextCursor
	resource := list(t, s, ada, "/audit-logs/resource/server/srv-1?per_page=1").NextCursor
	admin := list(t, s, grace, "/admin/audit-logs?limit=1").NextCursor
	other := testkit.Member("other")
	both := testkit.Member("acme", "other")
	for _, c := range []struct {
		by      audit.Principal
		path    string
		refused bool
	}{
		{ada, "/audit-logs?cursor=" + plain, false},
		{ada, "/audit-logs?page=0&cursor=" + plain, false}, // 0 is no page
		{ada, "/audit-logs?page=1&cursor=" + plain, true},
		{ada, "/audit-logs?page=2&cursor=" + plain, true},
		{ada, "/audit-logs?per_page=1000&cursor=" + plain, false},
		{ada, "/audit-logs?action=server.updated&cursor=" + plain, true},
		{ada, "/audit-logs?start_date=2020-01-01T00:00:00Z&cursor=" + plain, true},
		{ada, "/audit-logs/export?cursor=" + plain, false},
		{ada, "/audit-logs/export?page=1&cursor=" + plain, false}, // ignored there by declaration
		{ada, "/audit-logs/export?action=x&cursor=" + plain, true},
		{ada, "/audit-logs/resource/server/srv-1?cursor=" + plain, true},
		{ada, "/audit-logs?cursor=" + filtered, false},
		{ada, "/audit-logs?action=server.updated&end_date=2099-01-01T01:00:00%2B01:00&cursor=" + filtered, false}, // the same instant
		{ada, "/audit-logs?action=server.updated&cursor=" + filtered, true},
		{ada, "/audit-logs?action=server.created&end_date=2099-01-01T00:00:00Z&cursor=" + filtered, true},
		{ada, "/audit-logs?action=server.updated&end_date=2099-01-01T00:00:00Z&user_id=x&cursor=" + filtered, true},
		{ada, "/audit-logs/resource/server/srv-1?cursor=" + resource, false},
		{ada, "/audit-logs/resource/server/srv-2?cursor=" + resource, true},
		{ada, "/audit-logs?cursor=" + admin, true},
		{grace, "/admin/audit-logs?cursor=" + admin, false},
		{grace, "/admin/audit-logs?search=a&cursor=" + admin, true},
		{grace, "/admin/audit-logs?cursor=" + plain, true},
		{other, "/audit-logs?cursor=" + plain, true},
		{other, "/audit-logs/export?cursor=" + plain, true},
	} {
		a := get(t, s, c.by, c.path)
		if !c.refused {
			if p := read[page](t, a, http.StatusOK); p.Total == 0 || len(p.Items)+len(p.Logs) == 0 {
				t.Errorf("%s: %s", c.path, a.body)
			}
		} else if p := a.problem(t, http.StatusBadRequest); p.Parameter == nil || *p.Parameter != "cursor" {
			t.Errorf("%s: %+v", c.path, p)
		}
	}
	path := "/audit-logs?cursor=" + plain
	if a := send(t, s, both, http.MethodGet, path, "", "X-Org-Slug", "acme"); a.status != http.StatusOK {
		t.Errorf("its own organization chosen: %s", a.body)
	}
	send(t, s, both, http.MethodGet, path, "", "X-Org-Slug", "other").problem(t, http.StatusBadRequest)
}

func TestForgedCursorsGiveNothing(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(4)...)
	for range 4 {
		post(t, s, grace, "/admin/audit-logs", `{"action":"org.updated","details":{"secret":"swordfish"}}`)
	}
	// A cursor of the admin trail's search, made out to acme, must not search the admin trail.
	admin := list(t, s, grace, "/admin/audit-logs?limit=1&search=swordfish").NextCursor
	refuse := func(cursor string) {
		t.Helper()
		if p := get(t, s, ada, "/audit-logs?cursor="+url.QueryEscape(cursor)).problem(t, http.StatusBadRequest); p.Parameter == nil || *p.Parameter != "cursor" {
			t.Errorf("%.60q: %+v", cursor, p)
		}
	}
	refuse(rewrite(t, admin, audit.AdminOrganization, "acme"))
	for _, garbage := range []string{
		"x", "null", "{}", "AA", "====", "eyJ2IjoxfQ", " ", "%", "\u2028", strings.Repeat("A", 8192), strings.Repeat("_", 8191), "cGFnZS0yLW9mLTY0Mg",
	} {
		refuse(garbage)
	}
	// Every change of a real one is refused, or reads a part of the same trail at most.
	for _, query := range []string{"", "&action=server.updated&start_date=2020-01-01T00:00:00Z"} {
		real := list(t, s, ada, "/audit-logs?per_page=1"+query).NextCursor
		for i := range real {
			for _, change := range []string{"", "A", "_", "9"} {
				a := get(t, s, ada, "/audit-logs?cursor="+real[:i]+change+real[i+1:])
				if a.status == http.StatusOK {
					if p := read[page](t, a, http.StatusOK); p.Total > 4 || strings.Contains(a.body, "swordfish") {
						t.Errorf("%s: %s", change, a.body)
					}
				} else {
					a.problem(t, http.StatusBadRequest)
				}
			}
		}
	}
}

func TestTheFilterOfAnyEntryMakesACursorThatWorks(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for _, c := range []string{"x", "<", "\u0001", `"`, "é"} {
		fill := func(n int) string { return strings.Repeat(c, n/len(c)) }
		d := audit.Draft{Action: fill(200), ResourceType: fill(100), ResourceID: fill(1024), UserID: fill(512)}
		seed(t, s, d, d)
		query := url.Values{"per_page": {"1"}, "action": {d.Action}, "resource_type": {d.ResourceType}, "resource_id": {d.ResourceID}, "user_id": {d.UserID}}.Encode()
		path := "/audit-logs/resource/" + url.PathEscape(d.ResourceType) + "/" + url.PathEscape(d.ResourceID)
		first := get(t, s, ada, path+"?"+query+"&start_date=2020-01-01T00:00:00.000001Z&end_date=2099-01-01T00:00:00.000001Z")
		second, more := next(t, s, ada, first)
		if p := read[page](t, second, cmp.Or(second.status, http.StatusOK)); !more || p.Total != 2 || len(p.Items) != 1 || p.NextCursor != "" {
			t.Errorf("%q: %.200s", c, second.body)
		}
	}
}

// rewrite exchanges a text within a cursor.
func rewrite(t testing.TB, cursor, from, to string) string {
	t.Helper()
	changed, ok := rewritten(cursor, from, to)
	if !ok {
		t.Fatalf("%q holds no %q", cursor, from)
	}
	return changed
}

func rewritten(cursor, from, to string) (string, bool) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || !strings.Contains(string(text), from) {
		return "", false
	}
	return base64.RawURLEncoding.EncodeToString([]byte(strings.ReplaceAll(string(text), from, to))), true
}
