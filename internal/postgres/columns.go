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
func columnOf(t audit.Term) column {
	switch {
	case t.Column != audit.BySearch:
		return columns[t.Column]
	case utf8.RuneCountInString(t.Value) < trigramLength:
		return shortSearchColumn
	}
	return searchColumn
}
