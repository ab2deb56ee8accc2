package audit

import (
	"context"
	"math"
)

// DefaultPerPage and MaxPerPage bound a page of a list.
const (
	DefaultPerPage = 20
	MaxPerPage     = 1000
)

// PageRequest asks for a page by number, counted from 1, or by the cursor of the page
// before. 0 is the default: page 1, [DefaultPerPage] items.
type PageRequest struct {
	Page    int64
	PerPage int64
	Cursor  string // beside a Page it is refused
}

// List is one page, newest first, and one state of the trail: everything in it concerns
// the positions that existed when it was begun.
type List struct {
	Rows    []Row
	Total   int64 // entries that match, on all pages
	Page    int64
	PerPage int64
	Next    string // cursor of the next page, "" on the last
}

// List reads one page of the organization's trail. A page beyond the end is empty.
func (s *Service) List(ctx context.Context, organization string, f Filter, p PageRequest) (List, error) {
	walk, err := s.begin(ctx, organization, f, p.Cursor)
	if err != nil {
		return List{}, err
	}
	perPage := p.PerPage
	if perPage == 0 {
		perPage = DefaultPerPage
	}
	page, offset, err := p.place(walk, perPage)
	if err != nil {
		return List{}, err
	}
	total, err := s.count(ctx, walk, walk.whole)
	if err != nil {
		return List{}, err
	}
	positions, err := s.positions(ctx, walk, offset, perPage+1)
	if err != nil {
		return List{}, err
	}
	list := List{Total: total, Page: page, PerPage: perPage}
	if int64(len(positions)) > perPage {
		positions = positions[:perPage]
		list.Next = walk.after(positions[perPage-1], offset+perPage)
	}
	list.Rows, err = s.store.Rows(ctx, organization, positions)
	return list, err
}

// place says which page is asked for and how many items of the rest of the walk come
// before it. A cursor's page has the number that it would have by counting.
func (p PageRequest) place(w walk, perPage int64) (page, offset int64, err error) {
	switch {
	case perPage < 1 || perPage > MaxPerPage:
		return 0, 0, BadParameter("per_page", "per_page takes 1 to %d, or 0 for the default", MaxPerPage)
	case p.Page < 0:
		return 0, 0, BadParameter("page", "page counts from 1; 0 is the first page too")
	case p.Cursor != "" && p.Page != 0:
		return 0, 0, BadParameter("cursor", "cursor and page exclude each other; send one of them")
	case p.Cursor != "":
		return w.given/perPage + 1, 0, nil
	}
	page = max(1, p.Page)
	if page-1 > math.MaxInt64/perPage {
		return page, math.MaxInt64, nil
	}
	return page, (page - 1) * perPage, nil
}

// walk is a reading that has begun: a filter over one state of one trail.
type walk struct {
	organization string
	filter       Filter
	terms        []Term
	whole        Span  // all of the filter's positions
	rest         Span  // what is left of them to hand out
	given        int64 // items handed out by the pages before
}

// begin fixes the state of the trail that everything in the answer concerns.
func (s *Service) begin(ctx context.Context, organization string, f Filter, cursorText string) (walk, error) {
	c := cursor{Filter: f, Size: -1, Before: math.MaxInt64}
	if cursorText != "" {
		var err error
		if c, err = decodeCursor(cursorText, organization, f); err != nil {
			return walk{}, err
		}
	}
	span, err := s.store.Span(ctx, organization, c.Filter, c.Size)
	if err != nil {
		return walk{}, err
	}
	if span.Size < c.Size {
		return walk{}, errCursor
	}
	return walk{organization, c.Filter, c.Filter.Terms(), span, span.Below(c.Before), c.Given}, nil
}

// after is the cursor that goes on below position once so many more items are out.
func (w walk) after(position, items int64) string {
	return cursor{
		Organization: w.organization, Filter: w.filter, Size: w.whole.Size,
		Before: position, Given: w.given + items,
	}.encode()
}

func (s *Service) count(ctx context.Context, w walk, span Span) (int64, error) {
	if len(w.terms) == 0 || span.Len() == 0 {
		return span.Len(), nil
	}
	return s.store.Count(ctx, w.organization, w.terms, span)
}

// positions lists what is left of the walk; without terms it is arithmetic alone.
func (s *Service) positions(ctx context.Context, w walk, offset, limit int64) ([]int64, error) {
	if offset >= w.rest.Len() {
		return nil, nil
	}
	if len(w.terms) > 0 {
		return s.store.Positions(ctx, w.organization, w.terms, w.rest, offset, limit)
	}
	first := w.rest.High - 1 - offset
	positions := make([]int64, min(limit, first-w.rest.Low+1))
	for i := range positions {
		positions[i] = first - int64(i)
	}
	return positions, nil
}
