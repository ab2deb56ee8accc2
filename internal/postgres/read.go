package postgres

import (
	"context"
	"fmt"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// Span implements [audit.Store]. The size is read before the dates are looked up, and
// bounds what they find.
func (s *Store) Span(ctx context.Context, organization string, f audit.Filter, size int64) (audit.Span, error) {
	var p pipeline
	p.in(ctx, organization)
	head := many(&p, queries.HeadGet(ctx, &p, []string{organization}).Query)
	var from, after *[]int64
	if !f.From.IsZero() {
		from = many(&p, queries.PositionFrom(ctx, &p, []db.PositionFromParams{{Organization: organization, At: f.From}}).Query)
	}
	if !f.To.IsZero() {
		after = many(&p, queries.PositionAfter(ctx, &p, []db.PositionAfterParams{{Organization: organization, At: f.To}}).Query)
	}
	if err := p.run(ctx, s.reads); err != nil {
		return audit.Span{}, translate("find a span", err)
	}
	return newSpan(*head, from, after, size), nil
}

// newSpan clips the positions found to the trail's size when the reading began, or to
// the smaller one that a walk began with.
func newSpan(head []int64, from, after *[]int64, size int64) audit.Span {
	var span audit.Span
	if len(head) > 0 {
		span.Size = head[0]
	}
	if size >= 0 {
		span.Size = min(span.Size, size)
	}
	span.High = span.Size
	if from != nil {
		span.Low = firstOr(*from, span.Size)
	}
	if after != nil {
		span.High = firstOr(*after, span.Size)
	}
	return span
}

func firstOr(positions []int64, size int64) int64 {
	if len(positions) == 0 {
		return size
	}
	return min(positions[0], size)
}

// Rows implements [audit.Store] for positions that descend, as lists of positions do.
func (s *Store) Rows(ctx context.Context, organization string, positions []int64) ([]audit.Row, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	var p pipeline
	p.in(ctx, organization)
	high, low := positions[0], positions[len(positions)-1]
	var rows []audit.Row
	var err error
	if high-low+1 == int64(len(positions)) {
		found := many(&p, queries.EntryRange(ctx, &p, []db.EntryRangeParams{{Organization: organization, Low: low, High: high + 1}}).Query)
		err = p.run(ctx, s.reads)
		rows = rowsFrom(*found, func(r db.EntryRangeRow) audit.Row {
			return audit.Row{Position: r.Position, CreatedAt: r.CreatedAt, Text: r.Entry}
		})
	} else {
		found := many(&p, queries.EntryMany(ctx, &p, []db.EntryManyParams{{Organization: organization, Positions: positions}}).Query)
		err = p.run(ctx, s.reads)
		rows = rowsFrom(*found, func(r db.EntryManyRow) audit.Row {
			return audit.Row{Position: r.Position, CreatedAt: r.CreatedAt, Text: r.Entry}
		})
	}
	if err != nil {
		return nil, translate("read entries", err)
	}
	if len(rows) != len(positions) {
		return nil, fmt.Errorf("read entries of %s: %d of %d positions from %d to %d are stored", organization, len(rows), len(positions), low, high)
	}
	return rows, nil
}

// Entry implements [audit.Store].
func (s *Store) Entry(ctx context.Context, organization, id string) (audit.Row, error) {
	var p pipeline
	p.in(ctx, organization)
	found := many(&p, queries.EntryByID(ctx, &p, []db.EntryByIDParams{{Organization: organization, ID: id}}).Query)
	if err := p.run(ctx, s.reads); err != nil {
		return audit.Row{}, translate("find an entry", err)
	}
	if len(*found) == 0 {
		return audit.Row{}, audit.ErrNotFound
	}
	row := (*found)[0]
	return audit.Row{Position: row.Position, CreatedAt: row.CreatedAt, Text: row.Entry}, nil
}

func rowsFrom[T any](found []T, row func(T) audit.Row) []audit.Row {
	rows := make([]audit.Row, len(found))
	for i, f := range found {
		rows[i] = row(f)
	}
	return rows
}
