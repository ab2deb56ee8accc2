package importer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"ocore.dev/audit/internal/audit"
)

// read reads one text from stdin and fails on an error that stops everything.
func read(t *testing.T, format Format, text string) ([]Record, []Rejected) {
	t.Helper()
	records, rejected, err := Read(format, nil, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return records, rejected
}

func actions(records []Record) string {
	names := make([]string, len(records))
	for i, r := range records {
		names[i] = r.Draft.Action
	}
	return strings.Join(names, " ")
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func zipped(t *testing.T, content string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// entries are drafts with every kind of value that a format could spoil.
func entries() []audit.Draft {
	nasty := []string{
		"plain", "=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "'", "''", "'=1", "''=1", "＝1", "'＠",
		`"`, `""`, `a"b`, `a,b`, "a\r\nb", "a\nb", "a\rb", "\r\n", " x ", "ü 語 😀", "\u2028", "a\\b", `{"a":1}`, "null", "0",
	}
	states := []string{`{}`, `{"n":12345678901234567890.10e+5,"z":[1,{"a":null}],"b":""}`, `{"é":"\u00e9\/","quote":"\"'=1\r\n"}`}
	var drafts []audit.Draft
	for i, value := range nasty {
		drafts = append(drafts, audit.Draft{
			ID: fmt.Sprint("id-", i), Action: value, ResourceType: value, ResourceID: value, ResourceName: value,
			UserID: value, UserName: value, IPAddress: value, UserAgent: value,
			BeforeState: []byte(states[i%3]), AfterState: []byte(states[(i+1)%3]), OccurredAt: "2026-11-23T06:05:00.000001Z",
		})
	}
	return append(drafts, audit.Draft{ID: "least", Action: "a", ResourceType: "b"})
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)

// rows are the entries as they are stored.
func rows(t *testing.T) []audit.Row {
	t.Helper()
	var stored []audit.Row
	for i, draft := range entries() {
		admitted, err := audit.Admit(draft, "")
		if err != nil {
			t.Fatal(err)
		}
		at := noon.Add(time.Duration(i) * time.Microsecond)
		stored = append(stored, audit.Row{Position: int64(i), CreatedAt: at, Text: admitted.Seal("=service", noon)})
	}
	return stored
}

func TestOurOwnAnswersReadBackExactly(t *testing.T) {
	csv := audit.AppendCSVHeader(nil)
	var items [][]byte
	for _, row := range rows(t) {
		csv = row.AppendCSV(csv)
		items = append(items, row.AppendJSON(nil))
	}
	list := "[" + string(bytes.Join(items, []byte(" ,\n"))) + "]"
	for name, input := range map[string]struct {
		format Format
		text   string
	}{
		"ndjson":         {NDJSON, string(bytes.Join(items, []byte("\n")))},
		"ndjson, CRLF":   {NDJSON, string(bytes.Join(items, []byte("\r\n\r\n"))) + "\r\n"},
		"export":         {OCore, `{"items":` + list + `,"total":3}`},
		"page":           {OCore, `{"page":1,"perPage":20,"total":3,"items":` + list + `}`},
		"list":           {OCore, " \n" + list},
		"pages":          {OCore, `{"items":[` + string(items[0]) + `],"total":3}` + "\n" + `{"items":null}` + `{"items":` + list + `}`},
		"csv":            {OCore, string(csv)},
		"csv, with BOM":  {OCore, "\ufeff" + string(csv)},
		"csv, last line": {OCore, strings.TrimSuffix(string(csv), "\r\n")},
	} {
		t.Run(name, func(t *testing.T) {
			records, rejected := read(t, input.format, input.text)
			if len(rejected) > 0 {
				t.Fatalf("rejected %s: %s", rejected[0].Place, rejected[0].Reason)
			}
			want := entries()
			if len(records) != len(want) {
				t.Fatalf("%d records of %d", len(records), len(want))
			}
			for i, r := range records {
				if !reflect.DeepEqual(r.Draft, want[i]) {
					t.Errorf("%s: read %+q\nwant %+q", r.Place, r.Draft, want[i])
				}
				if at := noon.Add(time.Duration(i) * time.Microsecond); !r.Time.Equal(at) {
					t.Errorf("%s: time %v, want %v", r.Place, r.Time, at)
				}
			}
		})
	}
}

func TestCSVColumnsInAnyOrderAndLF(t *testing.T) {
	records, rejected := read(t, OCore, "createdAt,action,beforeState,resourceType\n"+
		"2026-11-23T06:05:00Z,a,null,t\n\n"+
		"2026-11-23T06:05:01.1234567+01:00,b,\" {\"\"n\"\" : 1.0 }\",t\n")
	if len(records) != 2 || len(rejected) != 0 {
		t.Fatal(records, rejected)
	}
	if got := actions(records); got != "b a" {
		t.Errorf("order %s", got)
	}
	if got := string(records[0].Draft.BeforeState); got != `{"n":1.0}` {
		t.Errorf("state %s", got)
	}
	if got := records[0].Time.Nanosecond(); got != 123456000 {
		t.Errorf("fraction %d", got)
	}
	if records[1].Draft.BeforeState != nil || records[1].Place != "stdin:2" || records[0].Place != "stdin:4" {
		t.Errorf("%+v", records)
	}
}

func TestCloudTrail(t *testing.T) {
	records, rejected, err := Read(CloudTrail, []string{"testdata/cloudtrail"}, nil)
	if err != nil || len(rejected) > 0 {
		t.Fatal(err, rejected)
	}
	const want = "GetBucketPublicAccessBlock GetBucketPublicAccessBlock GetPasswordData SharedSnapshotVolumeCreated" +
		" GetCallerIdentity UpdateInstanceAssociationStatus GetBucketAcl LeaveOrganization CreateNetworkInterface ConsoleLogin CheckMfa"
	if got := actions(records); got != want {
		t.Errorf("actions %s", got)
	}
	type fields struct{ typ, id, userID, userName, address, before, after string }
	for i, want := range map[int]fields{
		1: {
			"AWS::S3::Bucket", "arn:aws:s3:::invictus-aws-2022-10-27-quygr",
			"arn:aws:iam::123837392027:user/benjamin", "benjamin", "10.248.16.43", "",
			`{"requestParameters":{"publicAccessBlock":"","bucketName":"invictus-aws-2022-10-27-quygr","Host":"invictus-aws-2022-10-27-quygr.s3.us-east-1.amazonaws.com"},"errorCode":"NoSuchPublicAccessBlockConfiguration","errorMessage":"The public access block configuration was not found"}`,
		},
		3: {"ec2.amazonaws.com", "", "ec2.amazonaws.com", "", "ec2.amazonaws.com", "", ""},
		5: {
			"ssm.amazonaws.com", "arn:aws:ssm:us-east-1:123837392027:association/56fcb26d-8140-4f3f-8f77-7ff7344b4057",
			"arn:aws:sts::123837392027:assumed-role/stratus-red-team-ec2-steal-credentials-role/i-0dbc91f429e48eeed", "", "3.225.16.109", "",
			`{"requestParameters":{"associationId":"56fcb26d-8140-4f3f-8f77-7ff7344b4057","instanceId":"i-0dbc91f429e48eeed","executionResult":{"executionDate":"Jul 10, 2023, 11:57:45 AM","status":"InProgress","executionSummary":"Executing association","errorCode":""}}}`,
		},
		10: {"signin.amazonaws.com", "", "AIDATFQR7NSC5AU2ZV3IE", "bert-jan", "10.8.8.10", "", `{"responseElements":{"CheckMfa":"Success"}}`},
	} {
		d := records[i].Draft
		got := fields{d.ResourceType, d.ResourceID, d.UserID, d.UserName, d.IPAddress, string(d.BeforeState), string(d.AfterState)}
		if got != want {
			t.Errorf("record %d:\n got %q\nwant %q", i, got, want)
		}
	}
	last := records[10]
	if last.Draft.ID != "74b4a7d6-764d-4ec8-bbd4-91e7a84e6780" || last.Place != "testdata/cloudtrail/1-plain.json:record 6" ||
		audit.FormatTime(last.Time) != "2023-07-10T12:27:31.000000Z" || !strings.HasPrefix(last.Draft.UserAgent, "Mozilla/5.0 (X11; Ubuntu;") {
		t.Errorf("%+v", last)
	}
}

func TestCloudTrailKeepsValuesDigitForDigit(t *testing.T) {
	records, rejected := read(t, CloudTrail, `{"Records":[{"eventName":"a","eventSource":"s","eventTime":"2026-01-01T00:00:00Z",
		"errorMessage":"", "errorCode" : "\u0041", "responseElements": [ 1.50E2 , 9007199254740993 ], "requestParameters":null,
		"resources":[], "userIdentity":null, "extra":{"ignored":true}}]}`)
	if len(rejected) > 0 {
		t.Fatal(rejected)
	}
	if got := string(records[0].Draft.AfterState); got != `{"responseElements":[1.50E2,9007199254740993],"errorCode":"\u0041"}` {
		t.Error(got)
	}
}

func TestRejections(t *testing.T) {
	const good = `"action":"a","resourceType":"t","createdAt":"2026-11-23T06:05:00Z"`
	const trail = `"eventName":"a","eventSource":"s","eventTime":"2026-11-23T06:05:00Z"`
	line := func(members string) string { return "{" + members + "}" }
	page := func(members string) string { return `{"items":[{` + good + `},{` + members + `},{` + good + `}]}` }
	log := func(members string) string { return `{"Records":[{` + trail + `},{` + members + `}]}` }
	for _, c := range []struct {
		format              Format
		text, place, reason string
	}{
		{NDJSON, "\n" + line(good) + "\nnonsense\n", "stdin:3", "is not a JSON object"},
		{NDJSON, line(good)[:20], "stdin:1", "ends inside a string (at byte 20)"},
		{NDJSON, line(good + `,"id":"1","id":"2"`), "stdin:1", "/id is a duplicate key"},
		{NDJSON, line(good + `,"Action":"b"`), "stdin:1", `has an unknown member "Action"`},
		{NDJSON, line(good + `,"afterState":[1]`), "stdin:1", "/afterState is not an object"},
		{NDJSON, line(good + `,"afterState":"x"`), "stdin:1", "/afterState is not an object"},
		{NDJSON, line(good + `,"userId":7`), "stdin:1", "/userId is not a string"},
		{NDJSON, line(good + `,"id":"a b"`), "stdin:1", "/id takes 1 to 128 characters"},
		{NDJSON, line(good + `,"userName":"\ud800"`), "stdin:1", "/userName holds half of a surrogate pair"},
		{NDJSON, line(good + ",\"userName\":\"\xff\""), "stdin:1", "/userName is not valid UTF-8"},
		{NDJSON, line(good + `,"occurredAt":"yesterday"`), "stdin:1", "/occurredAt is not an RFC 3339"},
		{NDJSON, line(`"createdAt":"2026-11-23"`), "stdin:1", "/createdAt is not an RFC 3339"},
		{NDJSON, line(`"action":""`), "stdin:1", "/action is required and takes 1 to 200 bytes; /resourceType is required"},
		{OCore, page(`"action":"a","resourceType":"t"`), "stdin:record 2", "/createdAt is required"},
		{OCore, page(good + `,"beforeState":{"a":{"b":1,"b":2}}`), "stdin:record 2", "/beforeState/a/b is a duplicate key"},
		{OCore, `[{` + good + `},7]`, "stdin:record 2", "is not a JSON object"},
		{OCore, `{"items":[{` + good + `},`, "stdin", "can't be read on after record 1: it ends too early"},
		{OCore, `{"items":[{` + good + `}`, "stdin", "can't be read on after record 1: it ends too early"},
		{OCore, `{"items":[{` + good + `}]`, "stdin", "can't be read on after record 1: it ends too early"},
		{OCore, `{"items":[{` + good + `}}`, "stdin", "can't be read on after record 1: invalid character"},
		{OCore, `[{` + good + `}] {"logs":[]}`, "stdin", `can't be read on after record 1: an object without a list "items"`},
		{OCore, `[{` + good + `}] 7`, "stdin", `can't be read on after record 1: neither a list nor an object with a list "items"`},
		{OCore, "action,createdAt\na,b,c\n", "stdin:2", "has 3 cells, but the header row has 2"},
		{OCore, "action,createdAt\na,\"b\" c\n", "stdin:2", "has text after the closing quote of a cell"},
		{OCore, "action,createdAt\na,b\"c\n", "stdin:2", "has a quote in a cell that does not begin with one"},
		{OCore, "action,createdAt\na,\"b\nc\n", "stdin:2", "has a quote that is never closed"},
		{OCore, "action,afterState\na,\"{},\"\"userId\"\":1\"\n", "stdin:2", "/afterState has bytes after its end (at byte 2)"},
		{OCore, "action,afterState\na,[]\n", "stdin:2", "/afterState is not a JSON object"},
		{OCore, "action,afterState\na,\"{\"\"a\"\":1,\"\"a\"\":2}\"\n", "stdin:2", "/afterState/a is a duplicate key"},
		{OCore, "action,userId\na,x\x00\n", "stdin:2", "/userId holds a NUL character"},
		{CloudTrail, log(`"eventName":"a","eventSource":"s"`), "stdin:record 2", "/eventTime is required"},
		{CloudTrail, log(trail + `,"resources":[{"ARN":1}]`), "stdin:record 2", "/resources/0/ARN is not a string"},
		{CloudTrail, log(trail + `,"resources":[1]`), "stdin:record 2", "/resources/0 is not an object"},
		{CloudTrail, log(trail + `,"resources":{}`), "stdin:record 2", "/resources is not a list"},
		{CloudTrail, log(trail + `,"userIdentity":"root"`), "stdin:record 2", "/userIdentity is not an object"},
		{CloudTrail, log(trail + `,"userAgent":"` + strings.Repeat("x", 2049) + `"`), "stdin:record 2", "/userAgent has 2049 bytes; at most 2048 are allowed"},
	} {
		records, rejected := read(t, c.format, c.text)
		if len(rejected) != 1 {
			t.Errorf("%s: %d records, rejected %+v", c.text, len(records), rejected)
			continue
		}
		if r := rejected[0]; r.Place != c.place || !strings.HasPrefix(r.Reason, c.reason) {
			t.Errorf("%s\n  rejected %s: %s", c.text, r.Place, r.Reason)
		}
		if whole := rejected[0].Place == "stdin"; whole != (rejected[0].Raw == nil) || !strings.Contains(c.text, string(rejected[0].Raw)) {
			t.Errorf("%s\n  raw %s", c.text, rejected[0].Raw)
		}
		if good := strings.Count(c.text, line(good)) + strings.Count(c.text, line(trail)); len(records) != good {
			t.Errorf("%s\n  %d good records", c.text, len(records))
		}
	}
}

func TestOneBadRowStopsNothing(t *testing.T) {
	const good = "a,t,2026-11-23T06:05:00Z\n"
	records, rejected := read(t, OCore, "action,resourceType,createdAt\n"+good+"a,\"t\"x,\n"+good+"a,t\n"+good)
	if len(records) != 3 || len(rejected) != 2 || rejected[0].Place != "stdin:3" || string(rejected[1].Raw) != "a,t" {
		t.Errorf("%+v\n%+v", records, rejected)
	}
}

func TestWhatStopsEverything(t *testing.T) {
	folder := t.TempDir()
	broken := write(t, filepath.Join(folder, "broken.gz"), "\x1f\x8bnonsense")
	for _, c := range []struct {
		format Format
		path   string
		stdin  string
		reason string
	}{
		{"xml", "-", "", `unknown format "xml": choose one of ["ndjson" "ocore" "cloudtrail"]`},
		{OCore, filepath.Join(folder, "missing"), "", "no such file"},
		{OCore, broken, "", "broken.gz: gzip: invalid header"},
		{OCore, "-", "", "stdin: it ends too early"},
		{OCore, "-", "7,8\n", `stdin: the header row has an unknown column "7"`},
		{OCore, "-", "action,id,action\n", `the header row has the column "action" twice`},
		{OCore, "-", "action,\"id\n", "the header row has a quote that is never closed"},
		{OCore, "-", `{"items":7}`, `stdin: "items" is not a list`},
		{CloudTrail, "-", `{"Records":[nonsense]}`, "stdin: invalid character"},
		{CloudTrail, "-", "nonsense", "stdin: invalid character"},
		{CloudTrail, "-", `{"digestS3Bucket":"x"}`, `an object without a list "Records"`},
	} {
		records, rejected, err := Read(c.format, []string{c.path}, strings.NewReader(c.stdin))
		if err == nil || !strings.Contains(err.Error(), c.reason) || records != nil || rejected != nil {
			t.Errorf("%s %s%s: %v %v %v", c.format, c.path, c.stdin, records, rejected, err)
		}
	}
	failing := iotest.ErrReader(&fs.PathError{Op: "read", Path: "x", Err: errors.New("broken disk")})
	if _, _, err := Read(NDJSON, nil, failing); err == nil {
		t.Error("a read error was passed over")
	}
}

func TestFoldersGzipAndOrder(t *testing.T) {
	at := func(action, second string) string {
		return `{"action":"` + action + `","resourceType":"t","createdAt":"2026-11-23T06:05:0` + second + `Z"}` + "\n"
	}
	folder := t.TempDir()
	write(t, filepath.Join(folder, "2.ndjson"), at("a", "1")+at("b", "0"))
	write(t, filepath.Join(folder, "10"), zipped(t, "\ufeff"+at("c", "1"))+zipped(t, at("d", "0")))
	write(t, filepath.Join(folder, "deep/er/1.ndjson"), at("e", "1")+`{"action":"late","resourceType":"t"}`)
	write(t, filepath.Join(folder, "deep/broken.gz"), zipped(t, at("f", "1"))[:30])
	write(t, filepath.Join(folder, ".hidden"), "nonsense")
	write(t, filepath.Join(folder, ".git/file"), "nonsense")
	if err := os.Symlink(filepath.Join(folder, "2.ndjson"), filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "folder")
	if err := os.Symlink(folder, link); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{folder, link, folder + "/"} {
		records, rejected, err := Read(NDJSON, []string{root, filepath.Join(root, "10"), "-"}, strings.NewReader(at("g", "1")))
		if err != nil {
			t.Fatal(err)
		}
		if got := actions(records); got != "b d a c e g late" {
			t.Errorf("order %s", got)
		}
		broken := filepath.Join(root, "deep/broken.gz")
		if len(rejected) != 1 || rejected[0].Place != broken || rejected[0].Reason != "it ends too early" {
			t.Errorf("rejected %+v", rejected)
		}
		if got := records[4].Place; got != filepath.Join(root, "deep/er/1.ndjson")+":1" {
			t.Error(got)
		}
		if last := records[6]; !last.Time.IsZero() {
			t.Error(last)
		}
	}
	if records, rejected, err := Read(OCore, []string{filepath.Join(folder, "deep")}, nil); err != nil || len(records) > 0 || len(rejected) != 2 {
		t.Error(records, rejected, err)
	}
}

func TestNDJSONWithoutCreatedAt(t *testing.T) {
	records, _ := read(t, NDJSON, `{"action":"a","resourceType":"t","occurredAt":"2026-11-23T06:05:00.1234567Z","createdAt":null}`)
	if got := audit.FormatTime(records[0].Time); got != "2026-11-23T06:05:00.123456Z" || records[0].Draft.OccurredAt != "2026-11-23T06:05:00.1234567Z" {
		t.Errorf("%+v", records)
	}
}

func TestRepeats(t *testing.T) {
	entry := func(id, user, created string) string {
		return fmt.Sprintf(`{ "id":%q,"action":"a","resourceType":"t","userId":%q,"createdAt":"2026-11-23T06:05:0%sZ"}`, id, user, created) + "\n"
	}
	records, rejected := read(t, NDJSON, entry("1", "u", "0")+entry("2", "u", "0")+entry("1", "u", "0.000")+entry("1", "v", "0")+entry("2", "u", "1"))
	if len(records) != 2 || len(rejected) != 2 {
		t.Fatal(records, rejected)
	}
	if r := rejected[0]; r.Place != "stdin:4" || r.Reason != `the id "1" is also at stdin:1, with other content` {
		t.Error(r)
	}
	if r := rejected[1]; r.Place != "stdin:5" || r.Reason != `the id "2" is also at stdin:2, with other content` {
		t.Error(r)
	}
}

func TestDerivedIDs(t *testing.T) {
	const a, b = `{"action":"a","resourceType":"t","createdAt":"2026-11-23T06:05:00Z"}`, `{"action":"b","resourceType":"t","createdAt":"2026-11-23T06:05:00Z"}`
	ids := func(format Format, text string) (ids []string) {
		records, rejected := read(t, format, text)
		if len(rejected) > 0 {
			t.Fatal(rejected)
		}
		for _, r := range records {
			ids = append(ids, r.Draft.ID)
		}
		return ids
	}
	once := ids(NDJSON, a+"\n"+b+"\n"+a)
	if len(once) != 3 || once[0] == once[2] || once[0] == once[1] {
		t.Errorf("identical lines are separate entries: %v", once)
	}
	if again := ids(NDJSON, b+"\n"+strings.ReplaceAll(a, `":`, `" : `)+"\n"+a); again[0] != once[1] || again[1] != once[0] || again[2] != once[2] {
		t.Errorf("not stable: %v, %v", once, again)
	}
	// Trails keep these ids: another derivation would import every such record again.
	if want := "4a253be6-5bad-54b6-a5f4-5f84828b21c3"; once[0] != want {
		t.Errorf("id %s, want %s", once[0], want)
	}
	row := "2026-11-23T06:05:00Z,a,t\n"
	if rows := ids(OCore, "createdAt,action,resourceType\n"+row+row); len(rows) != 2 || rows[0] == rows[1] {
		t.Errorf("rows: %v", rows)
	}
	const event = `{"eventName":"a","eventSource":"s","eventTime":"2026-11-23T06:05:00Z"}`
	if events := ids(CloudTrail, `{"Records":[`+event+`,`+event+`]}`); len(events) != 1 {
		t.Errorf("a repeated delivery is one entry: %v", events)
	}
}

func FuzzReadJSON(f *testing.F) {
	excerpt, err := os.ReadFile("testdata/cloudtrail/1-plain.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(excerpt))
	for _, draft := range entries()[:6] {
		text, err := json.Marshal(map[string]any{"id": draft.ID, "action": draft.Action, "resourceType": draft.UserID, "afterState": json.RawMessage(draft.AfterState), "createdAt": "2026-11-23T06:05:00Z"})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
		f.Add(`{"items":[` + string(text) + `],"total":1}`)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range Formats {
			admitsAll(t, format, text)
		}
	})
}

func admitsAll(t *testing.T, format Format, text string) {
	records, _, _ := Read(format, nil, strings.NewReader(text))
	ids := map[string]bool{}
	for _, r := range records {
		if _, err := audit.Admit(r.Draft, ""); err != nil {
			t.Errorf("%s: %v", r.Place, err)
		}
		if r.Draft.ID == "" || ids[r.Draft.ID] {
			t.Errorf("%s: id %q", r.Place, r.Draft.ID)
		}
		ids[r.Draft.ID] = true
	}
}

// A batch has one time, so only positions tell which way its export runs.
func TestExportOfOneBatchKeepsItsOrder(t *testing.T) {
	t.Parallel()
	const at = `"resourceType":"server","createdAt":"2026-11-23T06:05:00.000000Z"`
	for name, input := range map[string]string{
		"json":            `{"items":[{"id":"b","action":"x.updated","position":1,` + at + `},{"id":"a","action":"x.created","position":0,` + at + `}],"total":2}`,
		"csv":             "id,action,resourceType,createdAt,position\r\nb,x,y,2026-11-23T06:05:00Z,1\r\na,x,y,2026-11-23T06:05:00Z,0\r\n",
		"later then ties": `[{"id":"c","action":"x","resourceType":"y","createdAt":"2026-11-23T06:05:01Z"},{"id":"b","action":"x",` + at + `},{"id":"a","action":"x",` + at + `}]`,
	} {
		records, rejected, err := Read(OCore, nil, strings.NewReader(input))
		if err != nil || len(rejected) > 0 {
			t.Fatal(name, err, rejected)
		}
		if records[0].Draft.ID != "a" || records[1].Draft.ID != "b" {
			t.Errorf("%s: read %s, then %s", name, records[0].Draft.ID, records[1].Draft.ID)
		}
	}
}
