package audit_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
)

// chance makes entries and filters of few values, so that they often meet.
type chance struct{ *rand.Rand }

func (c chance) one(values ...string) string { return values[c.IntN(len(values))] }

func (c chance) draft() audit.Draft {
	return audit.Draft{
		Action: c.one("a.1", "a.2", "a.3"), ResourceType: c.one("t1", "t2"), ResourceID: c.one("", "r1", "r2", "r3"), UserID: c.one("", "u1", "u2"),
	}
}

func (c chance) filter(m *memory) audit.Filter {
	f := audit.Filter{
		Action: c.one("", "", "", "a.1", "a.2", "a.9"), ResourceType: c.one("", "", "", "t1"), ResourceID: c.one("", "", "", "r1"), UserID: c.one("", "", "", "u1"),
	}
	if c.IntN(4) == 0 {
		f.Resource = audit.ResourceKey{Type: c.one("t1", "t2"), ID: c.one("r1", "r2")}
	}
	if c.IntN(3) == 0 {
		f.From = m.now.Add(-time.Duration(c.IntN(60)) * time.Second)
	}
	if c.IntN(3) == 0 {
		f.To = m.now.Add(-time.Duration(c.IntN(60)) * time.Second)
	}
	return f
}

// wanted is what a list promises: all that match, newest first.
func wanted(m *memory, organization string, f audit.Filter) []int64 {
	var positions []int64
	for _, r := range slices.Backward(m.trails[organization]) {
		e, at := r.entry, r.row.CreatedAt
		fits := func(want, value string) bool { return want == "" || want == value }
		if fits(f.Action, e.Action) && fits(f.ResourceType, e.ResourceType) && fits(f.ResourceID, e.ResourceID) && fits(f.UserID, e.UserID) &&
			fits(f.Resource.Type, e.ResourceType) && fits(f.Resource.ID, e.ResourceID) &&
			!at.Before(f.From) && (f.To.IsZero() || !at.After(f.To)) {
			positions = append(positions, r.row.Position)
		}
	}
	return positions
}

// listed is a page with its rows.
type listed struct {
	audit.List
	Rows []audit.Row
}

func listOf(ctx context.Context, s *audit.Service, organization string, f audit.Filter, p audit.PageRequest) (l listed, err error) {
	l.List, err = s.List(ctx, organization, f, p, func(row audit.Row) { l.Rows = append(l.Rows, row.Own()) })
	return l, err
}

func positionsOf(rows []audit.Row) []int64 {
	var positions []int64
	for _, r := range rows {
		positions = append(positions, r.Position)
	}
	return positions
}

func (m *memory) grow(t *testing.T, random chance, n int) {
	t.Helper()
	for range n {
		m.now = m.now.Add(time.Duration(random.IntN(3)) * time.Second)
		m.keep(t, "acme", 1, random.draft())
	}
}

// Pages by number, and the walk by cursors while the trail grows, hand out exactly what
// matched when they began.
func TestPagesAndCursorsHandOutEachEntryOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		random := chance{rand.New(rand.NewPCG(seed, 0))}
		m := newMemory()
		service := audit.NewService(m)
		m.grow(t, random, random.IntN(60))
		m.keep(t, "other", random.IntN(5), random.draft())
		filter, perPage := random.filter(m), 1+random.Int64N(9)
		want := wanted(m, "acme", filter)

		var paged []int64
		for page := int64(1); page <= int64(len(want))/perPage+2; page++ {
			list, err := listOf(t.Context(), service, "acme", filter, audit.PageRequest{Page: page, PerPage: perPage})
			more := page*perPage < int64(len(want))
			if err != nil || list.Page != page || list.PerPage != perPage || list.Total != int64(len(want)) || (list.Next != "") != more {
				t.Fatalf("seed %d, page %d of %+v: %+v, %v; want %d in all", seed, page, filter, list, err, len(want))
			}
			paged = append(paged, positionsOf(list.Rows)...)
		}
		if !slices.Equal(paged, want) {
			t.Fatalf("seed %d: pages of %+v hold %v; want %v", seed, filter, paged, want)
		}

		var walked []int64
		request := audit.PageRequest{PerPage: perPage}
		for page := int64(1); ; page++ {
			list, err := listOf(t.Context(), service, "acme", filter, request)
			if err != nil || list.Page != page || list.Total != int64(len(want)) || len(list.Rows) == 0 != (len(want) == 0) {
				t.Fatalf("seed %d, step %d of %+v: %+v, %v; want %d in all", seed, page, filter, list, err, len(want))
			}
			walked = append(walked, positionsOf(list.Rows)...)
			if list.Next == "" {
				break
			}
			request.Cursor = list.Next
			m.grow(t, random, random.IntN(4))
			switch random.IntN(4) { // the cursor knows it
			case 0:
				filter = audit.Filter{Resource: filter.Resource}
			case 1:
				filter = audit.Filter{}
			}
		}
		if !slices.Equal(walked, want) {
			t.Fatalf("seed %d: the walk saw %v; want %v", seed, walked, want)
		}
	}
}

// The cursor that any page ends with goes on right behind it, at any page size.
func TestAWalkMayBeginAtAnyPageAndChangeItsStride(t *testing.T) {
	t.Parallel()
	m := newMemory()
	service := audit.NewService(m)
	m.keep(t, "acme", 100, audit.Draft{Action: "a", ResourceType: "b"})
	filter := audit.Filter{Action: "a"}
	third, err := listOf(t.Context(), service, "acme", filter, audit.PageRequest{Page: 3, PerPage: 10})
	if err != nil {
		t.Fatal(err)
	}
	m.keep(t, "acme", 7, audit.Draft{Action: "a", ResourceType: "b"})
	next, err := listOf(t.Context(), service, "acme", audit.Filter{}, audit.PageRequest{Cursor: third.Next, PerPage: 15})
	if err != nil || len(next.Rows) != 15 || next.Rows[0].Position != 69 || next.Page != 3 || next.Total != 100 {
		t.Errorf("next page = %+v, %v", next, err)
	}
	rest, err := listOf(t.Context(), service, "acme", filter, audit.PageRequest{Cursor: next.Next, PerPage: 1000})
	if err != nil || len(rest.Rows) != 55 || rest.Rows[54].Position != 0 || rest.Next != "" {
		t.Errorf("the rest = %+v, %v", rest, err)
	}
}

func TestPageNumbersAtTheirBounds(t *testing.T) {
	t.Parallel()
	m := newMemory()
	service := audit.NewService(m)
	m.keep(t, "acme", 45, audit.Draft{Action: "a", ResourceType: "b"})
	for _, filter := range []audit.Filter{{}, {Action: "a"}} {
		for _, c := range []struct {
			ask           audit.PageRequest
			rows          int
			page, perPage int64
		}{
			{audit.PageRequest{}, 20, 1, 20},
			{audit.PageRequest{Page: 1}, 20, 1, 20},
			{audit.PageRequest{Page: 3}, 5, 3, 20},
			{audit.PageRequest{Page: 4}, 0, 4, 20},
			{audit.PageRequest{PerPage: 1}, 1, 1, 1},
			{audit.PageRequest{PerPage: 45}, 45, 1, 45},
			{audit.PageRequest{PerPage: 1000}, 45, 1, 1000},
			{audit.PageRequest{Page: math.MaxInt32, PerPage: 1000}, 0, math.MaxInt32, 1000},
			{audit.PageRequest{Page: math.MaxInt64}, 0, math.MaxInt64, 20},
			{audit.PageRequest{Page: math.MaxInt64, PerPage: 1}, 0, math.MaxInt64, 1},
			{audit.PageRequest{Page: math.MaxInt64/1000 + 1, PerPage: 1000}, 0, math.MaxInt64/1000 + 1, 1000},
			{audit.PageRequest{Page: math.MaxInt64/1000 + 2, PerPage: 1000}, 0, math.MaxInt64/1000 + 2, 1000},
		} {
			list, err := listOf(t.Context(), service, "acme", filter, c.ask)
			if err != nil || len(list.Rows) != c.rows || list.Page != c.page || list.PerPage != c.perPage || list.Total != 45 {
				t.Errorf("%+v: %d rows, page %d of %d, %d in all, %v", c.ask, len(list.Rows), list.Page, list.PerPage, list.Total, err)
			}
		}
	}
}

func TestListRefusesByTheParameterAtFault(t *testing.T) {
	t.Parallel()
	m := newMemory()
	service := audit.NewService(m)
	m.keep(t, "acme", 3, audit.Draft{Action: "a", ResourceType: "b"})
	m.keep(t, "other", 3, audit.Draft{Action: "a", ResourceType: "b"})
	page, err := listOf(t.Context(), service, "acme", audit.Filter{Action: "a"}, audit.PageRequest{PerPage: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		organization string
		filter       audit.Filter
		ask          audit.PageRequest
		parameter    string
	}{
		{"acme", audit.Filter{}, audit.PageRequest{Page: -1}, "page"},
		{"acme", audit.Filter{}, audit.PageRequest{Page: math.MinInt64}, "page"},
		{"acme", audit.Filter{}, audit.PageRequest{PerPage: -1}, "per_page"},
		{"acme", audit.Filter{}, audit.PageRequest{PerPage: 1001}, "per_page"},
		{"acme", audit.Filter{}, audit.PageRequest{PerPage: math.MaxInt64}, "per_page"},
		{"acme", audit.Filter{}, audit.PageRequest{Cursor: page.Next, Page: 1}, "cursor"},
		{"acme", audit.Filter{}, audit.PageRequest{Cursor: page.Next, Page: 2}, "cursor"},
		{"acme", audit.Filter{Action: "b"}, audit.PageRequest{Cursor: page.Next}, "cursor"},
		{"acme", audit.Filter{Action: "a", UserID: "u"}, audit.PageRequest{Cursor: page.Next}, "cursor"},
		{"acme", audit.Filter{}, audit.PageRequest{Cursor: "x"}, "cursor"},
		{"other", audit.Filter{}, audit.PageRequest{Cursor: page.Next}, "cursor"},
	} {
		_, err := listOf(t.Context(), service, c.organization, c.filter, c.ask)
		var r *audit.Rejection
		if !errors.As(err, &r) || !errors.Is(err, audit.ErrMalformed) || r.Parameter != c.parameter {
			t.Errorf("%+v: %v; want %s at fault", c.ask, err, c.parameter)
		}
	}
	if _, err := listOf(t.Context(), service, "acme", audit.Filter{Action: "a"}, audit.PageRequest{Cursor: page.Next}); err != nil {
		t.Errorf("the cursor beside its own filter: %v", err)
	}
	m.trails["acme"] = m.trails["acme"][:1] // a trail that lost what the walk began with
	if _, err := listOf(t.Context(), service, "acme", audit.Filter{}, audit.PageRequest{Cursor: page.Next}); !errors.Is(err, audit.ErrMalformed) {
		t.Errorf("a cursor from the future: %v", err)
	}
}

func TestAnEmptyListIsNoError(t *testing.T) {
	t.Parallel()
	m := newMemory()
	service := audit.NewService(m)
	m.keep(t, "acme", 3, audit.Draft{Action: "a", ResourceType: "b", ResourceID: "c"})
	for _, c := range []struct {
		organization string
		filter       audit.Filter
		total        int64
	}{
		{"nobody", audit.Filter{}, 0},
		{"acme", audit.Filter{Action: "A"}, 0},
		{"acme", audit.Filter{ResourceID: "d", Resource: audit.ResourceKey{Type: "b", ID: "c"}}, 0},
		{"acme", audit.Filter{From: m.now.Add(time.Microsecond)}, 0},
		{"acme", audit.Filter{To: m.now.Add(-time.Microsecond)}, 0},
		{"acme", audit.Filter{From: m.now.Add(time.Microsecond), To: m.now}, 0},
		{"acme", audit.Filter{From: m.now.Add(time.Microsecond), To: m.now, Action: "a"}, 0},
		{"acme", audit.Filter{From: m.now, To: m.now, Action: "a"}, 3},
	} {
		list, err := listOf(t.Context(), service, c.organization, c.filter, audit.PageRequest{})
		if err != nil || list.Total != c.total || int64(len(list.Rows)) != c.total || list.Next != "" {
			t.Errorf("%s, %+v: %+v, %v", c.organization, c.filter, list, err)
		}
	}
}

func TestAdminSearchIgnoresCase(t *testing.T) {
	t.Parallel()
	m := newMemory()
	service := audit.NewService(m)
	for _, sent := range []string{`{"action":"org.Updated","details":{"Stadt":"Gießen"}}`, `{"action":"b","details":{"n":25}}`} {
		if _, err := service.RecordAdmin(t.Context(), audit.Principal{Subject: "r"}, []byte(sent)); err != nil {
			t.Fatal(err)
		}
	}
	for search, total := range map[string]int64{"": 2, "ORG.u": 1, "GIEẞEN": 1, "stadt": 1, "25": 1, "x": 0, "updatedstadt": 0} {
		list, err := listOf(t.Context(), service, audit.AdminOrganization, audit.Filter{Search: search}, audit.PageRequest{})
		if err != nil || list.Total != total {
			t.Errorf("%q is found %d times, %v; want %d", search, list.Total, err, total)
		}
	}
}

func TestTermsAreTheConditionsBesideDates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter audit.Filter
		want   []audit.Term
	}{
		{audit.Filter{}, nil},
		{audit.Filter{From: time.Unix(0, 0), To: time.Unix(1, 0)}, nil},
		{
			audit.Filter{Action: "a", ResourceType: "t", ResourceID: "i", UserID: "u", Search: "s"},
			[]audit.Term{{audit.ByResourceID, "i"}, {audit.ByUserID, "u"}, {audit.BySearch, "S"}, {audit.ByAction, "a"}, {audit.ByResourceType, "t"}},
		},
		{
			audit.Filter{ResourceType: "t", ResourceID: "i", Resource: audit.ResourceKey{Type: "t", ID: "i"}},
			[]audit.Term{{audit.ByResourceID, "i"}, {audit.ByResourceType, "t"}},
		},
		{
			audit.Filter{ResourceID: "j", Resource: audit.ResourceKey{Type: "t", ID: "i"}},
			[]audit.Term{{audit.ByResourceID, "i"}, {audit.ByResourceID, "j"}, {audit.ByResourceType, "t"}},
		},
	} {
		if got := c.filter.Terms(); !slices.Equal(got, c.want) {
			t.Errorf("terms of %+v = %v; want %v", c.filter, got, c.want)
		}
	}
}

func TestListHandsOnWhatTheStoreCouldNotDo(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"find acme", "rows acme"} {
		m := newMemory()
		m.keep(t, "acme", 3, audit.Draft{Action: "a", ResourceType: "b"})
		m.fail = call
		if _, err := listOf(t.Context(), audit.NewService(m), "acme", audit.Filter{Action: "a"}, audit.PageRequest{}); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("%s fails: %v", call, err)
		}
	}
}
