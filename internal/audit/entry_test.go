package audit_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
)

// fullDraft has every member.
func fullDraft() audit.Draft {
	return audit.Draft{
		ID: "e-1", Action: "server.updated", ResourceType: "server", ResourceID: "web-01", ResourceName: "Shop <front> \"end\"",
		UserID: "ada@acme.example", UserName: "Ada Løvelace", IPAddress: "192.0.2.14", UserAgent: "curl/8\t\x01",
		BeforeState: []byte("{ \"memoryGiB\" : 4.0, \"a\\/b\": [ ] }"), AfterState: []byte(`{"memoryGiB":9007199254740993}`),
		OccurredAt: "2026-11-23t07:05:00.1234567 01:00",
	}
}

const fullContent = `{"id":"e-1","action":"server.updated","resourceType":"server","resourceId":"web-01",` +
	`"resourceName":"Shop <front> \"end\"","userId":"ada@acme.example","userName":"Ada Løvelace","ipAddress":"192.0.2.14",` +
	`"userAgent":"curl/8\t\u0001","beforeState":{"memoryGiB":4.0,"a\/b":[]},"afterState":{"memoryGiB":9007199254740993},` +
	`"occurredAt":"2026-11-23T06:05:00.123456Z"`

func TestStoredTextHasItsMembersInOneOrder(t *testing.T) {
	t.Parallel()
	entry, err := audit.Admit(fullDraft(), "")
	if err != nil {
		t.Fatal(err)
	}
	imported := time.Date(2026, 12, 1, 0, 0, 0, 5000, time.FixedZone("", 3600))
	for want, got := range map[string][]byte{
		fullContent:                              entry.Content,
		fullContent + `,"recordedBy":"a \"b\""}`: entry.Seal(`a "b"`, time.Time{}),
		fullContent + `,"recordedBy":"a","importedAt":"2026-11-30T23:00:00.000005Z"}`: entry.Seal("a", imported),
	} {
		if string(got) != want {
			t.Errorf("text = %s\n  want   %s", got, want)
		}
	}
	if entry.ID != "e-1" || entry.Action != "server.updated" || entry.ResourceType != "server" || entry.ResourceID != "web-01" ||
		entry.UserID != "ada@acme.example" || entry.SearchText != "" || !entry.OriginalTime.IsZero() {
		t.Errorf("entry = %+v", entry)
	}
}

func TestRowShowsPositionAndTime(t *testing.T) {
	t.Parallel()
	row := audit.Row{Position: 42, CreatedAt: time.Date(2026, 11, 23, 7, 5, 0, 900, time.FixedZone("", 3600)), Text: []byte(`{"id":"x","recordedBy":"y"}`)}
	const want = `[{"id":"x","recordedBy":"y","position":42,"createdAt":"2026-11-23T06:05:00.000000Z"}`
	if got := string(row.AppendJSON([]byte("["))); got != want {
		t.Errorf("row = %s; want %s", got, want)
	}
}

func TestAnEntryWithoutAnIDGetsOne(t *testing.T) {
	t.Parallel()
	draft := audit.Draft{Action: "a", ResourceType: "b"}
	first, err := audit.Admit(draft, "")
	second, err2 := audit.Admit(draft, "")
	if err != nil || err2 != nil || first.ID == second.ID || !audit.ValidID(first.ID) || first.ID[14] != '7' {
		t.Fatalf("ids %q and %q, %v, %v; want two UUIDs of version 7", first.ID, second.ID, err, err2)
	}
	if want := `{"id":"` + first.ID + `","action":"a","resourceType":"b"`; string(first.Content) != want {
		t.Errorf("content = %s; want %s", first.Content, want)
	}
}

func TestIDsAreURLSafe(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"a": true, "A-z_0.~": true, "...": true, ".a": true, "01a20787-24eb-7d5a-9fd1-2aabfe228f21": true, strings.Repeat("x", 128): true,
		"": false, ".": false, "..": false, strings.Repeat("x", 129): false, "a/b": false, "a b": false, "a%20": false,
		"é": false, "a\n": false, "a\x00": false, "a+b": false, "a:b": false,
	} {
		if got := audit.ValidID(id); got != want {
			t.Errorf("ValidID(%.20q) = %t", id, got)
		}
		if id == "" {
			continue
		}
		if _, err := audit.Admit(audit.Draft{ID: id, Action: "a", ResourceType: "b"}, "/items/3"); (err == nil) != want {
			t.Errorf("Admit with the id %.20q: %v", id, err)
		} else if !want {
			checkFaults(t, err, audit.ErrUnprocessable, "/items/3/id")
		}
	}
}

// checkFaults wants a rejection of the kind that points at exactly these places.
func checkFaults(t *testing.T, err, kind error, pointers ...string) {
	t.Helper()
	var r *audit.Rejection
	if !errors.As(err, &r) || !errors.Is(err, kind) {
		t.Errorf("error = %v; want %v", err, kind)
		return
	}
	var got []string
	for _, f := range r.Faults {
		got = append(got, f.Pointer)
		if f.Detail == "" {
			t.Errorf("%q has no detail", f.Pointer)
		}
	}
	if !slices.Equal(got, pointers) {
		t.Errorf("faults at %q; want %q", got, pointers)
	}
}

func TestBoundsAreBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		max  int
		set  func(*audit.Draft, string)
	}{
		{"action", 200, func(d *audit.Draft, v string) { d.Action = v }},
		{"resourceType", 100, func(d *audit.Draft, v string) { d.ResourceType = v }},
		{"resourceId", 1024, func(d *audit.Draft, v string) { d.ResourceID = v }},
		{"resourceName", 1024, func(d *audit.Draft, v string) { d.ResourceName = v }},
		{"userId", 512, func(d *audit.Draft, v string) { d.UserID = v }},
		{"userName", 512, func(d *audit.Draft, v string) { d.UserName = v }},
		{"ipAddress", 256, func(d *audit.Draft, v string) { d.IPAddress = v }},
		{"userAgent", 2048, func(d *audit.Draft, v string) { d.UserAgent = v }},
	} {
		for value, ok := range map[string]bool{
			strings.Repeat("x", c.max):          true,
			strings.Repeat("é", c.max/2):        true,
			strings.Repeat("😀", c.max/4):        true,
			strings.Repeat("\x01", c.max):       true, // six times as long in the stored text
			"\r\n\x1b[0m\u2028\u202e${jndi:}\t": true,
			strings.Repeat("x", c.max+1):        false,
			strings.Repeat("é", c.max/2) + "x":  false,
			"a\x00b":                            false,
			"a\xff":                             false,
			"\xed\xa0\x80":                      false,
		} {
			draft := audit.Draft{Action: "a", ResourceType: "b"}
			c.set(&draft, value)
			entry, err := audit.Admit(draft, "")
			if !ok {
				checkFaults(t, err, audit.ErrUnprocessable, "/"+c.name)
				continue
			}
			var stored map[string]string
			if err != nil || json.Unmarshal(entry.Seal("r", time.Time{}), &stored) != nil || stored[c.name] != value {
				t.Errorf("%s of %d bytes: %v", c.name, len(value), err)
			}
		}
	}
}

func TestAdmitNamesEveryFault(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3000)
	all := audit.Draft{
		ID: "a/b", ResourceID: long, ResourceName: long, UserID: long, UserName: long, IPAddress: long, UserAgent: long,
		BeforeState: []byte(`{"a":{"b":1,"b":2}}`), AfterState: []byte(`{"~/":"\u0000"}`), OccurredAt: "now",
	}
	_, err := audit.Admit(all, "/items/7")
	checkFaults(t, err, audit.ErrUnprocessable,
		"/items/7/id", "/items/7/action", "/items/7/resourceType", "/items/7/resourceId", "/items/7/resourceName", "/items/7/userId",
		"/items/7/userName", "/items/7/ipAddress", "/items/7/userAgent", "/items/7/beforeState/a/b", "/items/7/afterState/~0~1", "/items/7/occurredAt")
}

func TestAStateThatIsNoJSONIsMalformed(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"", "null", "[]", `"{}"`, `{"a":01}`, `{} x`} {
		_, err := audit.Admit(audit.Draft{ID: "a/b", Action: "a", ResourceType: "b", AfterState: []byte(state)}, "")
		if !errors.Is(err, audit.ErrMalformed) {
			t.Errorf("state %q: %v; want malformed", state, err)
		}
	}
}

func TestAnEntryHasAtMost256KiB(t *testing.T) {
	t.Parallel()
	draft := func(length int) audit.Draft {
		const around = len(`{"id":"x","action":"a","resourceType":"b","afterState":{"k":""}`)
		return audit.Draft{ID: "x", Action: "a", ResourceType: "b", AfterState: []byte(`{ "k" : "` + strings.Repeat("x", length-around) + `" }`)}
	}
	if _, err := audit.Admit(draft(audit.MaxEntryBytes), ""); err != nil {
		t.Errorf("an entry of 256 KiB: %v", err)
	}
	_, err := audit.Admit(draft(audit.MaxEntryBytes+1), "/items/0")
	checkFaults(t, err, audit.ErrUnprocessable, "/items/0")
}

func TestOccurredAtIsNormalised(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		"2026-11-23T06:05:00Z":                "2026-11-23T06:05:00.000000Z",
		"2026-11-23t06:05:00.9 01:00":         "2026-11-23T05:05:00.900000Z",
		"2026-11-23T06:05:00.9999999Z":        "2026-11-23T06:05:00.999999Z",
		"2016-12-31T23:59:60Z":                "2016-12-31T23:59:59.000000Z",
		"0001-01-01T00:00:00Z":                "0001-01-01T00:00:00.000000Z",
		"9999-12-31T23:59:59.999999999+00:00": "9999-12-31T23:59:59.999999Z",
		"2026-11-23T24:00:00Z":                "",
		"2026-11-23T06:05:00,5Z":              "",
	} {
		entry, err := audit.Admit(audit.Draft{ID: "x", Action: "a", ResourceType: "b", OccurredAt: sent}, "")
		if want == "" {
			checkFaults(t, err, audit.ErrUnprocessable, "/occurredAt")
		} else if err != nil || !strings.HasSuffix(string(entry.Content), `,"occurredAt":"`+want+`"`) {
			t.Errorf("occurredAt %s: %s, %v; want %s", sent, entry.Content, err, want)
		}
	}
}

func TestSameContentIsTheSameEntry(t *testing.T) {
	t.Parallel()
	first, err := audit.Admit(fullDraft(), "")
	if err != nil {
		t.Fatal(err)
	}
	createdAt := instant(t, "2026-11-23T06:05:00.000001Z")
	stored := audit.Row{CreatedAt: createdAt, Text: first.Seal("by one", time.Time{})}
	imported := audit.Row{CreatedAt: createdAt, Text: first.Seal("by one", createdAt.Add(time.Hour))}

	again := fullDraft()
	again.BeforeState = []byte(`{"memoryGiB":4.0,"a\/b":[]}`)
	again.OccurredAt = "2026-11-23T06:05:00.123456Z"
	replay, err := audit.Admit(again, "/items/9")
	if err != nil || !replay.SameAs(stored) || !replay.SameAs(imported) {
		t.Errorf("a replay with other white space, by another recorder, is another entry (%v)", err)
	}

	for name, change := range map[string]func(*audit.Draft){
		"id":              func(d *audit.Draft) { d.ID = "e-2" },
		"a letter's case": func(d *audit.Draft) { d.Action = "server.Updated" },
		"a digit":         func(d *audit.Draft) { d.BeforeState = []byte(`{"memoryGiB":4.00,"a\/b":[]}`) },
		"an escape":       func(d *audit.Draft) { d.BeforeState = []byte(`{"memoryGiB":4.0,"a/b":[]}`) },
		"keys' order":     func(d *audit.Draft) { d.BeforeState = []byte(`{"a\/b":[],"memoryGiB":4.0}`) },
		"a microsecond":   func(d *audit.Draft) { d.OccurredAt = "2026-11-23T06:05:00.123457Z" },
		"one member less": func(d *audit.Draft) { d.OccurredAt = "" },
		"an empty state":  func(d *audit.Draft) { d.AfterState = []byte("{}") },
		"states swapped":  func(d *audit.Draft) { d.BeforeState, d.AfterState = d.AfterState, d.BeforeState },
	} {
		draft := fullDraft()
		change(&draft)
		if other, err := audit.Admit(draft, ""); err != nil || other.SameAs(stored) || first.SameAs(audit.Row{Text: other.Seal("by one", time.Time{})}) {
			t.Errorf("with another %s it is the same entry (%v)", name, err)
		}
	}

	for at, want := range map[string]bool{
		"2026-11-23T06:05:00.000001Z":      true,
		"2026-11-23T07:05:00.000001+01:00": true,
		"2026-11-23T06:05:00.000002Z":      false,
	} {
		first.OriginalTime = instant(t, at)
		if first.SameAs(imported) != want {
			t.Errorf("imported again as of %s: the same is %t", at, !want)
		}
	}
}

// What makes one content a beginning of another must not make them the same.
func TestContentThatBeginsAnotherIsAnotherEntry(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{`{"id":"x","action":"a"}`, `{"id":"x","action":"a","details":{}}`},
		{`{"id":"x","action":"a"}`, `{"id":"x","action":"a","recordedByNobody":1}`},
		{`{"id":"x","action":"a"}`, `{"id":"x","action":"a","z":{"recordedBy":"y"}}`},
		{`{"id":"x","action":"a","z":1}`, `{"id":"x","action":"a","z":12}`},
		{`{"id":"x","action":"a","z":"b"}`, `{"id":"x","action":"a","z":"b\",\"recordedBy\":\"y"}`},
		{`{"id":"x","action":"a"}`, `{"id":"x","action":"a\",\"recordedBy\":\"y"}`},
	} {
		short, err := audit.AdmitAdmin([]byte(pair[0]))
		long, err2 := audit.AdmitAdmin([]byte(pair[1]))
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		for _, c := range [][2]audit.Admitted{{short, long}, {long, short}} {
			if c[0].SameAs(audit.Row{Text: c[1].Seal("y", time.Time{})}) {
				t.Errorf("%s is the same as %s", c[0].Content, c[1].Content)
			}
		}
	}
}

func FuzzAdmit(f *testing.F) {
	full := fullDraft()
	f.Add(full.ID, full.Action, full.ResourceType, full.ResourceID, full.UserAgent, full.BeforeState, full.OccurredAt)
	f.Add("", "a", "b", "\x00", "\xff", []byte(`{"a":1,"\u0061":1}`), "now")
	f.Add("..", "", "", strings.Repeat("é", 600), "\u2028", []byte("null"), strings.Repeat("ı", 10))
	f.Fuzz(func(t *testing.T, id, action, resourceType, resourceID, userAgent string, before []byte, occurredAt string) {
		draft := audit.Draft{
			ID: id, Action: action, ResourceType: resourceType, ResourceID: resourceID, UserAgent: userAgent,
			BeforeState: before, OccurredAt: occurredAt,
		}
		entry, err := audit.Admit(draft, "/items/0")
		if err != nil {
			checkRejection(t, err)
			return
		}
		row := audit.Row{CreatedAt: time.Unix(0, 0), Text: entry.Seal("r", time.Time{})}
		checkStored(t, entry, row)
		var shown struct {
			ID, Action, ResourceType, ResourceID, UserAgent, RecordedBy, CreatedAt string
			BeforeState                                                            json.RawMessage
		}
		if err := json.Unmarshal(row.AppendJSON(nil), &shown); err != nil {
			t.Fatal(err)
		}
		kept := shown.ID == entry.ID && (id == "" || id == entry.ID) && shown.Action == action && shown.ResourceType == resourceType &&
			shown.ResourceID == resourceID && shown.UserAgent == userAgent && shown.RecordedBy == "r" && shown.CreatedAt == "1970-01-01T00:00:00.000000Z"
		if !kept || (before != nil) != (shown.BeforeState != nil) {
			t.Fatalf("%+v is shown as %+v", draft, shown)
		}
		again := draft
		again.ID = entry.ID
		if replay, err := audit.Admit(again, ""); err != nil || !replay.SameAs(row) {
			t.Fatalf("its replay isn't the same: %v", err)
		}
	})
}

func checkRejection(t *testing.T, err error) {
	t.Helper()
	var r *audit.Rejection
	known := errors.Is(err, audit.ErrMalformed) || errors.Is(err, audit.ErrUnprocessable)
	if !errors.As(err, &r) || !known || len(r.Faults) == 0 || len(r.Faults) > audit.MaxFaults {
		t.Fatalf("rejection = %#v", err)
	}
}

// checkStored holds for every entry that was let in, of either kind.
func checkStored(t *testing.T, entry audit.Admitted, row audit.Row) {
	t.Helper()
	if !entry.SameAs(row) || !json.Valid(row.Text) || !audit.ValidID(entry.ID) || len(entry.Content) > audit.MaxEntryBytes+64 {
		t.Fatalf("stored as %s", row.Text)
	}
	for _, organization := range []string{"acme", audit.AdminOrganization} {
		if _, err := audit.Leaf(organization, row.CreatedAt, row.Text, audit.NewSalts(organization, row.Text)); err != nil {
			t.Fatal(err)
		}
	}
}
