package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// entryReader hands on entries as a statement gives them: of the columns position, created_at
// and entry, which is why the generated row types are not used here: a value each would be
// most of a list's cost. Values are read in their binary form, which the pools make sure of.
type entryReader struct {
	visit     func(audit.Row)
	positions []int64 // of the entries that were read
	size      int64   // the trail's, where the statement tells it
}

// readEntries visits the entries of the pipeline's next result while it is read: a row's text
// is in the connection's buffer.
func readEntries(p *pipeline, expected int64, visit func(audit.Row)) *entryReader {
	e := &entryReader{visit: visit}
	p.reads = append(p.reads, func() error {
		rows, err := p.results.Query()
		if err != nil {
			return err
		}
		defer rows.Close()
		e.positions = make([]int64, 0, expected)
		for rows.Next() {
			e.read(rows.RawValues())
		}
		return rows.Err()
	})
	return e
}

func (e *entryReader) read(values [][]byte) {
	if len(values) == 4 {
		e.size = int64(binary.BigEndian.Uint64(values[3]))
	}
	if values[0] == nil {
		return // a size alone
	}
	position := int64(binary.BigEndian.Uint64(values[0]))
	e.positions = append(e.positions, position)
	e.visit(audit.Row{Position: position, CreatedAt: timestamp(values[1]), Text: values[2]})
}

// timestamp reads PostgreSQL's binary timestamptz: microseconds since 2000.
func timestamp(value []byte) time.Time {
	const epoch = 946_684_800_000_000
	return time.UnixMicro(int64(binary.BigEndian.Uint64(value)) + epoch).UTC()
}

// maxSkip is beyond every trail's end, and small enough for the database to calculate with.
const maxSkip = 1 << 60

// Newest implements [audit.Store]. A page that was read before comes from memory, behind
// one look at the head; any other takes one statement that reads both.
func (s *Store) Newest(ctx context.Context, organization string, w audit.Window, visit func(audit.Row)) (audit.Found, error) {
	if w.Size >= 0 || w.Below != math.MaxInt64 || s.blocks.wants(organization, listed(s.blocks.size(organization), w)) {
		return s.newestByHead(ctx, organization, w, visit)
	}
	var p pipeline
	p.in(ctx, organization)
	queries.EntryNewest(ctx, &p, []db.EntryNewestParams{{Organization: organization, Skip: min(w.Offset, maxSkip), Max: w.Limit}})
	read := readEntries(&p, w.Limit, visit)
	if err := p.run(ctx, s.reads); err != nil {
		return audit.Found{}, translate("read a page", err)
	}
	s.blocks.grown(organization, read.size)
	state := audit.Found{Size: read.size, Total: read.size, Positions: whole(read.size, w).Descending(w.Offset, w.Limit)}
	return state, complete(organization, read.positions, state.Positions)
}

// newestByHead looks at the head first, for a state that is given, or for blocks that are
// kept or about to be.
func (s *Store) newestByHead(ctx context.Context, organization string, w audit.Window, visit func(audit.Row)) (audit.Found, error) {
	head, err := s.heads.size(ctx, organization)
	if err != nil {
		return audit.Found{}, err
	}
	size := sizeOf(head, w.Size)
	if w.Size < 0 {
		s.blocks.grown(organization, size)
	}
	found := audit.Found{Size: size, Total: size, Positions: whole(size, w).Descending(w.Offset, w.Limit)}
	return found, s.Rows(ctx, organization, found.Positions, visit)
}

// readSize asks for the trail's size, 0 for one that nothing was recorded in.
func readSize(_ context.Context, p *pipeline, organization string) *int64 {
	size := new(int64)
	p.ask(func() error {
		rows, err := p.results.Query()
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			*size = int64(binary.BigEndian.Uint64(rows.RawValues()[0]))
		}
		return rows.Err()
	}, db.HeadGet, organization)
	return size
}

// sizeOf is the size of the state that a reading concerns: the trail's own, or an earlier one.
func sizeOf(head, asked int64) int64 {
	if asked >= 0 {
		return min(head, asked)
	}
	return head
}

// whole is all that a window lists of a trail of that size.
func whole(size int64, w audit.Window) audit.Span { return audit.Span{High: size}.Below(w.Below) }

// listed is the part of it that the window lists.
func listed(size int64, w audit.Window) audit.Span {
	span := whole(size, w)
	span.High = max(span.Low, span.High-w.Offset)
	return span.From(span.High - w.Limit)
}

// Rows implements [audit.Store] for positions that descend, as lists of positions do.
func (s *Store) Rows(ctx context.Context, organization string, positions []int64, visit func(audit.Row)) error {
	if len(positions) == 0 {
		return nil
	}
	span := audit.Span{Low: positions[len(positions)-1], High: positions[0] + 1}
	if span.Len() != int64(len(positions)) {
		return s.scattered(ctx, organization, positions, visit)
	}
	rows, kept := s.blocks.rows(organization, span)
	if !kept && !s.blocks.wants(organization, span) {
		read, err := s.readSpan(ctx, organization, span, visit)
		if err != nil {
			return err
		}
		return complete(organization, read, positions)
	}
	if !kept {
		var err error
		if rows, err = s.readBlocks(ctx, organization, span, positions); err != nil {
			return err
		}
	}
	for _, row := range rows {
		visit(row)
	}
	return nil
}

// readBlocks reads the blocks that the span lies in, keeps them, and returns the span's rows.
func (s *Store) readBlocks(ctx context.Context, organization string, span audit.Span, positions []int64) ([]audit.Row, error) {
	around := aligned(span)
	rows := make([]audit.Row, 0, around.Len())
	read, err := s.readSpan(ctx, organization, around, func(row audit.Row) { rows = append(rows, row.Own()) })
	if err != nil {
		return nil, err
	}
	above := max(0, int64(len(rows))-(span.High-around.Low)) // the last block's rows behind the span
	end := min(above+span.Len(), int64(len(rows)))
	if err := complete(organization, read[above:end], positions); err != nil {
		return nil, err
	}
	listed := slices.Clone(rows[above:end])
	s.blocks.keep(organization, rows)
	return listed, nil
}

// readSpan visits the span's entries, newest first, and returns their positions.
func (s *Store) readSpan(ctx context.Context, organization string, span audit.Span, visit func(audit.Row)) ([]int64, error) {
	var p pipeline
	p.in(ctx, organization)
	queries.EntryRange(ctx, &p, []db.EntryRangeParams{{Organization: organization, Low: span.Low, High: span.High}})
	read := readEntries(&p, span.Len(), visit)
	err := p.run(ctx, s.reads)
	return read.positions, translate("read entries", err)
}

func (s *Store) scattered(ctx context.Context, organization string, positions []int64, visit func(audit.Row)) error {
	var p pipeline
	p.in(ctx, organization)
	queries.EntryMany(ctx, &p, []db.EntryManyParams{{Organization: organization, Positions: positions}})
	read := readEntries(&p, int64(len(positions)), visit)
	if err := p.run(ctx, s.reads); err != nil {
		return translate("read entries", err)
	}
	return complete(organization, read.positions, positions)
}

// complete fails unless exactly the entries at the positions were read: a trail with a gap
// is damaged, and must not be shown as if it were whole.
func complete(organization string, read, positions []int64) error {
	for i, position := range positions {
		if i >= len(read) || read[i] != position {
			return fmt.Errorf("read entries of %s: position %d is not stored", organization, position)
		}
	}
	if len(read) != len(positions) {
		return fmt.Errorf("read entries of %s: %d rows for %d positions", organization, len(read), len(positions))
	}
	return nil
}

// Entry implements [audit.Store].
func (s *Store) Entry(ctx context.Context, organization, id string) (found audit.Row, err error) {
	var p pipeline
	p.in(ctx, organization)
	queries.EntryByID(ctx, &p, []db.EntryByIDParams{{Organization: organization, ID: id}})
	read := readEntries(&p, 1, func(row audit.Row) { found = row.Own() })
	if err := p.run(ctx, s.reads); err != nil {
		return audit.Row{}, translate("find an entry", err)
	}
	if len(read.positions) == 0 {
		return audit.Row{}, audit.ErrNotFound
	}
	return found, nil
}
