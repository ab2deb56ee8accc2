package audit_test

import (
	"encoding/csv"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
)

func TestCSVHeaderIsTheReferencesTwelveThenOurs(t *testing.T) {
	t.Parallel()
	const want = "action,afterState,beforeState,createdAt,id,ipAddress,resourceId,resourceName,resourceType,userAgent,userId,userName," +
		"position,recordedBy,occurredAt,importedAt\r\n"
	if got := string(audit.AppendCSVHeader(nil)); got != want {
		t.Errorf("header = %q", got)
	}
}

func TestCSVRowsAreExact(t *testing.T) {
	t.Parallel()
	entry, err := audit.Admit(fullDraft(), "")
	if err != nil {
		t.Fatal(err)
	}
	createdAt := instant(t, "2026-11-23T06:05:01Z")
	for _, c := range []struct {
		text []byte
		want string
	}{
		{[]byte(`{"id":"x","action":"a","resourceType":"b","recordedBy":"r"}`), "a,,,2026-11-23T06:05:01.000000Z,x,,,,b,,,,7,r,,\r\n"},
		{
			entry.Seal("-r", createdAt),
			`server.updated,"{""memoryGiB"":9007199254740993}","{""memoryGiB"":4.0,""a\/b"":[]}",2026-11-23T06:05:01.000000Z,e-1,192.0.2.14,web-01,` +
				`"Shop <front> ""end""",server,curl/8` + "\t\x01" + `,ada@acme.example,Ada Løvelace,7,'-r,2026-11-23T06:05:00.123456Z,2026-11-23T06:05:01.000000Z` + "\r\n",
		},
		{
			[]byte(`{"id":"-","action":"=1+1","resourceType":"a,b","resourceId":"\u003d\"","resourceName":"'@x","userId":"line\r\nbreak","userName":" +1","ipAddress":"\t1","userAgent":"＝1","beforeState":{},"recordedBy":"'"}`),
			"'=1+1,,{},2026-11-23T06:05:01.000000Z,'-,'\t1,\"'=\"\"\",''@x,\"a,b\",'＝1,\"line\r\nbreak\", +1,7,',,\r\n",
		},
	} {
		row := audit.Row{Position: 7, CreatedAt: createdAt, Text: c.text}
		if got := string(row.AppendCSV([]byte("before\r\n"))); got != "before\r\n"+c.want {
			t.Errorf("row = %q\nwant  %q", got, c.want)
		}
	}
}

func TestNoCellOpensAsAFormula(t *testing.T) {
	t.Parallel()
	for cell, want := range map[string]string{
		"": "", "a": "a", "a=b": "a=b", "'": "'", "''": "''", "'a": "'a", " =a": " =a", "\"=a": "\"=a", "{}": "{}", "\xff=": "\xff=", "0-1": "0-1",
		"=": "'=", "=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0", "+1": "'+1", "-1": "'-1", "@SUM(1)": "'@SUM(1)",
		"\ta": "'\ta", "\ra": "'\ra", "\na": "'\na", "＝1": "'＝1", "＋1": "'＋1", "－1": "'－1", "＠1": "'＠1",
		"'=1": "''=1", "''=1": "'''=1", "'''＠": "''''＠",
	} {
		if got := audit.EscapeCell(cell); got != want {
			t.Errorf("EscapeCell(%q) = %q; want %q", cell, got, want)
		}
		if got := audit.UnescapeCell(want); got != cell {
			t.Errorf("UnescapeCell(%q) = %q; want %q", want, got, cell)
		}
	}
}

func TestOnlyOurOwnApostropheIsTakenAway(t *testing.T) {
	t.Parallel()
	for _, foreign := range []string{"", "=1", "-1", "+49 30", "@x", "'a", "''", "'"} {
		if got := audit.UnescapeCell(foreign); got != foreign {
			t.Errorf("UnescapeCell(%q) = %q", foreign, got)
		}
	}
}

// What somebody damaged in the database may come out wrong, but must not stop the export.
func TestADamagedTextIsStillOneRow(t *testing.T) {
	t.Parallel()
	const text = `{"id":"x","action":"a","resourceType":"b","beforeState":{"a":[]},"recordedBy":"r"}`
	for i := range len(text) {
		for _, c := range []byte("\",:{}[]\\ x\xff") {
			row := audit.Row{Text: slices.Concat([]byte(text[:i]), []byte{c}, []byte(text[i+1:]))}
			if got := string(row.AppendCSV(nil)); !strings.HasSuffix(got, "\r\n") {
				t.Errorf("%s becomes %q", row.Text, got)
			}
			row.Text = row.Text[:i]
			_ = row.AppendCSV(nil)
		}
	}
}

func FuzzCSVCell(f *testing.F) {
	for _, seed := range []string{"", "=1", "'=1", "''", "＠", "\xff", "\xef\xbc", "a\r\n\"b\",c", "'\t'="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cell string) {
		escaped := audit.EscapeCell(cell)
		if got := audit.UnescapeCell(escaped); got != cell {
			t.Fatalf("%q came back as %q", cell, got)
		}
		if escaped != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(escaped)[0]) {
			t.Fatalf("%q opens as a formula", escaped)
		}
		state, err := json.Marshal(map[string]string{cell: cell})
		if err != nil {
			t.Fatal(err)
		}
		draft := audit.Draft{ID: "x", Action: "a", ResourceType: "b", ResourceID: cell, ResourceName: cell, UserID: cell, UserName: cell, IPAddress: cell, UserAgent: cell, BeforeState: state}
		entry, err := audit.Admit(draft, "")
		if err != nil {
			return
		}
		cells := readCSV(t, entry)
		for _, name := range []string{"resourceId", "resourceName", "userId", "userName", "ipAddress", "userAgent"} {
			if cells[name] != withoutCRLF(cell) {
				t.Fatalf("%q came back as %q", cell, cells[name])
			}
		}
		if cells["beforeState"] != string(state) || cells["action"] != "a" || cells["recordedBy"] != "=r" {
			t.Fatalf("%q moved its neighbours: %q", cell, cells)
		}
	})
}

// withoutCRLF is what encoding/csv makes of a cell, which reads CRLF as LF everywhere.
func withoutCRLF(cell string) string { return strings.ReplaceAll(cell, "\r\n", "\n") }

// readCSV writes the entry with its header and reads it back by column.
func readCSV(t *testing.T, entry audit.Admitted) map[string]string {
	t.Helper()
	row := audit.Row{Position: 3, CreatedAt: time.Unix(0, 0), Text: entry.Seal("=r", time.Time{})}
	records, err := csv.NewReader(strings.NewReader(string(row.AppendCSV(audit.AppendCSVHeader(nil))))).ReadAll()
	if err != nil || len(records) != 2 || !slices.Equal(records[0], audit.CSVColumns) {
		t.Fatalf("%q, %v", records, err)
	}
	cells := map[string]string{}
	for i, name := range records[0] {
		cells[name] = audit.UnescapeCell(records[1][i])
	}
	return cells
}

func TestEveryMemberComesBackFromCSV(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"", "a", "'", `"`, ",", "\r\n", "\r", "\n", "=", "+", "-", "@", "\t", "＝", "＠", "é😀", " ", ";", `\`, "\u2028", "\x01"}
	text := func() string {
		var s strings.Builder
		for range random.IntN(6) {
			s.WriteString(pieces[random.IntN(len(pieces))])
		}
		return s.String()
	}
	state := func() []byte {
		if random.IntN(3) == 0 {
			return nil
		}
		object, err := json.Marshal(map[string]string{text(): text()})
		if err != nil {
			t.Fatal(err)
		}
		return object
	}
	for range 2000 {
		draft := audit.Draft{
			ID: "-x", Action: "=" + text(), ResourceType: "b" + text(), ResourceID: text(), ResourceName: text(),
			UserID: text(), UserName: text(), IPAddress: text(), UserAgent: text(), BeforeState: state(), AfterState: state(),
		}
		entry, err := audit.Admit(draft, "")
		if err != nil {
			t.Fatal(err)
		}
		cells := readCSV(t, entry)
		for name, want := range map[string]string{
			"id": "-x", "action": draft.Action, "resourceType": draft.ResourceType, "resourceId": draft.ResourceID, "resourceName": draft.ResourceName,
			"userId": draft.UserID, "userName": draft.UserName, "ipAddress": draft.IPAddress, "userAgent": draft.UserAgent,
			"beforeState": string(draft.BeforeState), "afterState": string(draft.AfterState), "occurredAt": "", "importedAt": "",
			"position": "3", "recordedBy": "=r", "createdAt": "1970-01-01T00:00:00.000000Z",
		} {
			if cells[name] != withoutCRLF(want) {
				t.Fatalf("%s %q came back as %q", name, want, cells[name])
			}
		}
	}
}
