package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"ocore.dev/audit/gen/client"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/testkit"
)

// whole is an entry with every member that can be sent.
const whole = `{"id":"e-1","action":"server.updated","resourceType":"server","resourceId":"web-01","resourceName":"Shop \"front\" end é",` +
	`"userId":"ada@acme.example","userName":"Ada Lovelace","ipAddress":"192.0.2.14","userAgent":"Firefox/145.0",` +
	`"beforeState":{"b":1.10,"a":12345678901234567890,"é":1e2},"afterState":{"x":{"":[1,-0.0,1E+2,null,true,"\u00e9\/"]}},` +
	`"occurredAt":"2026-11-23T08:30:26.900000Z"}`

func TestRecordThenRead(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	acme := s.Client(t, ada)
	recorded, err := acme.CreateAuditLogWithResponse(t.Context(), nil, client.NewAuditLog{
		Action: "server.created", ResourceType: "server", UserName: new("Ada"), AfterState: json.RawMessage(`{"cpus":4}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if recorded.JSON201 == nil {
		t.Fatal(recorded.Status(), string(recorded.Body))
	}
	found, err := acme.GetAuditLogWithResponse(t.Context(), recorded.JSON201.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if recorded.JSON201.LeafHash == nil {
		t.Errorf("no leaf hash: %s", recorded.Body)
	}
	recorded.JSON201.LeafHash = nil
	if !reflect.DeepEqual(found.JSON200, recorded.JSON201) || *found.JSON200.UserName != "Ada" {
		t.Errorf("recorded %s\nfound %s", recorded.Body, found.Body)
	}
	list, err := acme.ListAuditLogsWithResponse(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if list.JSON200 == nil || list.JSON200.Total != 1 || !reflect.DeepEqual(&list.JSON200.Items[0], recorded.JSON201) {
		t.Error(string(list.Body))
	}
}

func TestEveryAnswerShowsTheSameEntry(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	recorded := post(t, s, ada, "/audit-logs", whole)
	read[json.RawMessage](t, recorded, http.StatusCreated)
	if got := get(t, s, ada, "/audit-logs/entries/e-1"); got.body != withoutLeafHash(t, recorded.body) {
		t.Errorf("entry: %s", got.body)
	}
	for _, path := range []string{"/audit-logs", "/audit-logs/resource/server/web-01", "/audit-logs/export"} {
		if got := list(t, s, ada, path); got.Total != 1 || string(got.Items[0]) != withoutLeafHash(t, recorded.body) {
			t.Errorf("%s: %s", path, join(got.Items))
		}
	}
	// What was sent comes first, then what the service adds.
	if sent := strings.TrimSuffix(whole, "}"); !strings.HasPrefix(recorded.body, sent+`,"recordedBy":"ada","position":0,"createdAt":"`) {
		t.Errorf("recorded %s\nsent     %s", recorded.body, sent)
	}
}

var leafHashAtTheEnd = regexp.MustCompile(`,"leafHash":"[A-Za-z0-9+/]{43}="}$`)

// withoutLeafHash is the entry alone of an answer to recording.
func withoutLeafHash(t *testing.T, body string) string {
	t.Helper()
	if !leafHashAtTheEnd.MatchString(body) {
		t.Errorf("no leaf hash at the end: %s", body)
	}
	return leafHashAtTheEnd.ReplaceAllString(body, "}")
}

func TestStatesComeBackDigitForDigit(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	const spaced = "\n{ \"b\" : 1.10,\t\"a\":12345678901234567890 , \"é\":1e2 }\r"
	const state = `{"b":1.10,"a":12345678901234567890,"é":1e2}`
	recorded := post(t, s, ada, "/audit-logs", `{"action":"a","resourceType":"t","resourceId":"r","beforeState":`+spaced+`,"afterState":`+spaced+`}`)
	id := read[client.AuditLog](t, recorded, http.StatusCreated).ID
	shown := map[string]string{
		"POST":          recorded.body,
		"entry":         get(t, s, ada, "/audit-logs/entries/"+id).body,
		"list":          get(t, s, ada, "/audit-logs").body,
		"resource list": get(t, s, ada, "/audit-logs/resource/t/r").body,
		"JSON export":   get(t, s, ada, "/audit-logs/export").body,
	}
	for where, text := range shown {
		if strings.Count(text, state) != 2 {
			t.Errorf("%s: %s", where, text)
		}
	}
	if row := readCSV(t, get(t, s, ada, "/audit-logs/export?format=csv").body)[0]; row["beforeState"] != state || row["afterState"] != state {
		t.Errorf("CSV export: %v", row)
	}
	admin := post(t, s, grace, "/admin/audit-logs", `{"action":"a","details":`+spaced+`,"more":`+spaced+`}`)
	if logs := get(t, s, grace, "/admin/audit-logs"); strings.Count(admin.body, state) != 2 || strings.Count(logs.body, state) != 2 {
		t.Errorf("admin: %s\n%s", admin.body, logs.body)
	}
}

func TestAbsentMembersAreAbsent(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	begun := time.Now()
	entry := read[map[string]any](t, post(t, s, ada, "/audit-logs", `{"action":"auth.login","resourceType":"session"}`), http.StatusCreated)
	want := []string{"action", "createdAt", "id", "leafHash", "position", "recordedBy", "resourceType"}
	if got := slices.Sorted(maps.Keys(entry)); !slices.Equal(got, want) {
		t.Errorf("members %v, want %v", got, want)
	}
	at, err := time.Parse(audit.TimeFormat, entry["createdAt"].(string))
	if err != nil || at.Sub(begun).Abs() > time.Minute {
		t.Errorf("createdAt %v: %v", entry["createdAt"], err)
	}
	if id, err := uuid.Parse(entry["id"].(string)); err != nil || id.Version() != 7 {
		t.Errorf("id %v is no UUID version 7", entry["id"])
	}
}

func TestOccurredAtIsKeptInUTCToTheMicrosecond(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for sent, want := range map[string]string{
		"2026-11-23T09:30:26.9+01:00":         "2026-11-23T08:30:26.900000Z",
		"2026-11-23t08:30:26z":                "2026-11-23T08:30:26.000000Z",
		"2026-11-23T08:30:26.123456789Z":      "2026-11-23T08:30:26.123456Z",
		"2026-01-01T00:00:00.000000000+23:59": "2025-12-31T00:01:00.000000Z",
		"0001-01-01T00:00:00Z":                "0001-01-01T00:00:00.000000Z",
		"9999-12-31T23:59:59.999999Z":         "9999-12-31T23:59:59.999999Z",
		"2016-12-31T23:59:60Z":                "2016-12-31T23:59:59.000000Z",
		"2026-11-23":                          "",
		"2026-11-23T08:30:26":                 "",
		"2026-11-23 08:30:26Z":                "",
		"2026-02-29T00:00:00Z":                "",
		"2026-11-23T24:00:00Z":                "",
		"2026-11-23T08:30:26,5Z":              "",
		"2026-11-23T08:30:26.1234567890Z":     "",
		"0001-01-01T00:00:00+00:01":           "",
		"9999-12-31T23:59:59-00:01":           "",
		"now":                                 "",
	} {
		body, _ := json.Marshal(client.NewAuditLog{Action: "a", ResourceType: "t", OccurredAt: &sent})
		a := post(t, s, ada, "/audit-logs", string(body))
		if want == "" {
			if p := a.problem(t, http.StatusUnprocessableEntity); !slices.Equal(pointers(p), []string{"/occurredAt"}) {
				t.Errorf("%s: %s", sent, a.body)
			}
		} else if a.status != http.StatusCreated || !strings.Contains(a.body, `"occurredAt":"`+want+`"`) {
			t.Errorf("%s: %d %s, want %s", sent, a.status, a.body, want)
		}
	}
}

func TestTheSameAgainIsTheSameEntry(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	first := post(t, s, ada, "/audit-logs", whole)
	if first.status != http.StatusCreated || first.header.Get("Idempotency-Replayed") != "" {
		t.Fatalf("%d %v %s", first.status, first.header, first.body)
	}
	bob := ada
	bob.Subject, bob.Permissions = "bob", []audit.Permission{audit.CreateAuditLogs}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(whole), &members); err != nil {
		t.Fatal(err)
	}
	sorted, _ := json.Marshal(members)
	for name, again := range map[string]struct {
		by   audit.Principal
		body string
	}{
		"the same bytes":             {ada, whole},
		"by another subject":         {bob, whole},
		"with other white space":     {ada, strings.NewReplacer(`":`, "\" :\n", `,"`, "\t, \"").Replace(whole)},
		"members in another order":   {ada, string(sorted)},
		"the same text escaped":      {ada, strings.Replace(whole, `"web-01"`, `"\u0077eb\u002d01"`, 1)},
		"the same instant elsewhere": {ada, strings.Replace(whole, `08:30:26.900000Z`, `09:30:26.9+01:00`, 1)},
	} {
		a := post(t, s, again.by, "/audit-logs", again.body)
		if a.status != http.StatusCreated || a.body != first.body || a.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s: %d %v %s", name, a.status, a.header, a.body)
		}
	}
	if got := list(t, s, ada, "/audit-logs"); got.Total != 1 {
		t.Errorf("%d entries are stored", got.Total)
	}
	// An id belongs to one organization: elsewhere it is free.
	elsewhere := post(t, s, testkit.Member("other"), "/audit-logs", whole)
	if elsewhere.status != http.StatusCreated || elsewhere.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("another organization: %d %s", elsewhere.status, elsewhere.body)
	}
}

func TestOtherContentUnderAKnownIDIsAConflict(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	if a := post(t, s, ada, "/audit-logs", whole); a.status != http.StatusCreated {
		t.Fatal(a.body)
	}
	for name, change := range map[string][2]string{
		"a value":             {`"web-01"`, `"web-02"`},
		"a letter's case":     {`"web-01"`, `"Web-01"`},
		"a normal form":       {"é\",\"userId", "e\u0301\",\"userId"},
		"a member less":       {`"userName":"Ada Lovelace",`, ``},
		"a number's digits":   {`1.10`, `1.1`},
		"the order of keys":   {`"b":1.10,"a":12345678901234567890`, `"a":12345678901234567890,"b":1.10`},
		"the spelling":        {`\u00e9\/`, `é/`},
		"a microsecond":       {`26.900000Z`, `26.900001Z`},
		"which of two states": {`"beforeState":{"b":1.10,"a":12345678901234567890,"é":1e2},`, ``},
	} {
		other := strings.Replace(whole, change[0], change[1], 1)
		if other == whole {
			t.Fatal(name)
		}
		if p := post(t, s, ada, "/audit-logs", other).problem(t, http.StatusConflict); p.ID == nil || *p.ID != "e-1" {
			t.Errorf("%s: the problem doesn't name the id: %+v", name, p)
		}
		batch := `{"items":[{"action":"new","resourceType":"t"},` + other + `,{"action":"new","resourceType":"t"}]}`
		if p := post(t, s, ada, "/audit-logs/batch", batch).problem(t, http.StatusConflict); p.ID == nil || *p.ID != "e-1" {
			t.Errorf("%s: the batch's problem doesn't name the id: %+v", name, p)
		}
	}
	if got := list(t, s, ada, "/audit-logs"); got.Total != 1 {
		t.Errorf("%d entries are stored", got.Total)
	}
}

func TestOneIDSentByManyAtOnceIsStoredOnce(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	var together sync.WaitGroup
	answers := make([]answer, 16)
	for i := range answers {
		together.Go(func() { answers[i] = post(t, s, ada, "/audit-logs", whole) })
	}
	together.Wait()
	fresh := 0
	for _, a := range answers {
		if a.status != http.StatusCreated || a.body != answers[0].body {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a.header.Get("Idempotency-Replayed") == "" {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d of the answers say that they stored it", fresh)
	}
}

func TestABatchIsAnsweredInTheOrderSent(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	known := read[client.AuditLog](t, post(t, s, ada, "/audit-logs", whole), http.StatusCreated)
	batch := `{"items":[{"id":"z","action":"a","resourceType":"t"},` + whole + `,{"action":"a","resourceType":"t"},{"id":"a","action":"a","resourceType":"t"}]}`
	first := post(t, s, ada, "/audit-logs/batch", batch)
	receipts := read[client.AuditLogReceiptList](t, first, http.StatusCreated).Items
	if len(receipts) != 4 || first.header.Get("Idempotency-Replayed") != "" {
		t.Fatalf("%v %s", first.header, first.body)
	}
	for i, want := range []struct {
		id       string
		position int64
		existing bool
	}{{"z", 1, false}, {"e-1", 0, true}, {receipts[2].ID, 2, false}, {"a", 3, false}} {
		if got := receipts[i]; got.ID != want.id || got.Position != want.position || got.Existing != want.existing {
			t.Errorf("receipt %d: %+v, want %+v", i, got, want)
		}
	}
	if !receipts[1].CreatedAt.Equal(known.CreatedAt) {
		t.Errorf("the known entry's createdAt is %v, was %v", receipts[1].CreatedAt, known.CreatedAt)
	}
	// With one entry that the service has to name there is no replay; without it there is.
	replay := strings.Replace(batch, `,{"action":"a","resourceType":"t"}`, "", 1)
	again := post(t, s, ada, "/audit-logs/batch", replay)
	for _, r := range read[client.AuditLogReceiptList](t, again, http.StatusCreated).Items {
		if !r.Existing {
			t.Errorf("%s is new", r.ID)
		}
	}
	if again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("replayed batch: %v", again.header)
	}
	if got := list(t, s, ada, "/audit-logs"); got.Total != 4 || !slices.Equal(ids(t, got.Items), []string{"a", receipts[2].ID, "z", "e-1"}) {
		t.Errorf("stored: %s", join(got.Items))
	}
}

func TestABatchTakesOneToAThousandEntriesAllOrNothing(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	const least, bad = `{"action":"a","resourceType":"t"}`, `{"action":"a"}`
	items := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	for _, c := range []struct {
		name, items string
		status      int
		pointers    []string
	}{
		{"none", "", 400, []string{"/items"}},
		{"one too many", items(audit.MaxBatch+1, least), 400, []string{"/items"}},
		{"one bad at the end", items(audit.MaxBatch-1, least) + "," + bad, 400, []string{"/items/999/resourceType"}},
		{"one id twice", `{"id":"x","action":"a","resourceType":"t"},` + least + `,{"id":"x","action":"a","resourceType":"t"}`, 400, []string{"/items/2/id"}},
		{"a fault that no schema states", least + `,{"id":"..","action":"a","resourceType":"t"}`, 422, []string{"/items/1/id"}},
		{"too large an entry", least + `,{"action":"a","resourceType":"t","afterState":{"x":"` + strings.Repeat("x", audit.MaxEntryBytes) + `"}}`, 422, []string{"/items/1"}},
	} {
		p := post(t, s, ada, "/audit-logs/batch", `{"items":[`+c.items+`]}`).problem(t, c.status)
		if !slices.Equal(pointers(p), c.pointers) {
			t.Errorf("%s: faults at %q, want %q", c.name, pointers(p), c.pointers)
		}
	}
	if got := list(t, s, ada, "/audit-logs"); got.Total != 0 {
		t.Fatalf("%d entries of refused batches are stored", got.Total)
	}
	for _, n := range []int{1, audit.MaxBatch} {
		a := post(t, s, ada, "/audit-logs/batch", `{"items":[`+items(n, least)+`]}`)
		if got := read[client.AuditLogReceiptList](t, a, http.StatusCreated).Items; len(got) != n {
			t.Errorf("%d receipts for %d entries", len(got), n)
		}
	}
}

func TestPositionsAreDenseAndTimeNeverRunsBackwards(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	const writers, rounds = 8, 6
	var together sync.WaitGroup
	for w := range writers {
		together.Go(func() {
			for range rounds {
				path, body := "/audit-logs", `{"action":"a","resourceType":"t"}`
				if w%2 == 0 {
					path, body = path+"/batch", `{"items":[`+body+`,`+body+`,`+body+`]}`
				}
				if a := post(t, s, ada, path, body); a.status != http.StatusCreated {
					t.Error(a.body)
				}
			}
		})
	}
	together.Wait()
	const total = writers / 2 * rounds * (1 + 3)
	stored := list(t, s, ada, "/audit-logs?per_page=1000").Items
	if len(stored) != total {
		t.Fatalf("%d entries, want %d", len(stored), total)
	}
	sixDigits := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`)
	before := ""
	for i := range stored {
		var e struct {
			Position  int64
			CreatedAt string
		}
		if err := json.Unmarshal(stored[total-1-i], &e); err != nil {
			t.Fatal(err)
		}
		if e.Position != int64(i) || e.CreatedAt < before || !sixDigits.MatchString(e.CreatedAt) {
			t.Fatalf("entry %d has position %d and time %s after %s", i, e.Position, e.CreatedAt, before)
		}
		before = e.CreatedAt
	}
}

func TestFaultsOfABodyAreNamedByPointer(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	nest := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	entry := func(members string) string { return `{"action":"a","resourceType":"t",` + members + `}` }
	const one, batch, admin = "/audit-logs", "/audit-logs/batch", "/admin/audit-logs"
	cases := []struct {
		name, path, body string
		status           int
		pointers         string // joined by spaces; a lone "." is the body as a whole
	}{
		// Refused by the schema.
		{"nothing required", one, `{}`, 400, "/action /resourceType"},
		{"nothing required of admin entries", admin, `{}`, 400, "/action"},
		{"null", one, `{"action":null,"resourceType":"t"}`, 400, "/action"},
		{"empty", one, `{"action":"","resourceType":""}`, 400, "/action /resourceType"},
		{"empty optional ones", one, entry(`"id":"","userId":"","userAgent":""`), 400, "/id /userAgent /userId"},
		{"null optional ones", one, entry(`"id":null,"userId":null,"afterState":null`), 400, "/afterState /id /userId"},
		{"numbers for strings", one, `{"action":1,"resourceType":true}`, 400, "/action /resourceType"},
		{"lists for states", one, entry(`"beforeState":[],"afterState":"{}"`), 400, "/afterState /beforeState"},
		{"characters of an id", one, entry(`"id":"a b"`), 400, "/id"},
		{"a slash in an id", one, entry(`"id":"a/b"`), 400, "/id"},
		{"a line's end in an id", one, entry(`"id":"a\n"`), 400, "/id"},
		{"unknown members", one, entry(`"Action":"a","resource_type":"t","":1`), 400, "/ /Action /resource_type"},
		{"what the service sets", one, entry(`"position":1,"createdAt":"x","recordedBy":"x","importedAt":"x"`), 400, "/createdAt /importedAt /position /recordedBy"},
		{"unknown members that need escaping", one, entry(`"a/b~c":1,"q\"\\":1,"é\n":1`), 400, "/a~1b~0c /q\"\\ /é\n"},
		{"unknown beside items", batch, `{"items":[{"action":"a","resourceType":"t"}],"more":1}`, 400, "/more"},
		{"items that is no list", batch, `{"items":{}}`, 400, "/items"},
		{"no items", batch, `{}`, 400, "/items"},
		{"items that are no entries", batch, `{"items":[null,1,[]]}`, 400, "/items/0 /items/1 /items/2"},
		{"unknown in an item", batch, `{"items":[{"action":"a","resourceType":"t","0":1,"items":1}]}`, 400, "/items/0/0 /items/0/items"},
		{"types of admin members", admin, `{"action":"a","userId":1,"details":[],"organizationId":null}`, 400, "/details /organizationId /userId"},
		// Not JSON, or not one object.
		{"an empty body", one, ``, 400, "."},
		{"white space alone", one, ` `, 400, "."},
		{"a list", one, `[]`, 400, "."},
		{"null for a body", one, `null`, 400, "."},
		{"a broken-off body", one, `{"action":"a","resourceType":"t"`, 400, "."},
		{"bytes after the end", one, `{"action":"a","resourceType":"t"} x`, 400, "."},
		{"two bodies", one, `{"action":"a","resourceType":"t"}{}`, 400, "."},
		{"a byte order mark", one, "\ufeff" + `{"action":"a","resourceType":"t"}`, 400, "."},
		{"bad UTF-8", one, entry("\"userName\":\"\xff\""), 400, "/userName"},
		{"bad UTF-8 in a state", batch, `{"items":[` + entry("\"afterState\":{\"k\":[\"\xc3\"]}") + `]}`, 400, "/items/0/afterState/k/0"},
		{"a control character", one, entry("\"userName\":\"\x01\""), 400, "/userName"},
		{"a comma too many", one, entry(`"afterState":{"a":1,}`), 400, "/afterState"},
		{"a number with a leading zero", one, entry(`"afterState":{"a":01}`), 400, "/afterState/a"},
		{"not a number", one, entry(`"afterState":{"a":NaN}`), 400, "/afterState/a"},
		// Rules that no schema states.
		{"a key twice", one, `{"action":"a","action":"a","resourceType":"t"}`, 422, "/action"},
		{"a key twice in a state", one, entry(`"afterState":{"a":{"b":1,"\u0062":2}}`), 422, "/afterState/a/b"},
		{"a key twice in details", admin, `{"action":"a","details":{"a":[{"x":1,"x":1}]}}`, 422, "/details/a/0/x"},
		{"half a surrogate pair", one, entry(`"userName":"\ud800"`), 422, "/userName"},
		{"halves the wrong way round", one, entry(`"userName":"\udc00\ud800"`), 422, "/userName"},
		{"NUL", one, entry(`"userName":"\u0000"`), 422, "/userName"},
		{"NUL in a state's key", one, entry(`"afterState":{"\u0000":1}`), 422, "/afterState"},
		{"levels of a state", one, entry(`"afterState":` + nest(33)), 422, "/afterState" + strings.Repeat("/a", 32)},
		{"levels of lists", one, entry(`"afterState":{"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`), 422, "/afterState/a" + strings.Repeat("/0", 31)},
		{"levels of details", admin, `{"action":"a","details":` + nest(33) + `}`, 422, "/details" + strings.Repeat("/a", 32)},
		{"levels of an open member", admin, `{"action":"a","x":` + nest(33) + `}`, 422, "/x" + strings.Repeat("/a", 32)},
		{"a hundred thousand levels", one, entry(`"afterState":` + nest(100_000)), 422, "/afterState" + strings.Repeat("/a", 34)},
		{"a number's length", one, entry(`"afterState":{"n":` + strings.Repeat("1", 65) + `}`), 422, "/afterState/n"},
		{"an id that is a path", one, entry(`"id":".."`), 422, "/id"},
		{"an id that is a path, of admin entries", admin, `{"action":"a","id":"."}`, 422, "/id"},
		{"two rules at once", one, entry(`"id":".","occurredAt":"yesterday"`), 422, "/id /occurredAt"},
		{"bytes of an entry", one, entry(`"afterState":{"x":"` + strings.Repeat("x", audit.MaxEntryBytes) + `"}`), 422, "."},
		{"bytes of an admin entry", admin, `{"action":"a","x":"` + strings.Repeat("x", audit.MaxEntryBytes) + `"}`, 422, "."},
		{"what the service sets, of admin entries", admin, `{"action":"a","position":1,"createdAt":"x","recordedBy":"x","importedAt":"x"}`, 422, "/position /createdAt /recordedBy /importedAt"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			by := ada
			if c.path == admin {
				by = grace
			}
			a := send(t, s, by, http.MethodPost, c.path, c.body, "Content-Type", "application/json")
			got := strings.Join(pointers(a.problem(t, c.status)), " ")
			if got != strings.TrimPrefix(c.pointers, ".") {
				t.Errorf("faults at %q, want %q", got, c.pointers)
			}
		})
	}
	if stored := storedText(t, s); len(stored) != 0 {
		t.Errorf("of refused bodies is stored: %q", stored)
	}
}

// storedText is every stored entry of every organization, read past the service.
func storedText(t testing.TB, s *testkit.Service) []string {
	t.Helper()
	var all []string
	conn := testkit.Connect(t, s.Database.SuperuserURL)
	if err := conn.QueryRow(t.Context(), "SELECT coalesce(array_agg(entry), '{}') FROM entries").Scan(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAtMostTwentyFaultsAreTold(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	var unknown, refused strings.Builder
	for i := range 30 {
		fmt.Fprintf(&unknown, `,"x%02d":1`, i)
		fmt.Fprintf(&refused, `,{"id":".","action":"a","resourceType":"t"}`)
	}
	a := post(t, s, ada, "/audit-logs", `{"action":"a","resourceType":"t"`+unknown.String()+`}`)
	if got := pointers(a.problem(t, 400)); len(got) != audit.MaxFaults || got[0] != "/x00" || got[19] != "/x19" {
		t.Errorf("%q", got)
	}
	a = post(t, s, ada, "/audit-logs/batch", `{"items":[`+refused.String()[1:]+`]}`)
	if got := pointers(a.problem(t, 422)); len(got) != audit.MaxFaults || got[0] != "/items/0/id" || got[19] != "/items/19/id" {
		t.Errorf("%q", got)
	}
}

// The bounds are taken from the document, so that it can't state others than are kept.
func TestBoundsAreThoseOfTheDocumentAndCountBytes(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for _, kind := range []struct {
		schema, path, least string
		by                  audit.Principal
	}{
		{"NewAuditLog", "/audit-logs", `"action":"a","resourceType":"t"`, ada},
		{"NewAdminAuditLog", "/admin/audit-logs", `"action":"a"`, grace},
	} {
		for name, property := range spec(t).Components.Schemas[kind.schema].Value.Properties {
			if property.Value.MaxLength == nil || name == "occurredAt" {
				continue
			}
			bound := int(*property.Value.MaxLength)
			with := func(value string) answer {
				body := "{" + kind.least + "," + `"` + name + `":"` + value + `"}`
				if strings.Contains(kind.least, `"`+name+`"`) {
					body = "{" + regexp.MustCompile(`"`+name+`":"."`).ReplaceAllString(kind.least, `"`+name+`":"`+value+`"`) + "}"
				}
				return post(t, s, kind.by, kind.path, body)
			}
			if a := with(strings.Repeat("x", bound)); a.status != http.StatusCreated {
				t.Errorf("%s.%s of %d bytes: %s", kind.schema, name, bound, a.body)
			}
			if p := with(strings.Repeat("x", bound+1)).problem(t, 400); !slices.Equal(pointers(p), []string{"/" + name}) {
				t.Errorf("%s.%s of %d bytes: %q", kind.schema, name, bound+1, pointers(p))
			}
			if name == "id" {
				continue // takes ASCII alone
			}
			if p := with("x"+strings.Repeat("é", bound/2)).problem(t, 422); !slices.Equal(pointers(p), []string{"/" + name}) {
				t.Errorf("%s.%s of %d bytes in %d characters: %q", kind.schema, name, bound+1, bound/2+1, pointers(p))
			}
		}
	}
}

func TestAnEntryAtEveryBoundIsStored(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	nested := strings.Repeat(`{"a":`, 32) + "1" + strings.Repeat("}", 32)
	number := "-0." + strings.Repeat("1", 61)
	for _, state := range []string{nested, `{"n":` + number + `}`, `{"pair":"\ud83d\ude00","":{}}`} {
		for _, body := range []string{
			`{"action":"a","resourceType":"t","afterState":` + state + `}`,
			`{"action":"a","details":` + state + `}`,
		} {
			by, path := ada, "/audit-logs"
			if strings.Contains(body, "details") {
				by, path = grace, "/admin/audit-logs"
			}
			if a := post(t, s, by, path, body); a.status != http.StatusCreated || !strings.Contains(a.body, state) {
				t.Errorf("%s: %d %s", state, a.status, a.body)
			}
		}
	}
	// The bound is on the entry as it is kept of what was sent, id included.
	frame := `{"id":"big","action":"a","resourceType":"t","afterState":{"x":""}`
	fill := strings.Repeat("x", audit.MaxEntryBytes-len(frame))
	for status, fill := range map[int]string{http.StatusCreated: fill, http.StatusUnprocessableEntity: fill + "x"} {
		body := strings.Replace(frame, `""`, `"`+fill+`"`, 1) + "}"
		if a := post(t, s, ada, "/audit-logs", body); a.status != status {
			t.Errorf("%d bytes: %d %.200s", len(body)-1, a.status, a.body)
		}
	}
}

// Faults of JSON itself inside states are told together with the entry's others.
func TestEveryFaultOfAnEntryIsToldAtOnce(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for body, want := range map[string][]string{
		`{"action":"a","resourceType":"t","id":".","occurredAt":"x","beforeState":{"a":1,"a":2,"b":["\u0000","\ud800"]},"afterState":{"c":{"d":1,"d":2}}}`: {
			"/id", "/beforeState/a", "/beforeState/b/0", "/beforeState/b/1", "/afterState/c/d", "/occurredAt",
		},
		`{"action":"a","resourceType":"t","afterState":{"a":1},"afterState":{"a":2}}`: {"/afterState"},
		`{"action":"a","action":"b","resourceType":"t","afterState":{"a":1,"a":2}}`:   {"/action", "/afterState/a"},
	} {
		if told := pointers(post(t, s, ada, "/audit-logs", body).problem(t, http.StatusUnprocessableEntity)); !slices.Equal(told, want) {
			t.Errorf("%s: faults at %q, want %q", body, told, want)
		}
	}
	admin := `{"action":"a","position":1,"details":{"a":1,"a":2,"n":` + strings.Repeat("1", 65) + `}}`
	want := []string{"/details/a", "/details/n", "/position"}
	if told := pointers(post(t, s, testkit.Operator(), "/admin/audit-logs", admin).problem(t, http.StatusUnprocessableEntity)); !slices.Equal(told, want) {
		t.Errorf("admin: faults at %q, want %q", told, want)
	}
}
