package postgres

import (
	"context"
	"strings"
	"unicode/utf8"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// The search columns look in the admin trail's substring index, which knows no
// organization: [audit.Filter.Search] is set for that trail alone. The trigram index
// finds rare texts; common ones are met soon by walking back from the newest entry.
var (
	searchColumn = column{
		nil,
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
	commonSearchColumn = column{
		nil,
		func(ctx context.Context, p *pipeline, a spanArgs) *int64 {
			return one(p, queries.RecentSearchCount(ctx, p, []db.RecentSearchCountParams{{Value: likePattern(a.Value), Low: a.Low, High: a.High}}).QueryRow)
		},
		func(ctx context.Context, p *pipeline, a pageArgs) *[]int64 {
			return many(p, queries.RecentSearchPositions(ctx, p, []db.RecentSearchPositionsParams{{Value: likePattern(a.Value), Low: a.Low, High: a.High, Skip: a.Skip, Max: a.Max}}).Query)
		},
		searchColumn.among,
	}
	shortSearchColumn = column{
		nil,
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

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func likePattern(part string) string { return "%" + likeEscaper.Replace(part) + "%" }

// A text counts as common when the newest of the span, or all that were counted before,
// hold it so often; the sample is also as much as is read rather than asked of the index.
// What is rare is read whole, up to searchWhole, since finding it is what costs.
const (
	searchSample = 1024
	searchCommon = 4
	searchWhole  = 4096
)

// chooseSearch sets how the reading's search term is looked for.
func (r *reading) chooseSearch(ctx context.Context) error {
	for _, term := range r.terms {
		if term.Column != audit.BySearch {
			continue
		}
		if r.searched = columnOf(term); utf8.RuneCountInString(term.Value) < trigramLength {
			return nil
		}
		if known := r.store.counts.get(r); len(r.terms) == 1 && known.total*searchSample >= searchCommon*(known.high-r.span.Low) && known.total > 0 {
			r.searched, r.common = commonSearchColumn, true
			return nil
		}
		var p pipeline
		p.in(ctx, r.organization)
		sample := r.span.From(r.span.High - searchSample)
		met := commonSearchColumn.count(ctx, &p, spanArgs{r.organization, term.Value, sample.Low, sample.High})
		if err := p.run(ctx, r.store.reads); err != nil {
			return translate("search", err)
		}
		if *met >= searchCommon || r.span.Len() <= searchSample {
			r.searched, r.common = commonSearchColumn, true
		}
		return nil
	}
	return nil
}

// search serves a search alone: its total is remembered, so that only what came since is
// counted.
func (r *reading) search(ctx context.Context) (int64, []int64, error) {
	if err := r.chooseSearch(ctx); err != nil {
		return 0, nil, err
	}
	known := r.store.counts.get(r)
	fresh := r.span.From(known.high)
	term, w, listed := r.terms[0], r.window, r.span.Below(r.window.Below)
	long := utf8.RuneCountInString(term.Value) >= trigramLength
	if long && known.high == r.span.Low && !r.common {
		if total, positions, whole, err := r.searchRare(ctx); err != nil || whole {
			return total, positions, err
		}
	}
	counting := columnOf(term)
	if fresh.Len() <= searchSample && long {
		counting = commonSearchColumn
	}
	var p pipeline
	p.in(ctx, r.organization)
	total := counting.count(ctx, &p, spanArgs{r.organization, term.Value, fresh.Low, fresh.High})
	positions := &[]int64{}
	if w.Offset < listed.Len() {
		positions = r.searched.positions(ctx, &p, pageArgs{r.organization, term.Value, listed.Low, listed.High, w.Offset, w.Limit})
	}
	if err := p.run(ctx, r.store.reads); err != nil {
		return 0, nil, translate("search", err)
	}
	return r.store.counts.put(r, known.total+*total), *positions, nil
}

// searchRare finds all matches of a text that isn't common, unless they are too many:
// total and page come from one look into the index, which is what a search costs.
func (r *reading) searchRare(ctx context.Context) (total int64, positions []int64, whole bool, err error) {
	var p pipeline
	p.in(ctx, r.organization)
	found := r.searched.positions(ctx, &p, pageArgs{r.organization, r.terms[0].Value, r.span.Low, r.span.High, 0, searchWhole + 1})
	if err := p.run(ctx, r.store.reads); err != nil {
		return 0, nil, false, translate("search", err)
	}
	if len(*found) > searchWhole {
		return 0, nil, false, nil
	}
	page := tally{below: r.window.Below, skip: r.window.Offset, limit: r.window.Limit}
	page.addList(*found)
	return r.store.counts.put(r, page.total), page.listed, true, nil
}
