package audit_test

import (
	"cmp"
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

func (m *memory) span(organization string, f audit.Filter, size int64) audit.Span {
	span := audit.Span{High: size}
	for _, r := range m.trails[organization][:size] {
		if !f.From.IsZero() && r.row.CreatedAt.Before(f.From) {
			span.Low = r.row.Position + 1
		}
		if !f.To.IsZero() && r.row.CreatedAt.After(f.To) {
			span.High = min(span.High, r.row.Position)
		}
	}
	return span
}

func (m *memory) matching(organization string, f audit.Filter, span audit.Span) []int64 {
	terms := f.Terms()
	var positions []int64
	for position := span.High - 1; position >= span.Low; position-- {
		e := m.trails[organization][position].entry
		if !slices.ContainsFunc(terms, func(term audit.Term) bool {
			value := map[audit.Column]string{
				audit.ByAction: e.Action, audit.ByResourceType: e.ResourceType, audit.ByResourceID: e.ResourceID, audit.ByUserID: e.UserID,
			}[term.Column]
			return value != term.Value && (term.Column != audit.BySearch || !strings.Contains(e.SearchText, term.Value))
		}) && !slices.Contains(f.ExcludeAction.All(), e.Action) && !slices.Contains(f.ExcludeResourceType.All(), e.ResourceType) &&
			!slices.Contains(f.ExcludeResourceID.All(), e.ResourceID) && !slices.Contains(f.ExcludeUserID.All(), e.UserID) {
			positions = append(positions, position)
		}
	}
	return positions
}

func (m *memory) Find(_ context.Context, organization string, f audit.Filter, w audit.Window) (audit.Found, error) {
	found := audit.Found{Size: int64(len(m.trails[organization]))}
	if w.Size >= 0 {
		found.Size = min(found.Size, w.Size)
	}
	span := m.span(organization, f, found.Size)
	listed := m.matching(organization, f, span.Below(w.Below))
	found.Total = int64(len(listed))
	if !w.RestOnly {
		found.Total = int64(len(m.matching(organization, f, span)))
	}
	listed = listed[min(w.Offset, int64(len(listed))):]
	found.Positions = listed[:min(w.Limit, int64(len(listed)))]
	return found, m.called("find", organization)
}

func (m *memory) Newest(ctx context.Context, organization string, w audit.Window, visit func(audit.Row)) (audit.Found, error) {
	found, err := m.Find(ctx, organization, audit.Filter{}, w)
	if err != nil {
		return found, err
	}
	return found, m.Rows(ctx, organization, found.Positions, visit)
}

// Rows spoils each text once it was visited, as a store may that reads the next one.
func (m *memory) Rows(_ context.Context, organization string, positions []int64, visit func(audit.Row)) error {
	for _, position := range positions {
		row := m.trails[organization][position].row.Own()
		visit(row)
		clear(row.Text)
	}
	return m.called("rows", organization)
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

func (m *memory) Size(_ context.Context, organization string) (int64, error) {
	return int64(len(m.trails[organization])), m.called("size", organization)
}

func (m *memory) Matching(_ context.Context, organization string, f audit.Filter, span audit.Span) ([]int64, error) {
	return m.matching(organization, f, span), m.called("matching", organization)
}

func (m *memory) Extent(_ context.Context, organization string) (audit.Extent, error) {
	trail := m.trails[organization]
	if len(trail) == 0 {
		return audit.Extent{}, m.called("extent", organization)
	}
	return audit.Extent{Size: int64(len(trail)), First: trail[0].row.CreatedAt, Last: trail[len(trail)-1].row.CreatedAt}, m.called("extent", organization)
}

func (m *memory) Counts(_ context.Context, organization string, f audit.Filter, size int64, starts []time.Time) ([]int64, error) {
	counts := make([]int64, len(starts))
	for _, position := range m.matching(organization, f, m.span(organization, f, size)) {
		for i, start := range slices.Backward(starts) {
			if !m.trails[organization][position].row.CreatedAt.Before(start) {
				counts[i]++
				break
			}
		}
	}
	return counts, m.called("counts", organization)
}

func (m *memory) value(c audit.Column, e audit.Admitted) string {
	return map[audit.Column]string{
		audit.ByAction: e.Action, audit.ByResourceType: e.ResourceType, audit.ByResourceID: e.ResourceID, audit.ByUserID: e.UserID,
	}[c]
}

func (m *memory) CountValues(_ context.Context, organization string, c audit.Column, positions []int64, limit int64) ([]audit.ValueCount, int64, error) {
	counted := map[string]int64{}
	for _, position := range positions {
		if value := m.value(c, m.trails[organization][position].entry); value != "" {
			counted[value]++
		}
	}
	var counts []audit.ValueCount
	for value, count := range counted {
		counts = append(counts, audit.ValueCount{Value: value, Count: count})
	}
	slices.SortFunc(counts, func(a, b audit.ValueCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Value, b.Value))
	})
	return counts[:min(limit, int64(len(counts)))], int64(len(counts)), m.called("values", organization)
}

func (m *memory) Values(_ context.Context, organization string, c audit.Column, prefix string, limit int64) ([]string, error) {
	var values []string
	for _, r := range m.trails[organization] {
		if value := m.value(c, r.entry); value != "" && strings.HasPrefix(value, prefix) {
			values = append(values, value)
		}
	}
	slices.Sort(values)
	values = slices.Compact(values)
	return values[:min(limit, int64(len(values)))], m.called("values", organization)
}
