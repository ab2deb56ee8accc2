package postgres

import (
	"context"
	"slices"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// driverChunk is how many positions of one term are tried against the others at once,
// and blockBatch how many blocks of postings: what a combination holds in memory.
const (
	driverChunk = 8192
	blockBatch  = 8
)

// taker takes matches, newest first, by ranges or by positions, until it is done.
type taker interface {
	whole() bool // all are wanted, whatever was taken
	done() bool
	addSet(base int64, set *rangeSet)
	addList(positions []int64)
}

// tally takes the matches of a combination, newest first: it counts them, and lists those
// of the window.
type tally struct {
	counting bool // all are wanted, even when the page is full
	total    int64
	below    int64
	skip     int64
	limit    int64
	listed   []int64
}

func (t *tally) whole() bool { return t.counting }

func (t *tally) done() bool { return !t.counting && int64(len(t.listed)) >= t.limit }

// addSet takes the matches of a range whose first position is base.
func (t *tally) addSet(base int64, set *rangeSet) {
	n := set.len()
	t.total += n
	if n == 0 || base >= t.below || int64(len(t.listed)) >= t.limit {
		return
	}
	if base+rangeSize > t.below {
		set.clip(0, t.below-base)
		n = set.len()
	}
	if t.skip >= n {
		t.skip -= n
		return
	}
	t.listed = set.appendDescending(t.listed, base, t.skip, t.limit-int64(len(t.listed)))
	t.skip = 0
}

// addList takes matches by their positions.
func (t *tally) addList(positions []int64) {
	t.total += int64(len(positions))
	for len(positions) > 0 && positions[0] >= t.below {
		positions = positions[1:]
	}
	skipped := min(t.skip, int64(len(positions)))
	t.skip -= skipped
	positions = positions[skipped:]
	t.listed = append(t.listed, positions[:min(int64(len(positions)), t.limit-int64(len(t.listed)))]...)
}

// combination serves several terms: the intersection of their sets of positions. Its
// total is remembered, so that the next page is all that is looked for.
func (r *reading) combination(ctx context.Context) (int64, []int64, error) {
	if err := r.chooseSearch(ctx); err != nil {
		return 0, nil, err
	}
	w := r.window
	page := tally{below: w.Below, skip: w.Offset, limit: w.Limit}
	if w.Offset >= r.span.Below(w.Below).Len() {
		page.limit = 0 // such a page is empty whatever matches
	}
	known := r.store.counts.get(r)
	if known.high == r.span.Low { // nothing is known: one walk serves both
		page.counting = true
		if err := r.walk(ctx, r.span, &page); err != nil {
			return 0, nil, err // a part of a total must not be remembered
		}
		return r.store.counts.put(r, page.total), page.listed, nil
	}
	fresh := tally{counting: true}
	if err := r.walk(ctx, r.span.From(known.high), &fresh); err != nil {
		return 0, nil, err
	}
	if err := r.walk(ctx, r.span.Below(w.Below), &page); err != nil {
		return 0, nil, err
	}
	return r.store.counts.put(r, known.total+fresh.total), page.listed, nil
}

// conditions are terms, apart by how they are found.
type conditions struct{ rare, frequent []audit.Term }

func newConditions(terms []audit.Term, posted []bool) (c conditions) {
	for i, term := range terms {
		if posted[i] {
			c.frequent = append(c.frequent, term)
		} else {
			c.rare = append(c.rare, term)
		}
	}
	return c
}

// walk hands the matches of the span to t, newest first.
func (r *reading) walk(ctx context.Context, span audit.Span, t taker) error {
	wanted := newConditions(r.terms, r.posted)
	excluded := newConditions(r.excluded, r.posted[len(r.terms):])
	built := span
	if len(wanted.frequent)+len(excluded.frequent) > 0 || len(r.terms) == 0 {
		built = span.Below(r.sealed)
		if err := r.walkIndex(ctx, r.terms, r.excluded, span.From(r.sealed), t.addList, t.done); err != nil || t.done() {
			return err
		}
	}
	if len(wanted.rare) == 0 {
		return r.walkPostings(ctx, wanted.frequent, excluded, built, t)
	}
	var failed error
	err := r.walkIndex(ctx, wanted.rare, excluded.rare, built, func(positions []int64) {
		for _, term := range wanted.frequent {
			if failed == nil {
				positions, failed = r.amongPosted(ctx, term, positions)
			}
		}
		for _, term := range excluded.frequent {
			if failed == nil {
				var unwanted []int64
				unwanted, failed = r.amongPosted(ctx, term, slices.Clone(positions))
				positions = without(positions, unwanted)
			}
		}
		t.addList(positions)
	}, func() bool { return failed != nil || t.done() })
	if failed != nil {
		return failed
	}
	return err
}

// walkPostings intersects terms that all have postings in the span, a batch of blocks at
// a time, and takes out what is excluded. The first batch is small: a page is often found
// in it.
func (r *reading) walkPostings(ctx context.Context, terms []audit.Term, excluded conditions, span audit.Span, t taker) error {
	size := int64(blockBatch)
	if !t.whole() {
		size = 1
	}
	for span.Len() > 0 && !t.done() {
		high := (span.High + blockSpan - 1) / blockSpan
		low := max(span.Low/blockSpan, high-size)
		blocks, err := r.postingBlocks(ctx, slices.Concat(terms, excluded.frequent), low, high)
		if err != nil {
			return err
		}
		unwanted, err := r.placesOf(ctx, excluded.rare, span.From(low*blockSpan))
		if err != nil {
			return err
		}
		for block := high - 1; block >= low; block-- {
			for i := blockRanges - 1; i >= 0 && !t.done(); i-- {
				base := block*blockSpan + int64(i)*rangeSize
				if base >= span.High || base+rangeSize <= span.Low {
					continue
				}
				set, err := difference(blocks[:len(terms)], blocks[len(terms):], int(block-low), i)
				if err != nil {
					return err
				}
				if base < span.Low || base+rangeSize > span.High {
					set.clip(span.Low-base, span.High-base)
				}
				if rare := unwanted[base/rangeSize]; rare != nil {
					set.without(rare)
				}
				t.addSet(base, &set)
			}
		}
		span = span.Below(low * blockSpan)
		size = blockBatch
	}
	return nil
}

// intersection is of all terms' places in one range of a block.
func intersection(terms [][]*postingBlock, block, i int) (set rangeSet, err error) {
	for n, blocks := range terms {
		places := blocks[block].ranges[i]
		switch {
		case places == nil:
			return rangeSet{}, nil
		case n == 0:
			err = decodePlaces(places, &set)
		default:
			err = keepPlaces(places, &set)
		}
		if err != nil {
			return rangeSet{}, err
		}
	}
	return set, nil
}

// difference is what of the terms' intersection none of the excluded has. Without terms it is
// taken from the whole range.
func difference(terms, excluded [][]*postingBlock, block, i int) (set rangeSet, err error) {
	if len(terms) == 0 {
		set.fill()
	} else if set, err = intersection(terms, block, i); err != nil {
		return set, err
	}
	for _, blocks := range excluded {
		places := blocks[block].ranges[i]
		if places == nil {
			continue
		}
		var other rangeSet
		if err := decodePlaces(places, &other); err != nil {
			return set, err
		}
		set.without(&other)
	}
	return set, nil
}

// postingBlocks are each term's blocks from low to high, from memory or in one round trip.
func (r *reading) postingBlocks(ctx context.Context, terms []audit.Term, low, high int64) ([][]*postingBlock, error) {
	found := make([][]*postingBlock, len(terms))
	var p pipeline
	p.in(ctx, r.organization)
	asked := false
	for n, term := range terms {
		found[n] = make([]*postingBlock, high-low)
		missing := r.store.postings.get(r.organization, term, low, found[n])
		if missing.Len() == 0 {
			continue
		}
		asked = true
		queries.PostingRange(ctx, &p, []db.PostingRangeParams{{
			Organization: r.organization, Field: postedField(term.Column), Value: term.Value,
			Low: missing.Low * blockRanges, High: missing.High * blockRanges,
		}})
		for block := missing.Low; block < missing.High; block++ {
			found[n][block-low] = &postingBlock{}
		}
		eachPosting(&p, func(at int64, places []byte) error {
			found[n][at/blockRanges-low].set(at%blockRanges, places)
			return nil
		})
	}
	if !asked {
		return found, nil
	}
	if err := p.run(ctx, r.store.reads); err != nil {
		return nil, translate("read postings", err)
	}
	for n, term := range terms {
		r.store.postings.put(r.organization, term, low, found[n], r.sealed)
	}
	return found, nil
}

// placesOf are the ranges of a span that hold any of terms without postings, by their
// numbers.
func (r *reading) placesOf(ctx context.Context, terms []audit.Term, span audit.Span) (map[int64]*rangeSet, error) {
	if len(terms) == 0 {
		return nil, nil
	}
	var p pipeline
	p.in(ctx, r.organization)
	found := make([]*[]int64, len(terms))
	for i, term := range terms {
		found[i] = columnOf(term).positions(ctx, &p, pageArgs{r.organization, term.Value, span.Low, span.High, 0, span.Len()})
	}
	if err := p.run(ctx, r.store.reads); err != nil {
		return nil, translate("find positions", err)
	}
	sets := map[int64]*rangeSet{}
	for _, positions := range found {
		for _, position := range *positions {
			at := position / rangeSize
			if sets[at] == nil {
				sets[at] = &rangeSet{}
			}
			sets[at].add(position % rangeSize)
		}
	}
	return sets, nil
}

// amongPosted keeps the positions, which descend, that match a term with postings.
func (r *reading) amongPosted(ctx context.Context, term audit.Term, positions []int64) ([]int64, error) {
	var ranges []int64
	for _, position := range positions {
		if at := position / rangeSize; len(ranges) == 0 || ranges[len(ranges)-1] != at {
			ranges = append(ranges, at)
		}
	}
	if len(ranges) == 0 {
		return nil, nil
	}
	var p pipeline
	p.in(ctx, r.organization)
	queries.PostingMany(ctx, &p, []db.PostingManyParams{{
		Organization: r.organization, Field: postedField(term.Column), Value: term.Value, Ranges: ranges,
	}})
	sets := make(map[int64]*rangeSet, len(ranges))
	eachPosting(&p, func(at int64, places []byte) error {
		sets[at] = &rangeSet{}
		return decodePlaces(places, sets[at])
	})
	if err := p.run(ctx, r.store.reads); err != nil {
		return nil, translate("read postings", err)
	}
	return slices.DeleteFunc(positions, func(position int64) bool {
		set := sets[position/rangeSize]
		place := position % rangeSize
		return set == nil || set[place>>6]&(1<<(place&63)) == 0
	}), nil
}

// walkIndex walks the positions of the first term, or all where there is none, newest
// first, and hands on those that all other terms match too, and none that is excluded,
// until done.
func (r *reading) walkIndex(ctx context.Context, terms, excluded []audit.Term, span audit.Span, add func([]int64), done func() bool) error {
	for span.Len() > 0 {
		chunk, err := r.driverPositions(ctx, terms, span)
		if err != nil || len(chunk) == 0 {
			return err
		}
		span = span.Below(chunk[len(chunk)-1])
		last := len(chunk) < driverChunk
		for _, term := range terms[min(1, len(terms)):] {
			if len(chunk) == 0 {
				break
			}
			if chunk, err = r.among(ctx, term, chunk); err != nil {
				return err
			}
		}
		for _, term := range excluded {
			if len(chunk) == 0 {
				break
			}
			unwanted, err := r.among(ctx, term, chunk)
			if err != nil {
				return err
			}
			chunk = without(chunk, unwanted)
		}
		add(chunk)
		if done() || last {
			return nil
		}
	}
	return nil
}

func (r *reading) driverPositions(ctx context.Context, terms []audit.Term, span audit.Span) ([]int64, error) {
	if len(terms) == 0 {
		return span.Descending(0, driverChunk), nil
	}
	return r.termPositions(ctx, terms[0], span, driverChunk)
}

func (r *reading) column(term audit.Term) column {
	if term.Column == audit.BySearch {
		return r.searched
	}
	return columnOf(term)
}

func (r *reading) termPositions(ctx context.Context, term audit.Term, span audit.Span, limit int64) ([]int64, error) {
	var p pipeline
	p.in(ctx, r.organization)
	positions := r.column(term).positions(ctx, &p, pageArgs{r.organization, term.Value, span.Low, span.High, 0, limit})
	err := p.run(ctx, r.store.reads)
	return *positions, translate("find positions", err)
}

// among keeps the positions, which descend, that match the term. Where they lie dense
// the term's own positions in their range are read and merged, which costs an index entry
// each; elsewhere each position is looked up, which costs a descent each.
func (r *reading) among(ctx context.Context, term audit.Term, positions []int64) ([]int64, error) {
	span := audit.Span{Low: positions[len(positions)-1], High: positions[0] + 1}
	if span.Len() <= denseRange*int64(len(positions)) {
		matching, err := r.termPositions(ctx, term, span, span.Len())
		return common(positions, matching), err
	}
	var p pipeline
	p.in(ctx, r.organization)
	kept := r.column(term).among(ctx, &p, amongArgs{positions, r.organization, term.Value})
	err := p.run(ctx, r.store.reads)
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

// without merges two descending lists into what the first alone holds.
func without(a, b []int64) []int64 {
	if len(b) == 0 {
		return a
	}
	kept := make([]int64, 0, len(a))
	for _, position := range a {
		for len(b) > 0 && b[0] > position {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != position {
			kept = append(kept, position)
		}
	}
	return kept
}
