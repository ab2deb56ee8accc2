package audit_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
)

// memory is a Store that does everything in the simplest way, by looking at each entry.
type memory struct {
	trails map[string][]remembered
	now    time.Time
	calls  []string // what was called, in order
	fail   string   // the call that fails
}

type remembered struct {
	entry audit.Admitted
	row   audit.Row
}

var errMemory = fmt.Errorf("memory: %w", audit.ErrUnavailable)

func newMemory() *memory {
	return &memory{trails: map[string][]remembered{}, now: time.Date(2026, 11, 23, 6, 5, 0, 0, time.UTC)}
}

func (m *memory) called(call, organization string) error {
	m.calls = append(m.calls, call+" "+organization)
	if m.fail == call+" "+organization {
		return errMemory
	}
	return nil
}

func (m *memory) Append(_ context.Context, s audit.Submission) ([]audit.Receipt, error) {
	if err := m.called("append", s.Organization); err != nil {
		return nil, err
	}
	var receipts []audit.Receipt
	for _, e := range s.Entries {
		at, importedAt := m.now, time.Time{}
		if !e.OriginalTime.IsZero() {
			at, importedAt = e.OriginalTime, m.now
		}
		row := audit.Row{Position: int64(len(m.trails[s.Organization])), CreatedAt: at, Text: e.Seal(s.RecordedBy, importedAt)}
		m.trails[s.Organization] = append(m.trails[s.Organization], remembered{e, row})
		receipts = append(receipts, audit.Receipt{ID: e.ID, Row: row})
	}
	return receipts, nil
}

func (m *memory) Span(_ context.Context, organization string, f audit.Filter, size int64) (audit.Span, error) {
	trail := m.trails[organization]
	span := audit.Span{Size: int64(len(trail))}
	if size >= 0 {
		span.Size = min(span.Size, size)
	}
	span.High = span.Size
	for _, r := range trail[:span.Size] {
		if !f.From.IsZero() && r.row.CreatedAt.Before(f.From) {
			span.Low = r.row.Position + 1
		}
		if !f.To.IsZero() && r.row.CreatedAt.After(f.To) {
			span.High = min(span.High, r.row.Position)
		}
	}
	return span, m.called("span", organization)
}

func (m *memory) matching(organization string, terms []audit.Term, span audit.Span) []int64 {
	var positions []int64
	for position := span.High - 1; position >= span.Low; position-- {
		e := m.trails[organization][position].entry
		if !slices.ContainsFunc(terms, func(term audit.Term) bool {
			value := map[audit.Column]string{
				audit.ByAction: e.Action, audit.ByResourceType: e.ResourceType, audit.ByResourceID: e.ResourceID, audit.ByUserID: e.UserID,
			}[term.Column]
			return value != term.Value && (term.Column != audit.BySearch || !strings.Contains(e.SearchText, term.Value))
		}) {
			positions = append(positions, position)
		}
	}
	return positions
}

func (m *memory) Count(_ context.Context, organization string, terms []audit.Term, span audit.Span) (int64, error) {
	return int64(len(m.matching(organization, terms, span))), m.called("count", organization)
}

func (m *memory) Positions(_ context.Context, organization string, terms []audit.Term, span audit.Span, offset, limit int64) ([]int64, error) {
	positions := m.matching(organization, terms, span)
	positions = positions[min(offset, int64(len(positions))):]
	return positions[:min(limit, int64(len(positions)))], m.called("positions", organization)
}

func (m *memory) Rows(_ context.Context, organization string, positions []int64) ([]audit.Row, error) {
	var rows []audit.Row
	for _, position := range positions {
		rows = append(rows, m.trails[organization][position].row)
	}
	return rows, m.called("rows", organization)
}

func (m *memory) Entry(_ context.Context, organization, id string) (audit.Row, error) {
	for _, r := range m.trails[organization] {
		if r.entry.ID == id {
			return r.row, m.called("entry", organization)
		}
	}
	return audit.Row{}, audit.ErrNotFound
}

// keep stores n entries like the draft.
func (m *memory) keep(t *testing.T, organization string, n int, draft audit.Draft) {
	t.Helper()
	for range n {
		entry, err := audit.Admit(draft, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Append(t.Context(), audit.Submission{Organization: organization, RecordedBy: "r", Entries: []audit.Admitted{entry}}); err != nil {
			t.Fatal(err)
		}
	}
	m.calls = nil
}
