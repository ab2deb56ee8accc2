package postgres

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// builder builds postings of one trail within one transaction.
type builder struct {
	tx           pgx.Tx
	organization string
	postFrom     int64
	upto         map[valueKey]int64 // of each value that has postings: how many entries they know of
}

type valueKey struct {
	column audit.Column
	value  string
}

// lock takes the trail and says which ranges are to be built: from one, up to another.
func (b *builder) lock(ctx context.Context) (from, to int64, err error) {
	var ensure, p pipeline
	ensure.in(ctx, b.organization)
	exec(&ensure, queries.ProgressEnsure(ctx, &ensure, []string{b.organization}).Exec)
	if err := ensure.run(ctx, b.tx); err != nil {
		return 0, 0, err
	}
	locked := many(&p, queries.ProgressLock(ctx, &p, []string{b.organization}).Query)
	values := many(&p, queries.PostedValues(ctx, &p, []string{b.organization}).Query)
	if err := p.run(ctx, b.tx); err != nil || len(*locked) == 0 {
		return 0, 0, err
	}
	b.upto = make(map[valueKey]int64, len(*values))
	for _, v := range *values {
		b.upto[valueKey{postedColumns[v.Field], v.Value}] = v.Upto
	}
	return (*locked)[0].Ranges, (*locked)[0].Size / rangeSize, nil
}

// build posts one range: of the values that have postings, and of those that became
// frequent, for which everything before is made up for.
func (b *builder) build(ctx context.Context, at int64) error {
	places, err := b.places(ctx, at)
	if err != nil {
		return err
	}
	var rows db.PostingInsertParams
	var values db.PostedValueInsertParams
	rows.Organization, values.Organization = b.organization, b.organization
	for _, key := range slices.SortedFunc(maps.Keys(places), compareKeys) {
		if _, has := b.upto[key]; !has {
			frequent, err := b.frequent(ctx, key, at, int64(len(places[key])))
			if err != nil {
				return err
			}
			if !frequent {
				continue
			}
			values.Fields = append(values.Fields, postedField(key.column))
			values.Values = append(values.Values, key.value)
			if err := b.makeUp(ctx, &rows, key, at); err != nil {
				return err
			}
		}
		b.post(&rows, key, at, places[key])
	}
	var p pipeline
	exec(&p, queries.PostedValueInsert(ctx, &p, []db.PostedValueInsertParams{values}).Exec)
	exec(&p, queries.PostingInsert(ctx, &p, []db.PostingInsertParams{rows}).Exec)
	return p.run(ctx, b.tx)
}

// places sorts a range's entries by the values that they can be found by.
func (b *builder) places(ctx context.Context, at int64) (map[valueKey][]uint16, error) {
	var p pipeline
	found := many(&p, queries.EntryValues(ctx, &p, []db.EntryValuesParams{{
		Organization: b.organization, Low: at * rangeSize, High: (at + 1) * rangeSize,
	}}).Query)
	if err := p.run(ctx, b.tx); err != nil {
		return nil, err
	}
	places := map[valueKey][]uint16{}
	for _, e := range *found {
		place := uint16(e.Position - at*rangeSize)
		for _, of := range [...]struct {
			column audit.Column
			value  *string
		}{{audit.ByAction, &e.Action}, {audit.ByResourceType, e.ResourceType}, {audit.ByResourceID, e.ResourceID}, {audit.ByUserID, e.UserID}} {
			if of.value != nil {
				key := valueKey{of.column, *of.value}
				places[key] = append(places[key], place)
			}
		}
	}
	return places, nil
}

// How often a value without postings must stand in a range for all of its entries to be
// counted: often enough in any range, or a few times in each sixteenth. So a value that
// has become frequent is noticed at the latest 16 ranges later, and the many that are rare
// cost nothing.
const (
	noticedAt   = rangeSize / 32
	inspectedAt = 4
	inspection  = 16
)

// frequent reports whether a value that stands n times in the range should have postings.
func (b *builder) frequent(ctx context.Context, key valueKey, at, n int64) (bool, error) {
	noticed := n >= noticedAt || n >= inspectedAt && at%inspection == inspection-1
	if n >= b.postFrom || !noticed {
		return n >= b.postFrom, nil
	}
	var p pipeline
	total := columns[key.column].count(ctx, &p, spanArgs{b.organization, key.value, 0, (at + 1) * rangeSize})
	err := p.run(ctx, b.tx)
	return *total >= b.postFrom, err
}

// makeUp posts a value's entries in all ranges before at.
func (b *builder) makeUp(ctx context.Context, rows *db.PostingInsertParams, key valueKey, at int64) error {
	var p pipeline
	found := columns[key.column].positions(ctx, &p, pageArgs{b.organization, key.value, 0, at * rangeSize, 0, at * rangeSize})
	if err := p.run(ctx, b.tx); err != nil {
		return err
	}
	slices.Reverse(*found)
	for positions := *found; len(positions) > 0; {
		earlier := positions[0] / rangeSize
		var places []uint16
		for len(positions) > 0 && positions[0]/rangeSize == earlier {
			places = append(places, uint16(positions[0]%rangeSize))
			positions = positions[1:]
		}
		b.post(rows, key, earlier, places)
	}
	return nil
}

func (b *builder) post(rows *db.PostingInsertParams, key valueKey, at int64, places []uint16) {
	rows.Fields = append(rows.Fields, postedField(key.column))
	rows.Values = append(rows.Values, key.value)
	rows.Ranges = append(rows.Ranges, at)
	rows.Befores = append(rows.Befores, b.upto[key])
	rows.Counts = append(rows.Counts, int32(len(places)))
	rows.Positions = append(rows.Positions, encodePlaces(places))
	b.upto[key] += int64(len(places))
}

func compareKeys(a, b valueKey) int {
	return cmp.Or(cmp.Compare(a.column, b.column), cmp.Compare(a.value, b.value))
}
