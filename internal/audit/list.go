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
	Total   int64 // entries that match, on all pages
	Page    int64
	PerPage int64
	Next    string // cursor of the next page, "" on the last
}

// List visits the entries of one page of the organization's trail. A page beyond the end is
// empty. A row's text is good until visit returns; after an error what was visited is void.
func (s *Service) List(ctx context.Context, organization string, f Filter, p PageRequest, visit func(Row)) (List, error) {
	walk, err := begin(organization, f, p.Cursor)
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
	// One more than is shown says whether there is a next page.
	w := Window{Size: walk.Size, Below: walk.Before, Offset: offset, Limit: perPage + 1}
	found, err := s.find(ctx, walk, w, visit)
	if err != nil {
		return List{}, err
	}
	list := List{Total: found.Total, Page: page, PerPage: perPage}
	if int64(len(found.Positions)) > perPage {
		found.Positions = found.Positions[:perPage]
		list.Next = walk.after(found, offset+perPage)
	}
	return list, nil
}

// find visits all but the last of the window's rows, if there are so many. It reads them at
// once where that saves a way to the store.
func (s *Service) find(ctx context.Context, walk cursor, w Window, visit func(Row)) (found Found, err error) {
	all := walk.Filter.All()
	if all {
		left := w.Limit - 1
		found, err = s.store.Newest(ctx, walk.Organization, w, func(row Row) {
			if left--; left >= 0 {
				visit(row)
			}
		})
	} else {
		found, err = s.store.Find(ctx, walk.Organization, walk.Filter, w)
	}
	if err == nil && found.Size < walk.Size {
		err = errCursor
	}
	if err == nil && !all {
		err = s.store.Rows(ctx, walk.Organization, found.Positions[:min(int64(len(found.Positions)), w.Limit-1)], visit)
	}
	return found, err
}

// place says which page is asked for and how many items of the rest of the walk come
// before it. A cursor's page has the number that it would have by counting.
func (p PageRequest) place(w cursor, perPage int64) (page, offset int64, err error) {
	switch {
	case perPage < 1 || perPage > MaxPerPage:
		return 0, 0, BadParameter("per_page", "per_page takes 1 to %d, or 0 for the default", MaxPerPage)
	case p.Page < 0:
		return 0, 0, BadParameter("page", "page counts from 1; 0 is the first page too")
	case p.Cursor != "" && p.Page != 0:
		return 0, 0, BadParameter("cursor", "cursor and page exclude each other; send one of them")
	case p.Cursor != "":
		return w.Given/perPage + 1, 0, nil
	}
	page = max(1, p.Page)
	if page-1 > math.MaxInt64/perPage {
		return page, math.MaxInt64, nil
	}
	return page, (page - 1) * perPage, nil
}

// begin is the walk that is gone on with, or a new one.
func begin(organization string, f Filter, cursorText string) (cursor, error) {
	if cursorText != "" {
		return decodeCursor(cursorText, organization, f)
	}
	return cursor{Organization: organization, Filter: f, Size: -1, Before: math.MaxInt64}, nil
}

// after is the cursor that goes on behind what was found, once so many more items are out.
func (c cursor) after(found Found, items int64) string {
	c.Size, c.Before, c.Given = found.Size, found.Positions[len(found.Positions)-1], c.Given+items
	return c.encode()
}
