package postgres

import (
	"context"
	"math"
	"slices"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// reading is a filter over one state of one trail. Its terms have postings below sealed
// where posted says so; everything else is found by index.
type reading struct {
	store        *Store
	organization string
	terms        []audit.Term
	excluded     []audit.Term // what none may match
	posted       []bool       // of each term, then of each that is excluded
	sealed       int64        // positions below are in postings, for terms that have them
	span         audit.Span
	window       audit.Window
	searched     column // how the search term is looked for, if there is one
	common       bool   // it is looked for among all, newest first
}

// Find implements [audit.Store].
func (s *Store) Find(ctx context.Context, organization string, f audit.Filter, w audit.Window) (audit.Found, error) {
	r := &reading{store: s, organization: organization, terms: f.Terms(), excluded: f.Excluded(), window: w}
	if len(r.terms) == 1 && len(r.excluded) == 0 && columnOf(r.terms[0]).total != nil && f.From.IsZero() && f.To.IsZero() && w.Size < 0 && w.Below == math.MaxInt64 {
		return r.newest(ctx)
	}
	found := audit.Found{}
	var err error
	if found.Size, err = r.begin(ctx, f); err != nil {
		return found, err
	}
	if w.RestOnly {
		r.span = r.span.Below(w.Below)
	}
	switch {
	case r.span.Len() == 0:
	case len(r.terms)+len(r.excluded) == 0:
		found.Total, found.Positions = r.span.Len(), r.span.Below(w.Below).Descending(w.Offset, w.Limit)
	case len(r.terms)+len(r.excluded) > 1 || len(r.terms) == 0:
		found.Total, found.Positions, err = r.combination(ctx)
	case r.terms[0].Column == audit.BySearch:
		found.Total, found.Positions, err = r.search(ctx)
	case r.posted[0]:
		found.Total, found.Positions, err = r.byPostings(ctx)
	default:
		found.Total, found.Positions, err = r.byIndex(ctx)
	}
	return found, err
}

// begin reads the head before it looks up dates, so that they are found in at least the
// state that the size fixes, and bounds what they find by it.
func (r *reading) begin(ctx context.Context, f audit.Filter) (size int64, err error) {
	var p pipeline
	p.in(ctx, r.organization)
	head := readSize(ctx, &p, r.organization)
	var from, after *[]int64
	if !f.From.IsZero() {
		from = many(&p, queries.PositionFrom(ctx, &p, []db.PositionFromParams{{Organization: r.organization, At: f.From}}).Query)
	}
	if !f.To.IsZero() {
		after = many(&p, queries.PositionAfter(ctx, &p, []db.PositionAfterParams{{Organization: r.organization, At: f.To}}).Query)
	}
	conditions := slices.Concat(r.terms, r.excluded)
	states := make([]*[]db.PostingStateRow, len(conditions))
	for i, term := range conditions {
		states[i] = many(&p, queries.PostingState(ctx, &p, []db.PostingStateParams{{
			Organization: r.organization, Field: postedField(term.Column), Value: term.Value,
		}}).Query)
	}
	if err := p.run(ctx, r.store.reads); err != nil {
		return 0, translate("begin a reading", err)
	}
	size = sizeOf(*head, r.window.Size)
	r.span = audit.Span{High: size}
	if from != nil {
		r.span.Low = firstOr(*from, size)
	}
	if after != nil {
		r.span.High = firstOr(*after, size)
	}
	r.posted, r.sealed = postedOf(states)
	return size, nil
}

// postedOf says which conditions have postings, and up to where all of these are complete: the
// builder may go on between one statement and the next.
func postedOf(states []*[]db.PostingStateRow) (posted []bool, sealed int64) {
	posted = make([]bool, len(states))
	for i, state := range states {
		if len(*state) == 0 {
			return make([]bool, len(states)), 0
		}
		built := rangeSize * (*state)[0].Ranges
		if posted[i] = (*state)[0].Posted; i == 0 || built < sealed {
			sealed = built
		}
	}
	return posted, sealed
}

func firstOr(positions []int64, size int64) int64 {
	if len(positions) == 0 {
		return size
	}
	return min(positions[0], size)
}

// newest serves the commonest case, a value in all of the newest state: one statement
// tells the total, and one more round trip finds the page, in the tail, in built history or
// in both.
func (r *reading) newest(ctx context.Context) (audit.Found, error) {
	term, w := r.terms[0], r.window
	var p pipeline
	p.in(ctx, r.organization)
	rows := columnOf(term).total(ctx, &p, r.organization, term.Value)
	if err := p.run(ctx, r.store.reads); err != nil || len(*rows) == 0 {
		return audit.Found{}, translate("count entries", err)
	}
	state := (*rows)[0]
	found := audit.Found{Size: state.Size, Total: state.Built + state.Tail}
	if w.Offset >= found.Total || w.Limit == 0 {
		return found, nil
	}
	recent := max(0, min(w.Limit, state.Tail-w.Offset)) // of the page, in the tail
	upto := state.Built - max(0, w.Offset-state.Tail)
	above := max(0, upto-(w.Limit-recent))
	low := state.Sealed
	if !state.Posted {
		low = 0
	}
	var q pipeline
	q.in(ctx, r.organization)
	positions := &[]int64{}
	if recent > 0 {
		positions = columnOf(term).positions(ctx, &q, pageArgs{r.organization, term.Value, low, state.Size, w.Offset, recent})
	}
	older := ranked{term: term, above: above, upto: upto}
	older.ask(ctx, &q, r.organization)
	if err := q.run(ctx, r.store.reads); err != nil {
		return audit.Found{}, translate("find entries", err)
	}
	var err error
	found.Positions, err = older.list(*positions)
	return found, err
}

// byIndex serves a value that is rare, or whose trail is short.
func (r *reading) byIndex(ctx context.Context) (int64, []int64, error) {
	term, w, listed := r.terms[0], r.window, r.span.Below(r.window.Below)
	var p pipeline
	p.in(ctx, r.organization)
	total := columnOf(term).count(ctx, &p, spanArgs{r.organization, term.Value, r.span.Low, r.span.High})
	positions := &[]int64{}
	if w.Offset < listed.Len() {
		positions = columnOf(term).positions(ctx, &p, pageArgs{r.organization, term.Value, listed.Low, listed.High, w.Offset, w.Limit})
	}
	err := p.run(ctx, r.store.reads)
	return *total, *positions, translate("find entries", err)
}

// byPostings serves a frequent value: ranks by postings, and the tail that has none yet
// by index. It makes one round trip, and one more when the page lies in built history.
func (r *reading) byPostings(ctx context.Context) (int64, []int64, error) {
	term, w := r.terms[0], r.window
	p := posted{term, r.sealed}
	high := r.span.Below(w.Below).High // what is listed ends here
	tail, listed := r.span.From(r.sealed), r.span.From(r.sealed).Below(w.Below)

	var q pipeline
	q.in(ctx, r.organization)
	ends := []int64{min(r.span.Low, r.sealed), min(r.span.High, r.sealed), min(high, r.sealed)}
	found := make([]*[]db.PostingUpToRow, len(ends))
	for i, end := range ends {
		if end > 0 && (i == 0 || end != ends[i-1]) {
			found[i] = p.rankRow(ctx, &q, r.organization, end)
		}
	}
	tailTotal, recent := new(int64), &[]int64{}
	if tail.Len() > 0 {
		tailTotal = columnOf(term).count(ctx, &q, spanArgs{r.organization, term.Value, tail.Low, tail.High})
	}
	tailListed := tailTotal
	if listed != tail {
		tailListed = columnOf(term).count(ctx, &q, spanArgs{r.organization, term.Value, listed.Low, listed.High})
	}
	if w.Offset < listed.Len() {
		recent = columnOf(term).positions(ctx, &q, pageArgs{r.organization, term.Value, listed.Low, listed.High, w.Offset, w.Limit})
	}
	if err := q.run(ctx, r.store.reads); err != nil {
		return 0, nil, translate("find entries", err)
	}
	ranks := make([]int64, len(ends))
	for i, end := range ends {
		if found[i] == nil {
			if i > 0 && end > 0 {
				ranks[i] = ranks[i-1]
			}
			continue
		}
		var err error
		if ranks[i], err = rank(*found[i], end); err != nil {
			return 0, nil, err
		}
	}
	total := ranks[1] - ranks[0] + *tailTotal
	positions := *recent
	upto := ranks[2] - max(0, w.Offset-*tailListed)
	above := max(ranks[0], upto-(w.Limit-int64(len(positions))))
	older := ranked{term: term, above: above, upto: upto}
	var next pipeline
	next.in(ctx, r.organization)
	if older.ask(ctx, &next, r.organization) {
		if err := next.run(ctx, r.store.reads); err != nil {
			return 0, nil, translate("read postings", err)
		}
	}
	positions, err := older.list(positions)
	return total, positions, err
}
