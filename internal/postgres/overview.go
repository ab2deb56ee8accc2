package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// Extent implements [audit.Store].
func (s *Store) Extent(ctx context.Context, organization string) (audit.Extent, error) {
	var p pipeline
	p.in(ctx, organization)
	rows := many(&p, queries.TrailExtent(ctx, &p, []string{organization}).Query)
	if err := p.run(ctx, s.reads); err != nil || len(*rows) == 0 {
		return audit.Extent{}, translate("read a trail's extent", err)
	}
	row := (*rows)[0]
	return audit.Extent{Size: row.Size, First: row.First.UTC(), Last: row.Last.UTC()}, nil
}

// Counts implements [audit.Store]: the boundaries of time are looked up as positions, and what
// matches is counted between these.
func (s *Store) Counts(ctx context.Context, organization string, f audit.Filter, size int64, starts []time.Time) ([]int64, error) {
	var p pipeline
	p.in(ctx, organization)
	cuts := many(&p, queries.PositionsFrom(ctx, &p, []db.PositionsFromParams{{Organization: organization, Times: starts}}).Query)
	if err := p.run(ctx, s.reads); err != nil {
		return nil, translate("find positions", err)
	}
	if len(*cuts) != len(starts) {
		return nil, fmt.Errorf("find positions: %d of %d times", len(*cuts), len(starts))
	}
	r := &reading{store: s, organization: organization, terms: f.Terms(), excluded: f.Excluded(), window: audit.Window{Size: size}}
	if _, err := r.begin(ctx, f); err != nil {
		return nil, err
	}
	b := newBuckets(*cuts, r.span)
	if len(r.terms)+len(r.excluded) == 0 {
		for i, span := range b.spans {
			b.counts[i] = span.Len()
		}
		return b.counts, nil
	}
	return b.counts, r.walk(ctx, r.span, b)
}

// buckets take matches and count them by the spans of positions that they fall into, which
// follow upon each other.
type buckets struct {
	spans  []audit.Span
	counts []int64
}

// newBuckets are the parts of the span that begin at cuts, which ascend; below zero is behind
// the end. The first one begins where the span does.
func newBuckets(cuts []int64, span audit.Span) *buckets {
	b := &buckets{spans: make([]audit.Span, len(cuts)), counts: make([]int64, len(cuts))}
	high := span.High
	for i := len(cuts) - 1; i >= 0; i-- {
		low := min(cuts[i], high)
		switch {
		case i == 0:
			low = span.Low
		case cuts[i] < 0:
			low = high
		}
		b.spans[i] = audit.Span{Low: max(low, span.Low), High: high}
		high = b.spans[i].Low
	}
	return b
}

func (b *buckets) whole() bool { return true }
func (b *buckets) done() bool  { return false }

func (b *buckets) addSet(base int64, set *rangeSet) {
	for i, span := range b.spans {
		if part := span.From(base).Below(base + rangeSize); part.Len() > 0 {
			b.counts[i] += set.between(part.Low-base, part.High-base)
		}
	}
}

func (b *buckets) addList(positions []int64) {
	at := len(b.spans) - 1
	for _, position := range positions {
		for position < b.spans[at].Low {
			at--
		}
		b.counts[at]++
	}
}

// summary is what a column can tell of its values, each by one static statement.
type summary struct {
	facets func(ctx context.Context, p *pipeline, a facetArgs) *[]facetRow
	run    func(ctx context.Context, p *pipeline, a runArgs) *[]facetRow
	values func(ctx context.Context, p *pipeline, a valueArgs) *[]string
}

// The generated types of all columns have these shapes.
type (
	facetArgs = struct {
		Positions    []int64
		Organization string
		Max          int64
	}
	runArgs = struct {
		Organization string
		High         int64
		Entries      int64
		Max          int64
	}
	facetRow = struct {
		Value          string
		Count          int64
		DistinctValues int64
	}
	valueArgs = struct {
		Max          int64
		Organization string
		First        string
		Prefix       string
	}
	facetResult[R any] interface {
		Query(func(int, []R, error))
	}
	valueResult interface {
		Query(func(int, []string, error))
	}
)

var summaries = map[audit.Column]summary{
	audit.ByAction:       newSummary(queries.ActionFacets, queries.ActionRunFacets, queries.ActionValues),
	audit.ByResourceType: newSummary(queries.ResourceTypeFacets, queries.ResourceTypeRunFacets, queries.ResourceTypeValues),
	audit.ByResourceID:   newSummary(queries.ResourceIDFacets, queries.ResourceIDRunFacets, queries.ResourceIDValues),
	audit.ByUserID:       newSummary(queries.UserIDFacets, queries.UserIDRunFacets, queries.UserIDValues),
}

func newSummary[F ~facetArgs, B ~runArgs, V ~valueArgs, FR, BR ~facetRow, FS facetResult[FR], BS facetResult[BR], VS valueResult](
	facets func(context.Context, db.DBTX, []F) FS, run func(context.Context, db.DBTX, []B) BS, values func(context.Context, db.DBTX, []V) VS,
) summary {
	return summary{
		func(ctx context.Context, p *pipeline, a facetArgs) *[]facetRow {
			return facetRows(p, facets(ctx, p, []F{F(a)}).Query)
		},
		func(ctx context.Context, p *pipeline, a runArgs) *[]facetRow {
			return facetRows(p, run(ctx, p, []B{B(a)}).Query)
		},
		func(ctx context.Context, p *pipeline, a valueArgs) *[]string {
			return many(p, values(ctx, p, []V{V(a)}).Query)
		},
	}
}

func facetRows[R ~facetRow](p *pipeline, read func(func(int, []R, error))) *[]facetRow {
	found := &[]facetRow{}
	rows := many(p, read)
	p.reads = append(p.reads, func() error {
		for _, row := range *rows {
			*found = append(*found, facetRow(row))
		}
		return nil
	})
	return found
}

// CountValues implements [audit.Store] for positions that descend.
func (s *Store) CountValues(ctx context.Context, organization string, c audit.Column, positions []int64, limit int64) ([]audit.ValueCount, int64, error) {
	if len(positions) == 0 {
		return nil, 0, nil
	}
	var p pipeline
	p.in(ctx, organization)
	var rows *[]facetRow
	if entries, high := int64(len(positions)), positions[0]+1; high-positions[len(positions)-1] == entries {
		rows = summaries[c].run(ctx, &p, runArgs{organization, high, entries, limit})
	} else {
		rows = summaries[c].facets(ctx, &p, facetArgs{positions, organization, limit})
	}
	if err := p.run(ctx, s.reads); err != nil {
		return nil, 0, translate("count values", err)
	}
	var counts []audit.ValueCount
	var distinct int64
	for _, row := range *rows {
		counts, distinct = append(counts, audit.ValueCount{Value: row.Value, Count: row.Count}), row.DistinctValues
	}
	return counts, distinct, nil
}

// Values implements [audit.Store].
func (s *Store) Values(ctx context.Context, organization string, c audit.Column, prefix string, limit int64) ([]string, error) {
	var p pipeline
	p.in(ctx, organization)
	found := summaries[c].values(ctx, &p, valueArgs{Max: limit, Organization: organization, First: prefix, Prefix: prefix})
	if err := p.run(ctx, s.reads); err != nil {
		return nil, translate("find values", err)
	}
	values := *found
	if n := len(values); n > 0 && !strings.HasPrefix(values[n-1], prefix) {
		values = values[:n-1] // the one behind them
	}
	return values, nil
}

// Size implements [audit.Store].
func (s *Store) Size(ctx context.Context, organization string) (int64, error) {
	return s.heads.size(ctx, organization)
}

// Matching implements [audit.Store]. Nothing of it is remembered: whoever follows a trail asks
// for each span once.
func (s *Store) Matching(ctx context.Context, organization string, f audit.Filter, span audit.Span) ([]int64, error) {
	r := &reading{store: s, organization: organization, terms: f.Terms(), excluded: f.Excluded(), window: audit.Window{Size: span.High}}
	if _, err := r.begin(ctx, f); err != nil {
		return nil, err
	}
	if err := r.chooseSearch(ctx); err != nil {
		return nil, err
	}
	t := &tally{counting: true, below: span.High, limit: span.Len()}
	err := r.walk(ctx, r.span.From(span.Low), t)
	return t.listed, err
}
