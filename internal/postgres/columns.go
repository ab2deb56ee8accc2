package postgres

import (
	"context"
	"unicode/utf8"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// column is what one filterable column can answer, each by one static statement that
// its own index serves. Combinations are made of these in Go, so that a new filter
// needs no statement for each combination, and no plan depends on which filters are set.
type column struct {
	total     func(ctx context.Context, p *pipeline, organization, value string) *[]totalRow // none for searches
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
	totalArgs = struct {
		Organization string
		Value        string
	}
	totalRow = struct {
		Size   int64
		Sealed int64 // positions below are in postings, if the value is
		Posted bool
		Built  int64 // entries of the value in postings
		Tail   int64 // entries of the value behind them
	}
	totalResult[R any] interface {
		Query(func(int, []R, error))
	}
	countResult     interface{ QueryRow(func(int, int64, error)) }
	positionsResult interface {
		Query(func(int, []int64, error))
	}
)

var columns = map[audit.Column]column{
	audit.ByAction:       newColumn(queries.ActionTotal, queries.ActionCount, queries.ActionPositions, queries.ActionAmong),
	audit.ByResourceType: newColumn(queries.ResourceTypeTotal, queries.ResourceTypeCount, queries.ResourceTypePositions, queries.ResourceTypeAmong),
	audit.ByResourceID:   newColumn(queries.ResourceIDTotal, queries.ResourceIDCount, queries.ResourceIDPositions, queries.ResourceIDAmong),
	audit.ByUserID:       newColumn(queries.UserIDTotal, queries.UserIDCount, queries.UserIDPositions, queries.UserIDAmong),
}

func newColumn[T ~totalArgs, S ~spanArgs, P ~pageArgs, A ~amongArgs, R ~totalRow, TR totalResult[R], SR countResult, PR, AR positionsResult](
	total func(context.Context, db.DBTX, []T) TR,
	count func(context.Context, db.DBTX, []S) SR,
	positions func(context.Context, db.DBTX, []P) PR,
	among func(context.Context, db.DBTX, []A) AR,
) column {
	return column{
		func(ctx context.Context, p *pipeline, organization, value string) *[]totalRow {
			found := &[]totalRow{}
			rows := many(p, total(ctx, p, []T{{organization, value}}).Query)
			p.reads = append(p.reads, func() error {
				for _, row := range *rows {
					*found = append(*found, totalRow(row))
				}
				return nil
			})
			return found
		},
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
func columnOf(t audit.Term) column {
	switch {
	case t.Column != audit.BySearch:
		return columns[t.Column]
	case utf8.RuneCountInString(t.Value) < trigramLength:
		return shortSearchColumn
	}
	return searchColumn
}
