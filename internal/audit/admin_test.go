package audit_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"ocore.dev/audit/internal/audit"
)

func TestAdminEntryKeepsOpenMembersAsSent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sent, content string }{
		{`{"id":"x","action":"a"}`, `{"id":"x","action":"a"`},
		{
			` { "ticket" : 1.50e0 , "userAgent":"u", "details" : { "b" : [ 1 ] , "a\/b" : "\u00e9" } , "z":{ "recordedBy" : null } , "organizationId" : "acme",
			"ipAddress":"i","userName":"\u00e9","userId":"u\/1","action":"a<b","id":"x", "a": [ { } ] } `,
			`{"id":"x","action":"a<b","userId":"u/1","userName":"é","organizationId":"acme","details":{"b":[1],"a\/b":"\u00e9"},` +
				`"ipAddress":"i","userAgent":"u","ticket":1.50e0,"z":{"recordedBy":null},"a":[{}]`,
		},
		{`{"caf\u00e9":1,"\/":2,"action":"a","id":"x","":3}`, `{"id":"x","action":"a","caf\u00e9":1,"\/":2,"":3`},
		{`{"\u0061ction":"a","\u0069d":"x","deta\u0069ls":{}}`, `{"id":"x","action":"a","details":{}`},
		{
			`{"action":"a","id":"x","Action":"b","resourceType":1,"occurredAt":"now","otherMembers":{},"v":2}`,
			`{"id":"x","action":"a","Action":"b","resourceType":1,"occurredAt":"now","otherMembers":{},"v":2`,
		},
	} {
		entry, err := audit.AdmitAdmin([]byte(c.sent))
		if err != nil || string(entry.Content) != c.content {
			t.Errorf("AdmitAdmin(%s) = %s, %v\n want %s", c.sent, entry.Content, err, c.content)
		}
	}
}

func TestAdminEntryWithoutAnIDGetsOne(t *testing.T) {
	t.Parallel()
	entry, err := audit.AdmitAdmin([]byte(`{"userId":"u","action":"a"}`))
	if err != nil || !audit.ValidID(entry.ID) || string(entry.Content) != `{"id":"`+entry.ID+`","action":"a","userId":"u"` {
		t.Errorf("entry = %+v, %v", entry, err)
	}
	if entry.Action != "a" || entry.UserID != "u" || entry.ResourceType != "" || entry.ResourceID != "" {
		t.Errorf("found by %+v", entry)
	}
}

func TestAdmitAdminRefuses(t *testing.T) {
	t.Parallel()
	malformed, ruledOut := audit.ErrMalformed, audit.ErrUnprocessable
	for sent, want := range map[string]struct {
		kind     error
		pointers []string
	}{
		``:                                           {malformed, []string{""}},
		`[]`:                                         {malformed, []string{""}},
		`{"action":"a"`:                              {malformed, []string{""}},
		`{}`:                                         {malformed, []string{"/action"}},
		`{"action":""}`:                              {malformed, []string{"/action"}},
		`{"action":null}`:                            {malformed, []string{"/action"}},
		`{"action":1}`:                               {malformed, []string{"/action"}},
		`{"action":"a","userId":["u"]}`:              {malformed, []string{"/userId"}},
		`{"action":"a","userId":""}`:                 {malformed, []string{"/userId"}},
		`{"action":"a","id":""}`:                     {malformed, []string{"/id"}},
		`{"action":"a","details":null}`:              {malformed, []string{"/details"}},
		`{"action":"a","details":[]}`:                {malformed, []string{"/details"}},
		`{"action":"a","details":"{}"}`:              {malformed, []string{"/details"}},
		`{"action":"a","id":".."}`:                   {ruledOut, []string{"/id"}},
		`{"action":"a","position":1}`:                {ruledOut, []string{"/position"}},
		`{"action":"a","\u0070osition":1}`:           {ruledOut, []string{"/position"}},
		`{"action":"a","createdAt":"x"}`:             {ruledOut, []string{"/createdAt"}},
		`{"action":"a","recordedBy":"x"}`:            {ruledOut, []string{"/recordedBy"}},
		`{"action":"a","importedAt":null}`:           {ruledOut, []string{"/importedAt"}},
		`{"action":"a","leafHash":""}`:               {ruledOut, []string{"/leafHash"}},
		`{"action":"a","\u0061ction":"a"}`:           {ruledOut, []string{"/action"}},
		`{"action":"a","x":{"y":[{"z/":"\ud800"}]}}`: {ruledOut, []string{"/x/y/0/z~1"}},
		`{"recordedBy":"x","id":"/","position":1}`:   {malformed, []string{"/recordedBy", "/position", "/action", "/id"}},
	} {
		_, err := audit.AdmitAdmin([]byte(sent))
		checkFaults(t, err, want.kind, want.pointers...)
		if t.Failed() {
			t.Fatalf("sent %s", sent)
		}
	}
}

func TestAdminBoundsAreBytes(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int{
		"action": 200, "userId": 512, "userName": 512, "organizationId": 64, "ipAddress": 256, "userAgent": 2048,
	} {
		for value, ok := range map[string]bool{
			strings.Repeat("x", limit):          true,
			strings.Repeat("é", limit/2):        true,
			strings.Repeat(`\u0001`, limit):     true,
			strings.Repeat("x", limit+1):        false,
			strings.Repeat(`\u00e9`, limit/2+1): false,
		} {
			sent := `{"action":"a","` + name + `":"` + value + `"}`
			if name == "action" {
				sent = `{"action":"` + value + `"}`
			}
			if _, err := audit.AdmitAdmin([]byte(sent)); (err == nil) != ok {
				t.Errorf("%s of %d bytes as written: %v", name, len(value), err)
			} else if !ok {
				checkFaults(t, err, audit.ErrUnprocessable, "/"+name)
			}
		}
	}
}

func TestAnAdminEntryHasAtMost256KiBAnd32LevelsInItsDetails(t *testing.T) {
	t.Parallel()
	sized := func(length int) []byte {
		const around = len(`{"action":"a","x":""}`)
		return []byte(`{"action": "a", "x": "` + strings.Repeat("x", length-around) + `"}`)
	}
	deep := func(levels int) []byte {
		return []byte(`{"action":"a","details":` + strings.Repeat(`{"k":`, levels) + "1" + strings.Repeat("}", levels+1))
	}
	for _, ok := range [][]byte{sized(audit.MaxEntryBytes), deep(32)} {
		if _, err := audit.AdmitAdmin(ok); err != nil {
			t.Error(err)
		}
	}
	_, err := audit.AdmitAdmin(sized(audit.MaxEntryBytes + 1))
	checkFaults(t, err, audit.ErrUnprocessable, "")
	_, err = audit.AdmitAdmin(deep(33))
	checkFaults(t, err, audit.ErrUnprocessable, "/details"+strings.Repeat("/k", 32))
}

func TestAdminSearchTextIsFolded(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		`{"action":"Org.Updated"}`:                                                             "ORG.UPDATED",
		`{"action":"a","details":{}}`:                                                          "A",
		`{"action":"a","other":"not searched","userId":"nor this"}`:                            "A",
		`{"action":"a","details":{"quota":{"From":10,"to":[2.50e1,"Stra\u00dfe"]},"on":true}}`: "A\nQUOTA\nFROM\n10\nTO\n2.50E1\nSTRAßE\nON",
		`{"action":"a","details":{"n":123456789012345678901234567890}}`:                        "A\nN\n123456789012345678901234567890",
	} {
		entry, err := audit.AdmitAdmin([]byte(sent))
		if err != nil || entry.SearchText != want {
			t.Errorf("%s is searched in %q, %v; want %q", sent, entry.SearchText, err, want)
		}
	}
}

func TestFoldMakesCaseVariantsEqual(t *testing.T) {
	t.Parallel()
	for _, variants := range [][]string{
		{"quota", "QUOTA", "QuOtA"},
		{"straße", "STRAẞE"},
		{"k", "K", "\u212a"}, // the Kelvin sign
		{"å", "Å", "\u212b"}, // the Ångström sign
		{"ὀδυσσεύς", "ὈΔΥΣΣΕΎΣ", "ὀδυσσεύσ"},
		{"s", "S", "ſ"},
		{"µ", "μ", "Μ"},
		{"ǆ", "ǅ", "Ǆ"},
		{"дом", "ДОМ"},
		{"𐐨", "𐐀"},
	} {
		for _, v := range variants[1:] {
			if audit.Fold(v) != audit.Fold(variants[0]) {
				t.Errorf("%q and %q differ", v, variants[0])
			}
		}
	}
}

// Simple folding knows no language and never changes how many characters there are.
func TestFoldKeepsOthersApart(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{{"ı", "i"}, {"İ", "i"}, {"ı", "İ"}, {"ß", "ss"}, {"ﬁ", "fi"}, {"e", "é"}, {"é", "e\u0301"}, {"a", "а"}} {
		if audit.Fold(pair[0]) == audit.Fold(pair[1]) {
			t.Errorf("%q and %q are equal", pair[0], pair[1])
		}
	}
}

func FuzzFold(f *testing.F) {
	f.Add("Straße ΣΊΣΥΦΟΣ \u212a ıİ", "STRAẞE σίσυφος k ıİ")
	f.Add("\xff", "\x00")
	f.Fuzz(func(t *testing.T, a, b string) {
		folded := audit.Fold(a)
		if audit.Fold(folded) != folded || utf8.RuneCountInString(folded) != utf8.RuneCountInString(a) {
			t.Fatalf("Fold(%q) = %q", a, folded)
		}
		if utf8.ValidString(a) && utf8.ValidString(b) && strings.EqualFold(a, b) != (folded == audit.Fold(b)) {
			t.Fatalf("%q and %q", a, b)
		}
	})
}

func FuzzAdmitAdmin(f *testing.F) {
	for _, seed := range []string{
		`{"action":"a"}`, `{"action":"a","details":{"K":[1,"é"]},"x":[1.0],"\u00e9":"\u00e9"}`, `{"action":"a","position":1}`, `{"\u0061ction":"a","id":"x"}`, `{`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		entry, err := audit.AdmitAdmin(sent)
		if err != nil {
			checkRejection(t, err)
			return
		}
		row := audit.Row{CreatedAt: time.Unix(0, 0), Text: entry.Seal("r", time.Time{})}
		checkStored(t, entry, row)
		var was, is map[string]json.RawMessage
		if json.Unmarshal(sent, &was) != nil || json.Unmarshal(row.Text, &is) != nil {
			t.Fatalf("%q is stored as %s", sent, row.Text)
		}
		delete(is, "recordedBy")
		if _, hasID := was["id"]; !hasID {
			delete(is, "id")
		}
		if len(was) != len(is) {
			t.Fatalf("%q is stored as %s", sent, row.Text)
		}
		named := map[string]bool{"id": true, "action": true, "userId": true, "userName": true, "organizationId": true, "ipAddress": true, "userAgent": true}
		for name, value := range was {
			var compact bytes.Buffer
			if err := json.Compact(&compact, value); err != nil {
				t.Fatal(err)
			}
			if !named[name] && !bytes.Equal(compact.Bytes(), is[name]) {
				t.Fatalf("%q of %q is stored as %s", name, sent, is[name])
			}
		}
	})
}
