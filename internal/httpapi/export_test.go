package httpapi_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/testkit"
)

// readCSV reads an export's rows by column.
func readCSV(t testing.TB, text string) []map[string]string {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(records) == 0 || !slices.Equal(records[0], audit.CSVColumns) {
		t.Fatalf("%v: %.300s", err, text)
	}
	var rows []map[string]string
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, cell := range record {
			row[records[0][i]] = cell
		}
		rows = append(rows, row)
	}
	return rows
}

// rowsOf are entries as CSV shows them, written with the standard library alone.
func rowsOf(t testing.TB, entries []json.RawMessage) []map[string]string {
	t.Helper()
	var rows []map[string]string
	for _, entry := range entries {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(entry, &members); err != nil {
			t.Fatal(err)
		}
		row := map[string]string{}
		for _, column := range audit.CSVColumns {
			row[column] = string(members[column])
			if strings.HasPrefix(row[column], `"`) {
				var text string
				if err := json.Unmarshal(members[column], &text); err != nil {
					t.Fatal(err)
				}
				row[column] = strings.ReplaceAll(text, "\r\n", "\n") // as Go's reader of CSV does
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func TestExportsEqualTheWalk(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	post(t, s, ada, "/audit-logs", whole)
	drafts := numbered(1200)
	for i := range drafts {
		d := &drafts[i]
		d.UserName, d.AfterState = "Ada,\r\n\"Countess\"", fmt.Appendf(nil, `{"n":%d.0,"text":"a,b\"c\r\nd"}`, i)
		if i%3 == 0 {
			d.Action = "server.created"
		}
	}
	seed(t, s, drafts...)
	for _, query := range []string{
		"", "action=server.created", "resource_type=server&resource_id=srv-7", "user_id=ada%40acme.example", "start_date=2999-01-01T00:00:00Z",
		"action=server.created&page=7&per_page=3", // these two are ignored, by declaration
	} {
		var walk []json.RawMessage
		filter, _, _ := strings.Cut(query, "&page=")
		for a, more := get(t, s, ada, "/audit-logs?per_page=500&"+filter), true; more; a, more = next(t, s, ada, a) {
			walk = append(walk, read[page](t, a, http.StatusOK).Items...)
		}
		object, sheet := get(t, s, ada, "/audit-logs/export?"+query), get(t, s, ada, "/audit-logs/export?format=csv&"+query)
		if p := read[page](t, object, http.StatusOK); join(p.Items) != join(walk) || p.Total != int64(len(walk)) || p.NextCursor != "" {
			t.Errorf("%s: JSON has %d entries of %d, the walk %d", query, len(p.Items), p.Total, len(walk))
		}
		if got, want := readCSV(t, sheet.body), rowsOf(t, walk); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: CSV has %d rows, the walk %d", query, len(got), len(want))
		}
		for kind, a := range map[string]answer{"application/json": object, "text/csv; charset=utf-8": sheet} {
			extension := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(kind, "application/"), "text/"), "; charset=utf-8")
			for name, want := range map[string]string{
				"Content-Type": kind, "X-Total-Count": strconv.Itoa(len(walk)), "X-Truncated": "", "Link": "",
				"Content-Disposition": `attachment; filename="audit-logs.` + extension + `"`, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
			} {
				if got := a.header.Values(name); strings.Join(got, "|") != want {
					t.Errorf("%s as %s: %s is %q, want %q", query, kind, name, got, want)
				}
			}
		}
	}
}

func TestFormatDecidesAndNotAccept(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for query, kind := range map[string]string{"": "application/json", "?format=": "application/json", "?format=json": "application/json", "?format=csv": "text/csv; charset=utf-8"} {
		for _, accept := range []string{"text/csv", "application/json", "image/png"} {
			a := send(t, s, ada, http.MethodGet, "/audit-logs/export"+query, "", "Accept", accept)
			if got := a.header.Get("Content-Type"); a.status != http.StatusOK || got != kind {
				t.Errorf("%s with Accept: %s is %d %s", query, accept, a.status, got)
			}
		}
	}
}

func TestCSVIsWhatSpreadsheetsReadSafely(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	header := "action,afterState,beforeState,createdAt,id,ipAddress,resourceId,resourceName,resourceType,userAgent,userId,userName,position,recordedBy,occurredAt,importedAt\r\n"
	if a := get(t, s, ada, "/audit-logs/export?format=csv"); a.body != header {
		t.Errorf("an empty export: %q", a.body)
	}
	cells := map[string]string{ // as sent, and as the cell's text
		"plain": "plain", "": "", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\tx": "'\tx", "\rx": "'\rx", "\nx": "'\nx",
		"＝1": "'＝1", "'=1": "''=1", "''=1": "'''=1", "'plain": "'plain", "a=b": "a=b", "{\"=": "{\"=",
		"a,b": "a,b", `say "hi"`: `say "hi"`, "two\r\nlines": "two\r\nlines", " space ": " space ", "é🦆": "é🦆", ";": ";",
	}
	for sent := range cells {
		seed(t, s, audit.Draft{ID: fmt.Sprintf("e-%x", sent), Action: "-a", ResourceType: "@t", UserName: sent, AfterState: []byte(`{ "=x" : "=y" }`)})
	}
	a := get(t, s, ada, "/audit-logs/export?format=csv")
	if !strings.HasPrefix(a.body, header) || !strings.HasSuffix(a.body, "\r\n") || !strings.Contains(a.body, `,"{""=x"":""=y""}",,`) {
		t.Errorf("%.600q", a.body)
	}
	if quoted := `,"say ""hi""",`; !strings.Contains(a.body, quoted) {
		t.Errorf("no %q in %q", quoted, a.body)
	}
	// Go's CSV reader makes line feeds of CRLF within cells, so rows are told by their ids.
	for _, row := range readCSV(t, strings.ReplaceAll(a.body, "two\r\nlines", "two\nlines")) {
		id := row["id"]
		for sent, want := range cells {
			if id == fmt.Sprintf("e-%x", sent) && row["userName"] != strings.ReplaceAll(want, "\r\n", "\n") {
				t.Errorf("%q is the cell %q, want %q", sent, row["userName"], want)
			}
		}
		if row["action"] != "'-a" || row["resourceType"] != "'@t" || row["userId"] != "" || row["importedAt"] != "" || row["recordedBy"] != "ada" {
			t.Errorf("%v", row)
		}
	}
	if n := strings.Count(a.body, "\r\n"); n != 1+len(cells)+1 {
		t.Errorf("%d line ends for %d rows and a cell with one", n, len(cells))
	}
}

func TestMoreThanTenThousandAreCutAndContinued(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, audit.Draft{ID: "oldest", Action: "server.updated", ResourceType: "server"})
	drafts := numbered(audit.MaxExport)
	for i := range drafts {
		drafts[i].ResourceType = "disk"
	}
	seed(t, s, drafts...)
	firsts := map[string]answer{}
	for _, format := range []string{"json", "csv"} {
		firsts[format] = get(t, s, ada, "/audit-logs/export?action=server.updated&format="+format)
	}
	seed(t, s, numbered(1)...) // must not shift what follows
	for format, first := range firsts {
		if first.header.Get("X-Truncated") != "true" || first.header.Get("X-Total-Count") != "10001" {
			t.Errorf("%s: %v", format, first.header)
		}
		rest, more := next(t, s, ada, first)
		if !more || rest.status != http.StatusOK || rest.header.Get("X-Truncated") != "" || rest.header.Get("Link") != "" || rest.header.Get("X-Total-Count") != "1" {
			t.Fatalf("%s: %d %v", format, rest.status, rest.header)
		}
		if format == "csv" {
			rows := readCSV(t, first.body)
			if last := readCSV(t, rest.body); len(rows) != audit.MaxExport || rows[len(rows)-1]["position"] != "1" || len(last) != 1 || last[0]["id"] != "oldest" {
				t.Errorf("csv: %d rows, then %v", len(rows), last)
			}
		} else {
			p, last := read[page](t, first, http.StatusOK), read[page](t, rest, http.StatusOK)
			if len(p.Items) != audit.MaxExport || p.Total != audit.MaxExport+1 || len(last.Items) != 1 || ids(t, last.Items)[0] != "oldest" || last.Total != 1 || last.NextCursor != "" {
				t.Errorf("json: %d of %d, then %s", len(p.Items), p.Total, rest.body)
			}
			byCursor := list(t, s, ada, "/audit-logs/export?cursor="+p.NextCursor)
			if join(byCursor.Items) != join(last.Items) {
				t.Errorf("nextCursor and Link go on differently: %s", join(byCursor.Items))
			}
		}
	}
	// Just as many as fit are not cut.
	fits := get(t, s, ada, "/audit-logs/export?format=csv&resource_type=disk")
	if fits.header.Get("X-Truncated") != "" || fits.header.Get("Link") != "" || fits.header.Get("X-Total-Count") != "10000" || strings.Count(fits.body, "\r\n") != 10_001 {
		t.Errorf("%v", fits.header)
	}
}

func TestEveryExportIsInTheAdminTrail(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(3)...)
	cursor := list(t, s, ada, "/audit-logs?per_page=1&action=server.updated").NextCursor
	for _, c := range []struct{ query, details string }{
		{"", `{"filter":{},"format":"json","count":3,"total":3}`},
		{"?format=csv&action=server.updated&resource_type=server&resource_id=srv-1&user_id=", `{"filter":{"action":"server.updated","resource_type":"server","resource_id":"srv-1"},"format":"csv","count":1,"total":1}`},
		{"?user_id=a%3Cb&start_date=2025-01-01T01:00:00%2B01:00", `{"filter":{"user_id":"a\u003cb","start_date":"2025-01-01T00:00:00Z"},"format":"json","count":0,"total":0}`},
		{"?cursor=" + cursor, `{"filter":{"action":"server.updated"},"format":"json","count":2,"total":2}`},
	} {
		exported := get(t, s, ada, "/audit-logs/export"+c.query)
		if exported.status != http.StatusOK {
			t.Fatal(exported.body)
		}
		var e struct {
			Action, UserID, UserName, OrganizationID, RecordedBy string
			Details                                              json.RawMessage
		}
		newest := list(t, s, grace, "/admin/audit-logs?limit=1&action=audit_log.exported").Logs[0]
		if err := json.Unmarshal(newest, &e); err != nil {
			t.Fatal(err)
		}
		if e.OrganizationID != "acme" || e.UserID != "ada" || e.UserName != "Ada Lovelace" || e.RecordedBy != "ada" || !sameJSON(string(e.Details), c.details) {
			t.Errorf("%s: %s, want details %s", c.query, newest, c.details)
		}
	}
	// A refused export is none.
	get(t, s, ada, "/audit-logs/export?format=xml").problem(t, http.StatusBadRequest)
	get(t, s, ada, "/audit-logs/export?cursor=x").problem(t, http.StatusBadRequest)
	if total := list(t, s, grace, "/admin/audit-logs").Total; total != 4 {
		t.Errorf("%d entries of 4 exports", total)
	}
}

func sameJSON(a, b string) bool {
	var left, right any
	return json.Unmarshal([]byte(a), &left) == nil && json.Unmarshal([]byte(b), &right) == nil && fmt.Sprint(left) == fmt.Sprint(right)
}

func TestAnExportThatCannotBeRecordedIsRefused(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(3)...)
	owner := testkit.Connect(t, s.Database.OwnerURL)
	if _, err := owner.Exec(t.Context(), "REVOKE INSERT ON entries FROM ocore_audit_serving"); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"json", "csv"} {
		a := get(t, s, ada, "/audit-logs/export?format="+format)
		if a.problem(t, http.StatusServiceUnavailable); strings.Contains(a.body, "srv-") || a.header.Get("Retry-After") == "" || a.header.Get("X-Total-Count") != "" {
			t.Errorf("%s: %v %s", format, a.header, a.body)
		}
	}
	if p := list(t, s, ada, "/audit-logs"); p.Total != 3 {
		t.Errorf("reading works on: %d", p.Total)
	}
}

// An export must be far larger than what sockets hold on their own, so that it is in the
// middle when its database goes.
func TestAnExportThatBreaksOffIsNeverACleanEnd(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "csv"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := testkit.NewService(t)
			drafts := numbered(520) // more than a chunk
			for i := range drafts {
				drafts[i].AfterState = []byte(`{"x":"` + strings.Repeat("x", 24<<10) + `"}`)
			}
			seed(t, s, drafts...)
			body := slowly(t, s, "/audit-logs/export?format="+format)
			if _, err := io.ReadFull(body, make([]byte, 64<<10)); err != nil {
				t.Fatal(err)
			}
			takeAway(t, s)
			rest, err := io.ReadAll(body)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the transfer ends after %d more bytes with %v", len(rest), err)
			}
			if whole := 520 * 24 << 10; len(rest) > whole || strings.Contains(string(rest), `"total":520`) {
				t.Errorf("%d bytes came", len(rest))
			}
		})
	}
}

// slowly begins a request whose answer is read as the test likes, past the checker.
func slowly(t *testing.T, s *testkit.Service, path string) io.Reader {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testkit.Token(t, ada))
	conn, err := net.Dial("tcp", r.URL.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.(*net.TCPConn).SetReadBuffer(16 << 10)
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if err := r.Write(conn); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	return response.Body
}

// takeAway ends every connection to the service's database and lets nobody in.
func takeAway(t testing.TB, s *testkit.Service) {
	t.Helper()
	administer(t, s, "ALTER DATABASE "+s.Database.Name+" ALLOW_CONNECTIONS false")
	administer(t, s, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '"+s.Database.Name+"'")
}

// administer runs a statement as superuser, from outside the service's database.
func administer(t testing.TB, s *testkit.Service, statement string) {
	t.Helper()
	elsewhere, err := url.Parse(s.Database.SuperuserURL)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere.Path = "/postgres"
	if _, err := testkit.Connect(t, elsewhere.String()).Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// Over HTTP/1.0 the end of the connection is the end of the body, cut or not.
func TestAnExportNeedsHTTP11(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	a := raw(t, s, "GET "+httpapi.BasePath+"/audit-logs/export HTTP/1.0\r\nAuthorization: Bearer "+testkit.Token(t, ada)+"\r\n\r\n")
	if p := a.problem(t, http.StatusHTTPVersionNotSupported); !strings.Contains(*p.Detail, "proxy") {
		t.Errorf("no remedy in %q", *p.Detail)
	}
}
