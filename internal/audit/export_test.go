package audit_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ocore.dev/audit/internal/audit"
)

var exporter = audit.Principal{Subject: "ada@acme.example", Name: `Ada "L"`}

// chunks reads the export to its end and checks what it holds in memory at once.
func chunks(t *testing.T, e *audit.Export) []int64 {
	t.Helper()
	var positions []int64
	for {
		n, err := e.Chunk(t.Context(), func(row audit.Row) { positions = append(positions, row.Position) })
		if err != nil || n > 1024 {
			t.Fatalf("a chunk of %d, %v", n, err)
		}
		if n == 0 {
			return positions
		}
	}
}

func TestExportIsCutAndItsCursorContinuesExactly(t *testing.T) {
	t.Parallel()
	const more = 2*audit.MaxExport + 700
	m := newMemory()
	service := audit.NewService(m)
	m.keep(t, "acme", more, audit.Draft{ID: "x", Action: "a", ResourceType: "b"})
	for _, filter := range []audit.Filter{{}, {Action: "a"}} {
		var exported []int64
		cursor := ""
		for left := more; left > 0; left -= audit.MaxExport {
			export, err := service.Export(t.Context(), "acme", exporter, audit.ExportRequest{Filter: filter, Cursor: cursor, Format: "json"})
			if err != nil {
				t.Fatal(err)
			}
			count := min(left, audit.MaxExport)
			if export.Total != int64(left) || export.Count != count || (export.Next != "") != (left > count) {
				t.Fatalf("%d left: total %d, count %d, next %q", left, export.Total, export.Count, export.Next)
			}
			m.keep(t, "acme", 3, audit.Draft{ID: "x", Action: "a", ResourceType: "b"}) // stays out: one state of the trail
			exported = append(exported, chunks(t, export)...)
			cursor = export.Next
		}
		size := exported[0] + 1
		if int64(len(exported)) != more || !slices.IsSortedFunc(exported, func(a, b int64) int { return int(b - a) }) || exported[more-1] != size-more {
			t.Errorf("%+v: %d entries from %d to %d", filter, len(exported), exported[0], exported[len(exported)-1])
		}
		m.trails["acme"] = m.trails["acme"][:more]
	}
}

func TestExportOfExactlyTheMostIsNotCut(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 499, 500, 501, audit.MaxExport} {
		m := newMemory()
		m.keep(t, "acme", n, audit.Draft{ID: "x", Action: "a", ResourceType: "b"})
		export, err := audit.NewService(m).Export(t.Context(), "acme", exporter, audit.ExportRequest{Format: "csv"})
		if err != nil || export.Total != int64(n) || export.Count != n || export.Next != "" || len(chunks(t, export)) != n {
			t.Errorf("an export of %d: %+v, %v", n, export, err)
		}
	}
}

func TestListAndExportShareCursors(t *testing.T) {
	t.Parallel()
	m := newMemory()
	service := audit.NewService(m)
	m.keep(t, "acme", 30, audit.Draft{Action: "a", ResourceType: "b"})
	page, err := listOf(t.Context(), service, "acme", audit.Filter{Action: "a"}, audit.PageRequest{PerPage: 12})
	if err != nil {
		t.Fatal(err)
	}
	export, err := service.Export(t.Context(), "acme", exporter, audit.ExportRequest{Cursor: page.Next, Format: "json"})
	if err != nil || export.Total != 18 || export.Count != 18 {
		t.Errorf("the rest of the list: %+v, %v", export, err)
	}
	for _, refused := range []audit.Filter{{Action: "b"}, {Action: "a", UserID: "u"}} {
		if _, err := service.Export(t.Context(), "acme", exporter, audit.ExportRequest{Filter: refused, Cursor: page.Next, Format: "json"}); !errors.Is(err, audit.ErrMalformed) {
			t.Errorf("beside %+v: %v", refused, err)
		}
	}
	if _, err := service.Export(t.Context(), "other", exporter, audit.ExportRequest{Cursor: page.Next, Format: "json"}); !errors.Is(err, audit.ErrMalformed) {
		t.Errorf("in another organization: %v", err)
	}
}

// Whoever takes evidence out leaves evidence of that first.
func TestExportIsRecordedBeforeItsFirstEntryIsRead(t *testing.T) {
	t.Parallel()
	m := newMemory()
	service := audit.NewService(m)
	m.keep(t, "acme", 3, audit.Draft{Action: "<a>", ResourceType: "b", ResourceID: "c", UserID: "u"})
	filter, err := audit.Filter{Action: "<a>", ResourceType: "b", ResourceID: "c", UserID: "u"}.Between("2026-11-23T06:05:00 00:00", "2026-11-24T06:05:00.9999999Z")
	if err != nil {
		t.Fatal(err)
	}
	export, err := service.Export(t.Context(), "acme", exporter, audit.ExportRequest{Filter: filter, Format: "csv"})
	if err != nil {
		t.Fatal(err)
	}
	if last := m.calls[len(m.calls)-1]; last != "append _admin" || slices.Contains(m.calls, "rows acme") {
		t.Errorf("calls before the first chunk: %q", m.calls)
	}
	if got := chunks(t, export); len(got) != 3 {
		t.Errorf("exported %v", got)
	}
	record := m.trails[audit.AdminOrganization][0].row
	const want = `,"action":"audit_log.exported","userId":"ada@acme.example","userName":"Ada \"L\"","organizationId":"acme","details":{"filter":` +
		`{"action":"\u003ca\u003e","resource_type":"b","resource_id":"c","user_id":"u","start_date":"2026-11-23T06:05:00Z","end_date":"2026-11-24T06:05:00.999999Z"},` +
		`"format":"csv","count":3,"total":3},"recordedBy":"ada@acme.example"}`
	if _, rest, _ := strings.Cut(string(record.Text), ","); ","+rest != want {
		t.Errorf("record = %s\nwant   %s", record.Text, want)
	}
}

func TestEveryFilterThatADateMakesCanBeExported(t *testing.T) {
	t.Parallel()
	for _, dates := range [][2]string{
		{"9999-12-31T23:59:59.9999999Z", ""},
		{"", "0001-01-01T00:00:00Z"},
		{"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
		{"2026-11-23T06:05:00.0000001Z", "2026-11-23T06:05:00.0000002Z"},
	} {
		m := newMemory()
		m.keep(t, "acme", 3, audit.Draft{Action: "a", ResourceType: "b"})
		filter, err := audit.Filter{}.Between(dates[0], dates[1])
		if err != nil {
			t.Fatal(err)
		}
		export, err := audit.NewService(m).Export(t.Context(), "acme", audit.Principal{Subject: "s"}, audit.ExportRequest{Filter: filter, Format: "json"})
		if err != nil || export.Total != 0 || len(chunks(t, export)) != 0 {
			t.Errorf("from %q to %q: %+v, %v", dates[0], dates[1], export, err)
		}
	}
}

func TestExportFailsWithItsRecord(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"find acme", "append _admin"} {
		m := newMemory()
		m.keep(t, "acme", 3, audit.Draft{Action: "a", ResourceType: "b"})
		m.fail = call
		if _, err := audit.NewService(m).Export(t.Context(), "acme", exporter, audit.ExportRequest{Filter: audit.Filter{Action: "a"}, Format: "json"}); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("%s fails: %v", call, err)
		}
		if slices.Contains(m.calls, "rows acme") {
			t.Errorf("%s fails, but entries were read", call)
		}
	}
}

func TestAChunkThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.keep(t, "acme", 3, audit.Draft{Action: "a", ResourceType: "b"})
	export, err := audit.NewService(m).Export(t.Context(), "acme", exporter, audit.ExportRequest{Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	m.fail = "rows acme"
	if _, err := export.Chunk(t.Context(), func(audit.Row) {}); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("error = %v", err)
	}
}

// A chunk is as many entries as half a megabyte holds, whatever their size.
func TestChunksFollowTheSizeOfEntries(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int{10: 1024, 1000: 484, 100_000: 64} {
		m := newMemory()
		m.keep(t, "acme", 2000, audit.Draft{ID: "x", Action: "a", ResourceType: "b", AfterState: fmt.Appendf(nil, `{"a":"%s"}`, strings.Repeat("x", size))})
		export, err := audit.NewService(m).Export(t.Context(), "acme", exporter, audit.ExportRequest{Format: "json"})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{64, want} {
			n, err := export.Chunk(t.Context(), func(audit.Row) {})
			if err != nil || n != want {
				t.Errorf("entries of about %d bytes: a chunk of %d, want %d, %v", size, n, want, err)
			}
		}
	}
}
