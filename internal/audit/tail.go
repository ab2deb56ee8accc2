package audit

import (
	"context"
	"slices"
	"sync"
	"time"
)

// MaxTails is how many tails a service has at once, MaxTailsOfOne how many of one trail, so
// that nobody can take all the room.
const (
	MaxTails      = 256
	MaxTailsOfOne = 64
)

// tailStep is how many positions are searched for matches at once.
const tailStep = 1 << 14

// lookEvery is how often the head of a trail that somebody follows is looked at.
const lookEvery = 250 * time.Millisecond

// Tail follows a trail from a position on: what matches, in order of position, each once. It
// is one caller's, and must be closed. All that it remembers is a position, so whoever goes on
// from Next misses nothing and gets nothing twice.
type Tail struct {
	Next int64 // everything before it was read, or doesn't match

	service      *Service
	watch        *watch
	organization string
	filter       Filter
	size         int64   // of the trail, as far as it was looked at
	pending      []int64 // matches from Next on, ascending
	searched     int64   // no more than pending match before it
	chunk        int     // entries of the next read
}

// Tail begins to follow the organization's trail at a position, or below zero at its end. It
// is recorded in the admin trail before this returns; when that fails, so does the tail. A
// position behind the end is refused: a trail that became shorter was restored from a copy.
func (s *Service) Tail(ctx context.Context, organization string, by Principal, f Filter, from int64) (*Tail, error) {
	w, err := s.watches.join(s.store, organization)
	if err != nil {
		return nil, err
	}
	t := &Tail{service: s, watch: w, organization: organization, filter: f, chunk: firstChunk}
	if t.size, err = s.store.Size(ctx, organization); err == nil {
		if t.Next = from; from < 0 {
			t.Next = t.size
		}
		t.searched = t.Next
		err = s.recordTail(ctx, by, t)
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// recordTail writes who reads along, and from where. A tail that is resumed is recorded again:
// nothing says that it is the same reader's.
func (s *Service) recordTail(ctx context.Context, by Principal, t *Tail) error {
	if t.Next > t.size {
		return BadParameter("position", "the trail ends at %d; if it was longer once it was restored from an old copy", t.size)
	}
	return s.recordOwn(ctx, "audit_log.tailed", t.organization, by, struct {
		Filter   Filter `json:"filter"`
		Position int64  `json:"position"`
	}{t.filter, t.Next})
}

// Behind looks whether there is something to read.
func (t *Tail) Behind() bool {
	t.size = max(t.size, t.watch.known())
	return t.Next < t.size
}

// Size is the trail's as far as the tail has looked: where Next has come to it, everything
// that was there has been read.
func (t *Tail) Size() int64 { return t.size }

// Grown is closed once the trail has more than Size entries. It is another channel after
// each [Tail.Behind].
func (t *Tail) Grown() <-chan struct{} { return t.watch.grown(t.size) }

// Read returns the next entries that match, oldest first. None means that up to Next none
// did; while [Tail.Behind], there may be more.
func (t *Tail) Read(ctx context.Context) ([]Row, error) {
	if len(t.pending) == 0 {
		if err := t.search(ctx); err != nil || len(t.pending) == 0 {
			return nil, err
		}
	}
	chunk := t.pending[:min(t.chunk, len(t.pending))]
	descending := slices.Clone(chunk)
	slices.Reverse(descending)
	rows, size := make([]Row, 0, len(chunk)), 0
	err := t.service.store.Rows(ctx, t.organization, descending, func(row Row) {
		rows, size = append(rows, row.Own()), size+len(row.Text)
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(rows)
	t.chunk = nextChunk(len(rows), size)
	t.pending = t.pending[len(chunk):]
	t.Next = chunk[len(chunk)-1] + 1
	if len(t.pending) == 0 {
		t.Next = t.searched
	}
	return rows, nil
}

// search finds the matches of the next step.
func (t *Tail) search(ctx context.Context) error {
	span := Span{Low: t.searched, High: min(t.size, t.searched+tailStep)}
	if span.Len() == 0 {
		return nil
	}
	found := span.Descending(0, span.Len())
	if !t.filter.All() {
		var err error
		if found, err = t.service.store.Matching(ctx, t.organization, t.filter, span); err != nil {
			return err
		}
	}
	slices.Reverse(found)
	t.pending, t.searched = found, span.High
	if len(found) == 0 {
		t.Next = t.searched
	}
	return nil
}

// Close ends the tail.
func (t *Tail) Close() { t.service.watches.leave(t.watch) }

// watches look at the heads of the trails that somebody follows: one look for all of them, and
// none while nobody does.
type watches struct {
	mu     sync.Mutex
	trails map[string]*watch
	tails  int
}

// watch is one trail's.
type watch struct {
	organization string
	tails        int // guarded by watches
	stop         context.CancelFunc

	mu     sync.Mutex
	size   int64
	change chan struct{} // closed once size has changed
}

// join adds a tail to the organization's watch, beginning it where there is none. There is
// room for so many alone: beyond, it is an [ErrOverloaded].
func (w *watches) join(store Store, organization string) (*watch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	joined := w.trails[organization]
	if w.tails >= MaxTails || joined != nil && joined.tails >= MaxTailsOfOne {
		return nil, ErrOverloaded
	}
	if joined == nil {
		ctx, stop := context.WithCancel(context.Background())
		joined = &watch{organization: organization, stop: stop, change: make(chan struct{})}
		if w.trails == nil {
			w.trails = map[string]*watch{}
		}
		w.trails[organization] = joined
		go joined.run(ctx, store)
	}
	joined.tails++
	w.tails++
	return joined, nil
}

func (w *watches) leave(left *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tails--
	if left.tails--; left.tails == 0 {
		left.stop()
		delete(w.trails, left.organization)
	}
}

// run looks until nobody follows any more. A look that fails is made again: tails wait.
func (w *watch) run(ctx context.Context, store Store) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		if size, err := store.Size(ctx, w.organization); err == nil {
			w.set(size)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (w *watch) set(size int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if size > w.size {
		w.size = size
		close(w.change)
		w.change = make(chan struct{})
	}
}

func (w *watch) known() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.size
}

var grownAlready = func() chan struct{} {
	closed := make(chan struct{})
	close(closed)
	return closed
}()

// grown is closed once the size is more than that.
func (w *watch) grown(than int64) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.size > than {
		return grownAlready
	}
	return w.change
}
