package postgres

import (
	"context"
	"strings"
	"unicode/utf8"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// column is what one filterable column can answer, each by one static statement that
// its own index serves. Combinations are made of these in Go, so that a new filter
// needs no statement for each combination, and no plan depends on which filters are set.
type column struct {
	count     func(ctx context.Context, p *pipeline, a spanArgs) *int64
	positions func(ctx context.Context, p *pipeline, a pageArgs) *[]int64
	among     func(ctx context.Context, p *pipeline, a amongArgs) *[]int64
}

// The generated parameter types of all columns have these shapes.
type (
	spanArgs = struct {
		Organization string
		Value        string
		Low          int64
		High         int64
	}
	pageArgs = struct {
		Organization string
		Value        string
		Low          int64
		High         int64
		Skip         int64
		Max          int64
	}
	amongArgs = struct {
		Positions    []int64
		Organization string
		Value        string
	}
	countResult     interface{ QueryRow(func(int, int64, error)) }
	positionsResult interface {
		Query(func(int, []int64, error))
	}
)

var columns = map[audit.Column]column{
	audit.ByAction:       newColumn(queries.ActionCount, queries.ActionPositions, queries.ActionAmong),
	audit.ByResourceType: newColumn(queries.ResourceTypeCount, queries.ResourceTypePositions, queries.ResourceTypeAmong),
	audit.ByResourceID:   newColumn(queries.ResourceIDCount, queries.ResourceIDPositions, queries.ResourceIDAmong),
	audit.ByUserID:       newColumn(queries.UserIDCount, queries.UserIDPositions, queries.UserIDAmong),
}

func newColumn[S ~spanArgs, P ~pageArgs, A ~amongArgs, SR countResult, PR, AR positionsResult](
	count func(context.Context, db.DBTX, []S) SR,
	positions func(context.Context, db.DBTX, []P) PR,
	among func(context.Context, db.DBTX, []A) AR,
) column {
	return column{
		func(ctx context.Context, p *pipeline, a spanArgs) *int64 {
			return one(p, count(ctx, p, []S{S(a)}).QueryRow)
		},
		func(ctx context.Context, p *pipeline, a pageArgs) *[]int64 {
			return many(p, positions(ctx, p, []P{P(a)}).Query)
		},
		func(ctx context.Context, p *pipeline, a amongArgs) *[]int64 {
			return many(p, among(ctx, p, []A{A(a)}).Query)
		},
	}
}

// The search columns look in the admin trail's substring index, which knows no
// organization: [audit.Filter.Search] is set for that trail alone.
var (
	searchColumn = column{
		func(ctx context.Context, p *pipeline, a spanArgs) *int64 {
			return one(p, queries.SearchCount(ctx, p, []db.SearchCountParams{{Value: likePattern(a.Value), Low: a.Low, High: a.High}}).QueryRow)
		},
		func(ctx context.Context, p *pipeline, a pageArgs) *[]int64 {
			return many(p, queries.SearchPositions(ctx, p, []db.SearchPositionsParams{{Value: likePattern(a.Value), Low: a.Low, High: a.High, Skip: a.Skip, Max: a.Max}}).Query)
		},
		func(ctx context.Context, p *pipeline, a amongArgs) *[]int64 {
			return many(p, queries.SearchAmong(ctx, p, []db.SearchAmongParams{{Value: likePattern(a.Value), Positions: a.Positions}}).Query)
		},
	}
	shortSearchColumn = column{
		func(ctx context.Context, p *pipeline, a spanArgs) *int64 {
			return one(p, queries.ShortSearchCount(ctx, p, []db.ShortSearchCountParams{{Value: a.Value, Low: a.Low, High: a.High}}).QueryRow)
		},
		func(ctx context.Context, p *pipeline, a pageArgs) *[]int64 {
			return many(p, queries.ShortSearchPositions(ctx, p, []db.ShortSearchPositionsParams{{Value: a.Value, Low: a.Low, High: a.High, Skip: a.Skip, Max: a.Max}}).Query)
		},
		func(ctx context.Context, p *pipeline, a amongArgs) *[]int64 {
			return many(p, queries.ShortSearchAmong(ctx, p, []db.ShortSearchAmongParams{{Value: a.Value, Positions: a.Positions}}).Query)
		},
	}
)

// trigramLength is the shortest search that the trigram index can narrow.
const trigramLength = 3

func columnOf(t audit.Term) column {
	switch {
	case t.Column != audit.BySearch:
		return columns[t.Column]
	case utf8.RuneCountInString(t.Value) < trigramLength:
		return shortSearchColumn
	}
	return searchColumn
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func likePattern(part string) string { return "%" + likeEscaper.Replace(part) + "%" }

// driverChunk is how many positions of the first term are tried against the others at
// once: what a combination holds in memory.
const driverChunk = 8192

// Count implements [audit.Store].
func (s *Store) Count(ctx context.Context, organization string, terms []audit.Term, span audit.Span) (int64, error) {
	if len(terms) == 1 {
		var p pipeline
		p.in(ctx, organization)
		count := columnOf(terms[0]).count(ctx, &p, spanArgs{organization, terms[0].Value, span.Low, span.High})
		err := p.run(ctx, s.reads)
		return *count, translate("count entries", err)
	}
	var count int64
	err := s.intersect(ctx, organization, terms, span, func(matches []int64) bool {
		count += int64(len(matches))
		return true
	})
	return count, err
}

// Positions implements [audit.Store].
func (s *Store) Positions(ctx context.Context, organization string, terms []audit.Term, span audit.Span, offset, limit int64) ([]int64, error) {
	if len(terms) == 1 {
		return s.termPositions(ctx, organization, terms[0], span, offset, limit)
	}
	var found []int64
	err := s.intersect(ctx, organization, terms, span, func(matches []int64) bool {
		skipped := min(offset, int64(len(matches)))
		offset -= skipped
		matches = matches[skipped:]
		found = append(found, matches[:min(int64(len(matches)), limit-int64(len(found)))]...)
		return int64(len(found)) < limit
	})
	return found, err
}

// intersect walks the positions of the first term, newest first, and hands on those
// that all other terms match too, until more says no.
func (s *Store) intersect(ctx context.Context, organization string, terms []audit.Term, span audit.Span, more func([]int64) bool) error {
	for span.Len() > 0 {
		chunk, err := s.termPositions(ctx, organization, terms[0], span, 0, driverChunk)
		if err != nil || len(chunk) == 0 {
			return err
		}
		span = span.Below(chunk[len(chunk)-1])
		last := len(chunk) < driverChunk
		for _, term := range terms[1:] {
			if len(chunk) == 0 {
				break
			}
			if chunk, err = s.among(ctx, organization, term, chunk); err != nil {
				return err
			}
		}
		if !more(chunk) || last {
			return nil
		}
	}
	return nil
}

func (s *Store) termPositions(ctx context.Context, organization string, term audit.Term, span audit.Span, skip, limit int64) ([]int64, error) {
	var p pipeline
	p.in(ctx, organization)
	positions := columnOf(term).positions(ctx, &p, pageArgs{organization, term.Value, span.Low, span.High, skip, limit})
	err := p.run(ctx, s.reads)
	return *positions, translate("find positions", err)
}

// among keeps the positions, which descend, that match the term. Where they lie dense
// the term's own positions in their range are read and merged, which costs an index entry
// each; elsewhere each position is looked up, which costs a descent each.
func (s *Store) among(ctx context.Context, organization string, term audit.Term, positions []int64) ([]int64, error) {
	span := audit.Span{Low: positions[len(positions)-1], High: positions[0] + 1}
	if span.Len() <= denseRange*int64(len(positions)) {
		matching, err := s.termPositions(ctx, organization, term, span, 0, span.Len())
		return common(positions, matching), err
	}
	var p pipeline
	p.in(ctx, organization)
	kept := columnOf(term).among(ctx, &p, amongArgs{positions, organization, term.Value})
	err := p.run(ctx, s.reads)
	return *kept, translate("intersect positions", err)
}

// denseRange is how many positions of a range are read rather than one looked up.
const denseRange = 16

// common merges two descending lists into what both hold.
func common(a, b []int64) []int64 {
	var both []int64
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] > b[0]:
			a = a[1:]
		case a[0] < b[0]:
			b = b[1:]
		default:
			both = append(both, a[0])
			a, b = a[1:], b[1:]
		}
	}
	return both
}
