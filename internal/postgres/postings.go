package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// rangeSize is how many positions one range of postings covers. The schema's checks and
// statements state the same number.
const rangeSize = 1 << 14

// bitmapFrom is the number of positions from which on a range is kept as a bitmap.
const bitmapFrom = rangeSize / 16

// postedColumns are the columns that have postings, by their numbers in the tables.
var postedColumns = map[int16]audit.Column{
	1: audit.ByAction, 2: audit.ByResourceType, 3: audit.ByResourceID, 4: audit.ByUserID,
}

// postedField is a column's number in the tables of postings, 0 for one that has none.
func postedField(c audit.Column) int16 {
	for field, column := range postedColumns {
		if column == c {
			return field
		}
	}
	return 0
}

// rangeSet is a set of places in one range of positions.
type rangeSet [rangeSize / 64]uint64

func (s *rangeSet) add(place int64) { s[place>>6] |= 1 << (place & 63) }

// and keeps what other holds too.
func (s *rangeSet) and(other *rangeSet) {
	for i := range s {
		s[i] &= other[i]
	}
}

// without drops what other holds.
func (s *rangeSet) without(other *rangeSet) {
	for i := range s {
		s[i] &^= other[i]
	}
}

// fill makes it the whole range.
func (s *rangeSet) fill() {
	for i := range s {
		s[i] = math.MaxUint64
	}
}

// clip drops the places outside low <= place < high.
func (s *rangeSet) clip(low, high int64) {
	for i := range s {
		first := int64(i) * 64
		if first < low {
			s[i] &^= 1<<min(64, low-first) - 1
		}
		if first+64 > high {
			s[i] &= 1<<max(0, high-first) - 1
		}
	}
}

func (s *rangeSet) len() int64 {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return int64(n)
}

// between counts the places low <= place < high.
func (s *rangeSet) between(low, high int64) int64 {
	if low > 0 || high < rangeSize {
		part := *s
		part.clip(low, high)
		return part.len()
	}
	return s.len()
}

// appendDescending appends limit of the set's positions, the highest first, behind the
// highest skip of them. base is the range's first position.
func (s *rangeSet) appendDescending(dst []int64, base, skip, limit int64) []int64 {
	for i := len(s) - 1; i >= 0 && limit > 0; i-- {
		word := s[i]
		if n := int64(bits.OnesCount64(word)); skip >= n {
			skip -= n
			continue
		}
		for ; word != 0 && limit > 0; limit-- {
			top := 63 - bits.LeadingZeros64(word)
			word &^= 1 << top
			if skip > 0 {
				skip--
				limit++
				continue
			}
			dst = append(dst, base+int64(i)*64+int64(top))
		}
	}
	return dst
}

// encodePlaces writes ascending places of a range as postings keep them.
func encodePlaces(places []uint16) []byte {
	if len(places) < bitmapFrom {
		encoded := make([]byte, 0, 2*len(places))
		for _, place := range places {
			encoded = binary.LittleEndian.AppendUint16(encoded, place)
		}
		return encoded
	}
	encoded := make([]byte, rangeSize/8)
	for _, place := range places {
		encoded[place>>3] |= 1 << (place & 7)
	}
	return encoded
}

// decodePlaces adds what encodePlaces wrote to set.
func decodePlaces(encoded []byte, set *rangeSet) error {
	if len(encoded) == rangeSize/8 {
		for i := range set {
			set[i] |= binary.LittleEndian.Uint64(encoded[8*i:])
		}
		return nil
	}
	if len(encoded)%2 != 0 || len(encoded) > rangeSize/8 {
		return fmt.Errorf("postings of %d bytes", len(encoded))
	}
	for ; len(encoded) > 0; encoded = encoded[2:] {
		place := binary.LittleEndian.Uint16(encoded)
		if place >= rangeSize {
			return fmt.Errorf("a posting at place %d of a range", place)
		}
		set.add(int64(place))
	}
	return nil
}

// keepPlaces keeps of set what encodePlaces wrote.
func keepPlaces(encoded []byte, set *rangeSet) error {
	if len(encoded) == rangeSize/8 {
		for i := range set {
			set[i] &= binary.LittleEndian.Uint64(encoded[8*i:])
		}
		return nil
	}
	var other rangeSet
	err := decodePlaces(encoded, &other)
	set.and(&other)
	return err
}

// eachPosting reads the next result of the pipeline, which has the columns range, before,
// count and positions, without a copy of each row.
func eachPosting(p *pipeline, add func(at int64, places []byte) error) {
	p.reads = append(p.reads, func() error {
		rows, err := p.results.Query()
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			values := rows.RawValues()
			if err := add(int64(binary.BigEndian.Uint64(values[0])), values[3]); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// posted is a term whose postings below the position sealed are complete.
type posted struct {
	term   audit.Term
	sealed int64
}

// rankRow asks for what rank needs; position is at most p.sealed.
func (p posted) rankRow(ctx context.Context, q *pipeline, organization string, position int64) *[]db.PostingUpToRow {
	return many(q, queries.PostingUpTo(ctx, q, []db.PostingUpToParams{{
		Organization: organization, Field: postedField(p.term.Column), Value: p.term.Value,
		Range: min(position, p.sealed-1) / rangeSize,
	}}).Query)
}

// rank is how many of the term's entries stand before position.
func rank(found []db.PostingUpToRow, position int64) (int64, error) {
	if len(found) == 0 {
		return 0, nil
	}
	row := found[0]
	if position >= (row.Range+1)*rangeSize {
		return row.Before + int64(row.Count), nil
	}
	var set rangeSet
	if err := decodePlaces(row.Positions, &set); err != nil {
		return 0, err
	}
	set.clip(0, position-row.Range*rangeSize)
	return row.Before + set.len(), nil
}

// ranked are the term's entries number above+1 to number upto, in built history.
type ranked struct {
	term        audit.Term
	above, upto int64
	found       *[]db.PostingByRankRow
}

// ask adds the statement that finds them, if there are any.
func (r *ranked) ask(ctx context.Context, q *pipeline, organization string) bool {
	if r.above >= r.upto {
		return false
	}
	r.found = many(q, queries.PostingByRank(ctx, q, []db.PostingByRankParams{{
		Organization: organization, Field: postedField(r.term.Column), Value: r.term.Value,
		Upto: r.upto, Above: r.above,
	}}).Query)
	return true
}

// list appends their positions, newest first.
func (r *ranked) list(positions []int64) ([]int64, error) {
	if r.found == nil {
		return positions, nil
	}
	before := int64(len(positions))
	for _, row := range *r.found {
		var set rangeSet
		if err := decodePlaces(row.Positions, &set); err != nil {
			return nil, err
		}
		last := row.Before + int64(row.Count)
		positions = set.appendDescending(positions, row.Range*rangeSize, max(0, last-r.upto), min(last, r.upto)-max(row.Before, r.above))
	}
	if listed := int64(len(positions)) - before; listed != r.upto-r.above {
		return nil, fmt.Errorf("postings: %d positions for the ranks from %d to %d", listed, r.above, r.upto)
	}
	return positions, nil
}
