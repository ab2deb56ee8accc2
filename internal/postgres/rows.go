package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// entryRows are entries as a statement gave them: of the columns position, created_at and
// entry. Their texts share one allocation: a value each would be most of a list's cost,
// which is why the generated row types are not used here. size is the trail's, where the
// statement tells it. Values are read in their binary form, which the pools make sure of.
type entryRows struct {
	rows []audit.Row
	size int64
}

// readEntries reads the next result of the pipeline as entries.
func readEntries(p *pipeline, expected int64) *entryRows {
	found := &entryRows{}
	p.reads = append(p.reads, func() error {
		rows, err := p.results.Query()
		if err != nil {
			return err
		}
		defer rows.Close()
		return found.read(rows, expected)
	})
	return found
}

func (e *entryRows) read(rows pgx.Rows, expected int64) error {
	e.rows = make([]audit.Row, 0, expected)
	var texts []byte
	var ends []int
	for rows.Next() {
		values := rows.RawValues()
		if len(values) == 4 {
			e.size = int64(binary.BigEndian.Uint64(values[3]))
		}
		if values[0] == nil {
			continue // a size alone
		}
		if texts == nil {
			texts = make([]byte, 0, int(min(expected, 256))*(len(values[2])+len(values[2])/4))
			ends = make([]int, 0, expected)
		}
		texts = append(texts, values[2]...)
		ends = append(ends, len(texts))
		e.rows = append(e.rows, audit.Row{
			Position: int64(binary.BigEndian.Uint64(values[0])), CreatedAt: timestamp(values[1]),
		})
	}
	begin := 0
	for i, end := range ends {
		e.rows[i].Text = texts[begin:end:end]
		begin = end
	}
	return rows.Err()
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
func (s *Store) Newest(ctx context.Context, organization string, w audit.Window) (audit.Found, []audit.Row, error) {
	if w.Size >= 0 || w.Below != math.MaxInt64 || s.blocks.wants(organization, listed(s.blocks.size(organization), w)) {
		return s.newestByHead(ctx, organization, w)
	}
	var p pipeline
	p.in(ctx, organization)
	queries.EntryNewest(ctx, &p, []db.EntryNewestParams{{Organization: organization, Skip: min(w.Offset, maxSkip), Max: w.Limit}})
	found := readEntries(&p, w.Limit)
	if err := p.run(ctx, s.reads); err != nil {
		return audit.Found{}, nil, translate("read a page", err)
	}
	s.blocks.grown(organization, found.size)
	state := audit.Found{Size: found.size, Total: found.size, Positions: whole(found.size, w).Descending(w.Offset, w.Limit)}
	return state, found.rows, complete(organization, found.rows, state.Positions)
}

// newestByHead looks at the head first, for a state that is given, or for blocks that are
// kept or about to be.
func (s *Store) newestByHead(ctx context.Context, organization string, w audit.Window) (audit.Found, []audit.Row, error) {
	head, err := s.heads.size(ctx, organization)
	if err != nil {
		return audit.Found{}, nil, err
	}
	size := sizeOf(head, w.Size)
	if w.Size < 0 {
		s.blocks.grown(organization, size)
	}
	found := audit.Found{Size: size, Total: size, Positions: whole(size, w).Descending(w.Offset, w.Limit)}
	rows, err := s.Rows(ctx, organization, found.Positions)
	return found, rows, err
}

// readSize asks for the trail's size, 0 for one that nothing was recorded in.
func readSize(ctx context.Context, p *pipeline, organization string) *int64 {
	queries.HeadGet(ctx, p, []string{organization})
	size := new(int64)
	p.reads = append(p.reads, func() error {
		rows, err := p.results.Query()
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			*size = int64(binary.BigEndian.Uint64(rows.RawValues()[0]))
		}
		return rows.Err()
	})
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
func (s *Store) Rows(ctx context.Context, organization string, positions []int64) ([]audit.Row, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	span := audit.Span{Low: positions[len(positions)-1], High: positions[0] + 1}
	if span.Len() != int64(len(positions)) {
		return s.scattered(ctx, organization, positions)
	}
	if rows, kept := s.blocks.rows(organization, span); kept {
		return rows, nil
	}
	if !s.blocks.wants(organization, span) {
		rows, err := s.readSpan(ctx, organization, span)
		if err != nil {
			return nil, err
		}
		return rows, complete(organization, rows, positions)
	}
	rows, err := s.readSpan(ctx, organization, aligned(span))
	if err != nil {
		return nil, err
	}
	if skip := int64(len(rows)) - (span.High - aligned(span).Low); skip >= 0 {
		listed := append([]audit.Row(nil), rows[skip:][:min(span.Len(), int64(len(rows))-skip)]...)
		if err := complete(organization, listed, positions); err != nil {
			return nil, err
		}
		s.blocks.keep(organization, rows)
		return listed, nil
	}
	return nil, complete(organization, rows, positions)
}

func (s *Store) readSpan(ctx context.Context, organization string, span audit.Span) ([]audit.Row, error) {
	var p pipeline
	p.in(ctx, organization)
	queries.EntryRange(ctx, &p, []db.EntryRangeParams{{Organization: organization, Low: span.Low, High: span.High}})
	found := readEntries(&p, span.Len())
	err := p.run(ctx, s.reads)
	return found.rows, translate("read entries", err)
}

func (s *Store) scattered(ctx context.Context, organization string, positions []int64) ([]audit.Row, error) {
	var p pipeline
	p.in(ctx, organization)
	queries.EntryMany(ctx, &p, []db.EntryManyParams{{Organization: organization, Positions: positions}})
	found := readEntries(&p, int64(len(positions)))
	if err := p.run(ctx, s.reads); err != nil {
		return nil, translate("read entries", err)
	}
	return found.rows, complete(organization, found.rows, positions)
}

// complete fails unless the rows are exactly those of the positions: a trail with a gap
// is damaged, and must not be shown as if it were whole.
func complete(organization string, rows []audit.Row, positions []int64) error {
	for i, position := range positions {
		if i >= len(rows) || rows[i].Position != position {
			return fmt.Errorf("read entries of %s: position %d is not stored", organization, position)
		}
	}
	if len(rows) != len(positions) {
		return fmt.Errorf("read entries of %s: %d rows for %d positions", organization, len(rows), len(positions))
	}
	return nil
}

// Entry implements [audit.Store].
func (s *Store) Entry(ctx context.Context, organization, id string) (audit.Row, error) {
	var p pipeline
	p.in(ctx, organization)
	queries.EntryByID(ctx, &p, []db.EntryByIDParams{{Organization: organization, ID: id}})
	found := readEntries(&p, 1)
	if err := p.run(ctx, s.reads); err != nil {
		return audit.Row{}, translate("find an entry", err)
	}
	if len(found.rows) == 0 {
		return audit.Row{}, audit.ErrNotFound
	}
	return found.rows[0], nil
}
