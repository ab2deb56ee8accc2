package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// Entries visits the entries of a span, at most a [StoredTrail.Step] from a multiple of it
// on, in the order of their positions, and returns what stands beside their texts and isn't
// what admission makes of them: columns, ids, postings and the admin trail's search texts.
// What visit is given is good until it returns.
func (t *StoredTrail) Entries(ctx context.Context, span audit.Span, visit func(audit.StoredEntry)) ([]audit.Finding, error) {
	look := &look{StoredTrail: t, span: span, visit: visit, posted: [5]map[string]*postedPlaces{}}
	if err := look.rows(ctx); err != nil {
		return nil, err
	}
	if err := look.ids(ctx); err != nil {
		return nil, err
	}
	look.postings()
	return look.found, nil
}

// look is what is gathered of a span while its entries pass.
type look struct {
	*StoredTrail
	span      audit.Span
	visit     func(audit.StoredEntry)
	found     []audit.Finding
	entryIDs  []string
	positions []int64                     // of the ids
	built     bool                        // the span is a range that has postings
	posted    [5]map[string]*postedPlaces // by field and value
	folded    map[int64]string            // of the admin trail; nil where it isn't looked at
}

// postedPlaces is what is stored of a value in a range, and where the columns have it.
type postedPlaces struct {
	count   int32
	encoded []byte
	places  []uint16
}

func (p *postedPlaces) add(place uint16) {
	if n := len(p.places); n == 0 || p.places[n-1] != place { // unless the entry stands there twice
		p.places = append(p.places, place)
	}
}

func (l *look) add(position int64, format string, args ...any) {
	l.found = append(l.found, audit.Finding{Position: position, Detail: fmt.Sprintf(format, args...)})
}

func (l *look) rows(ctx context.Context) error {
	var p pipeline
	p.in(ctx, l.organization)
	if l.mayRead("postings") && l.mayRead("posting_values") && l.mayRead("posting_progress") && l.span.Len() == rangeSize {
		l.readPostings(ctx, &p)
	}
	if l.organization == audit.AdminOrganization && l.mayRead("admin_search") {
		l.readSearch(ctx, &p)
	}
	queries.EntryWhole(ctx, &p, []db.EntryWholeParams{{Organization: l.organization, Low: l.span.Low, High: l.span.High}})
	p.reads = append(p.reads, func() error {
		rows, err := p.results.Query()
		if err != nil {
			return err
		}
		defer rows.Close()
		return l.each(rows)
	})
	return l.run(ctx, &p)
}

func (l *look) readPostings(ctx context.Context, p *pipeline) {
	at := l.span.Low / rangeSize
	queries.PostedRanges(ctx, p, []string{l.organization})
	p.reads = append(p.reads, func() error {
		rows, err := p.results.Query()
		if err != nil {
			return err
		}
		ranges, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		l.built = len(ranges) > 0 && at < ranges[0]
		return err
	})
	queries.PostingOfRange(ctx, p, []db.PostingOfRangeParams{{Range: at, Organization: l.organization}})
	p.reads = append(p.reads, func() error {
		rows, err := p.results.Query()
		if err != nil {
			return err
		}
		found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[db.PostingOfRangeRow])
		for _, row := range found {
			if row.Field < 1 || row.Field > 4 {
				continue
			}
			if l.posted[row.Field] == nil {
				l.posted[row.Field] = map[string]*postedPlaces{}
			}
			l.posted[row.Field][row.Value] = &postedPlaces{count: row.Count, encoded: row.Positions}
		}
		return err
	})
}

func (l *look) readSearch(ctx context.Context, p *pipeline) {
	read := many(p, queries.SearchWhole(ctx, p, []db.SearchWholeParams{{Low: l.span.Low, High: l.span.High}}).Query)
	p.reads = append(p.reads, func() error {
		l.folded = make(map[int64]string, len(*read))
		for _, row := range *read {
			l.folded[row.Position] = row.Folded
		}
		return nil
	})
}

// each reads values in their binary form, as they come.
func (l *look) each(rows pgx.Rows) error {
	for rows.Next() {
		v := rows.RawValues()
		e := audit.StoredEntry{Row: audit.Row{Position: int64(binary.BigEndian.Uint64(v[0])), CreatedAt: timestamp(v[1]), Text: v[6]}, Salts: v[7], LeafHash: v[8]}
		l.visit(e)
		l.columns(e, v[2:6])
	}
	return rows.Err()
}

// columns holds what the entry is found by against its text.
func (l *look) columns(e audit.StoredEntry, stored [][]byte) {
	should := audit.FoundByOf(l.organization, e.Text)
	for i, text := range [...]string{should.Action, should.ResourceType, should.ResourceID, should.UserID} {
		field := int16(i + 1)
		if string(stored[i]) != text || (stored[i] == nil) != (text == "") {
			l.add(e.Position, "the column %s says %s, and the entry %s", fieldNames[field], said(stored[i]), said([]byte(text)))
		}
		if posted := l.posted[field][string(stored[i])]; posted != nil && stored[i] != nil {
			posted.add(uint16(e.Position - l.span.Low))
		}
	}
	if l.folded != nil {
		if folded, has := l.folded[e.Position]; !has {
			l.add(e.Position, "the search index has no text of this entry")
		} else if folded != should.SearchText {
			l.add(e.Position, "the search index has another text than this entry's")
		}
	}
	l.entryIDs, l.positions = append(l.entryIDs, should.ID), append(l.positions, e.Position)
}

// said shows a column's value, shortened for a line.
func said(value []byte) string {
	if len(value) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%.60q", value)
}

// ids asks where each entry's id is said to stand.
func (l *look) ids(ctx context.Context) error {
	if !l.mayRead("entry_ids") || len(l.entryIDs) == 0 {
		return nil
	}
	var p pipeline
	p.in(ctx, l.organization)
	found := many(&p, queries.IDPositions(ctx, &p, []db.IDPositionsParams{{Ids: l.entryIDs, Organization: l.organization}}).Query)
	if err := l.run(ctx, &p); err != nil {
		return err
	}
	at := 0
	for i, position := range l.positions {
		switch {
		case at == len(*found) || (*found)[at].N != int64(i+1):
			l.add(position, "its id %q is not among the ids that are taken", l.entryIDs[i])
			continue
		case (*found)[at].Position != position:
			l.add(position, "its id %q is said to stand at position %d", l.entryIDs[i], (*found)[at].Position)
		}
		at++
	}
	return nil
}

// postings holds a range's postings against its columns.
func (l *look) postings() {
	if !l.built {
		return
	}
	for field, values := range l.posted {
		for value, p := range values {
			if encoded := encodePlaces(p.places); p.count == int32(len(p.places)) && bytes.Equal(encoded, p.encoded) {
				continue
			}
			l.add(l.span.Low+p.differs(), "the postings of %s %q of this range are not what its columns say", fieldNames[field], value)
		}
	}
}

// differs is the first place that only one of the two has, 0 where that can't be told.
func (p *postedPlaces) differs() int64 {
	var stored, should rangeSet
	if err := decodePlaces(p.encoded, &stored); err != nil {
		return 0
	}
	for _, place := range p.places {
		should.add(int64(place))
	}
	for i := range stored {
		if other := stored[i] ^ should[i]; other != 0 {
			return int64(i*64 + bits.TrailingZeros64(other))
		}
	}
	return 0
}
