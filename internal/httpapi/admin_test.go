package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"ocore.dev/audit/gen/client"
	"ocore.dev/audit/internal/testkit"
)

func TestAdminEntriesComeBackAsSent(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	const sent = `{"id":"a-1","action":"org.updated","userId":"grace","userName":"Grace Hopper","organizationId":"acme",` +
		`"details":{"b":1.10,"a":[{"n":12345678901234567890}],"é":null},"ipAddress":"192.0.2.1","userAgent":"back-office",` +
		`"ticket":"SUP-\u0031","resourceType":"x","items":[1.0,2e0],"null":null,"Action":"other","":{"\/":""},"deep":{"z":1,"a":2}}`
	recorded := post(t, s, grace, "/admin/audit-logs", sent)
	entry := read[map[string]json.RawMessage](t, recorded, http.StatusCreated)
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(sent), &members); err != nil {
		t.Fatal(err)
	}
	for name, raw := range members {
		if string(entry[name]) != string(raw) {
			t.Errorf("%s came back as %s, was sent as %s", name, entry[name], raw)
		}
	}
	if added := len(entry) - len(members); added != 4 || string(entry["recordedBy"]) != `"grace"` || string(entry["position"]) != "0" {
		t.Errorf("%v", slices.Sorted(maps.Keys(entry)))
	}
	if p := list(t, s, grace, "/admin/audit-logs"); p.Total != 1 || p.Items != nil || string(p.Logs[0]) != withoutLeafHash(t, recorded.body) {
		t.Errorf("%s", join(p.Logs))
	}
	spaced := strings.NewReplacer(`,"`, ` , "`, `":`, "\":\n").Replace(sent)
	if a := post(t, s, grace, "/admin/audit-logs", spaced); a.status != http.StatusCreated || a.body != recorded.body || a.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("again with other white space: %d %v %s", a.status, a.header, a.body)
	}
	for _, change := range [][2]string{{`1.10`, `1.1`}, {`2e0`, `2.0`}, {`"null":null,`, ``}, {`\u0031`, `2`}, {`"z":1,"a":2`, `"a":2,"z":1`}} {
		a := post(t, s, grace, "/admin/audit-logs", strings.Replace(sent, change[0], change[1], 1))
		if p := a.problem(t, http.StatusConflict); p.ID == nil || *p.ID != "a-1" {
			t.Errorf("%v: %s", change, a.body)
		}
	}
	if p := list(t, s, grace, "/admin/audit-logs"); p.Total != 1 {
		t.Errorf("%d entries are stored", p.Total)
	}
}

func TestTheGeneratedClientReadsOpenMembers(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	c := s.Client(t, grace)
	recorded, err := c.CreateAdminAuditLogWithResponse(t.Context(), client.NewAdminAuditLog(`{"action":"a","ticket":"SUP-1"}`))
	if err != nil || recorded.JSON201 == nil {
		t.Fatal(err, string(recorded.Body))
	}
	logs, err := c.ListAdminAuditLogsWithResponse(t.Context(), &client.ListAdminAuditLogsParams{Action: new("a"), Limit: new(int32(5))})
	if err != nil || logs.JSON200 == nil || logs.JSON200.Total != 1 || logs.JSON200.Logs[0].AdditionalProperties["ticket"] != "SUP-1" {
		t.Fatal(err, string(logs.Body))
	}
}

func TestSearchFindsTextInActionAndDetailsWhateverItsCase(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	entries := map[string]string{
		"action":    `{"id":"action","action":"Org.Quota_Raised","userName":"nobody","ticket":"hidden"}`,
		"key":       `{"id":"key","action":"a","details":{"serverQuota":1}}`,
		"string":    `{"id":"string","action":"b","details":{"x":[{"y":"the QUOTA of acme"}]}}`,
		"number":    `{"id":"number","action":"c","details":{"from":10,"to":-25.50e1,"big":12345678901234567890}}`,
		"escaped":   `{"id":"escaped","action":"d","details":{"x":"q\u0075ota\u002e"}}`,
		"unicode":   `{"id":"unicode","action":"e","details":{"x":"ÄÖÜ straße ΣΊΣΥΦΟΣ \u212a"}}`,
		"wild":      `{"id":"wild","action":"f","details":{"x":"100% a_b \\ c*d?"}}`,
		"plain":     `{"id":"plain","action":"g","details":{"x":"1000 axb / cxd"}}`,
		"words":     `{"id":"words","action":"h","details":{"t":true,"f":false,"n":null,"e":"","two":"lines\nhere"}}`,
		"neighbour": `{"id":"neighbour","action":"left","details":{"right":"end","ab":"cd"}}`,
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if a := post(t, s, grace, "/admin/audit-logs", entries[name]); a.status != http.StatusCreated {
			t.Fatal(a.body)
		}
	}
	for search, want := range map[string]string{
		"quota":            "action escaped key string",
		"QuOtA":            "action escaped key string",
		"quota_":           "action",
		"org.quota_raised": "action",
		"quota.":           "escaped",
		"QUOTA OF":         "string",
		"10":               "number plain wild",
		"-25.50e1":         "number",
		"-25.50E1":         "number",
		"255":              "",
		"34567890123":      "number",
		"%":                "wild",
		"0%":               "wild",
		"00%":              "wild",
		"_":                "action wild",
		"a_b":              "wild",
		"a_":               "action wild",
		`\`:                "wild",
		`\ c`:              "wild",
		"c*d":              "wild",
		"*":                "wild",
		"d?":               "wild",
		"äöü":              "unicode",
		"ä":                "unicode",
		"STRASSE":          "",
		"STRAßE":           "unicode",
		"σίσυφος":          "unicode",
		"K":                "unicode", // the Kelvin sign's other case
		"lines\nhere":      "words",
		"leftright":        "",
		"rightend":         "",
		"hidden":           "", // beside details
		"nobody":           "",
		"ticket":           "",
		"true":             "", // neither key, string nor number
		"null":             "",
		"'":                "",
		`"`:                "",
		"a":                "action escaped key neighbour plain string unicode wild",
		"zz":               "",
		" ":                "plain string unicode wild",
	} {
		got := list(t, s, grace, "/admin/audit-logs?search="+url.QueryEscape(search))
		found := ids(t, got.Logs)
		slices.Sort(found)
		if strings.Join(found, " ") != want || got.Total != int64(len(found)) {
			t.Errorf("%q finds %v (%d), want %s", search, found, got.Total, want)
		}
	}
}

func TestSearchCombinesWithActionAndCountsExactly(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for i := range 60 {
		action := []string{"org.updated", "org.created", "quota"}[i%3]
		post(t, s, grace, "/admin/audit-logs", fmt.Sprintf(`{"action":%q,"details":{"n":%d,"text":"%s"}}`, action, 1000+i, strings.Repeat("quota ", i%2)))
	}
	for query, want := range map[string]int64{
		"":                                60,
		"action=org.updated":              20,
		"action=Org.updated":              0,
		"action=org":                      0,
		"search=quota":                    40, // 30 of the details, and 10 more of the action
		"search=QUOTA&action=org.updated": 10,
		"search=10&action=quota":          20,
		"search=101&action=quota":         3,
		"search=o&action=org.created":     20,
		"search=quota&action=unheard":     0,
	} {
		var found int64
		a, more := get(t, s, grace, "/admin/audit-logs?limit=7&"+query), true
		for ; more; a, more = next(t, s, grace, a) {
			p := read[page](t, a, http.StatusOK)
			if found += int64(len(p.Logs)); p.Total != want {
				t.Fatalf("%s: total %d, want %d", query, p.Total, want)
			}
		}
		if found != want {
			t.Errorf("%s: %d entries, want %d", query, found, want)
		}
	}
}

// Only the service itself says that there was an export.
func TestAnExportCannotBeMadeUp(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	a := post(t, s, testkit.Operator(), "/admin/audit-logs", `{"action":"audit_log.exported","organizationId":"acme"}`)
	if told := pointers(a.problem(t, http.StatusUnprocessableEntity)); !slices.Equal(told, []string{"/action"}) {
		t.Errorf("faults at %q", told)
	}
}
