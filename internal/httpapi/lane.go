package httpapi

import (
	"context"
	"sync"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/tracing"
)

// patience is how long a request waits for its turn; one whose turn won't come by then is
// refused at once.
const patience = time.Second

// lane bounds how many requests of a kind are worked on at once, and how many wait. No
// organization has more than three quarters of either, and the next turn is for one that
// has the fewest: what an organization sends too much waits for itself.
type lane struct {
	name         string
	slots, queue int

	mutex    sync.Mutex
	running  int
	held     map[string]int // of the running, by organization
	queued   map[string]int
	waiting  []*waiter // in the order of arrival
	lastFree time.Time // when a request last needn't wait
	begun    time.Time // of the second in which left counts
	left     int
	before   int // how many left in the second before that
}

type waiter struct {
	organization string
	turn         chan struct{} // closed when it comes
}

func newLane(name string, slots, queue int) *lane {
	return &lane{name: name, slots: slots, queue: queue, held: map[string]int{}, queued: map[string]int{}}
}

// share is what one organization may have of n.
func share(n int) int { return max(1, n-max(1, n/4)) }

// enter waits for a turn, which leave ends, or returns [audit.ErrOverloaded].
func (l *lane) enter(ctx context.Context, organization string) error {
	w, err := l.line(organization, time.Now())
	if w == nil {
		return err
	}
	_, span := tracing.Start(ctx, "wait for a turn")
	defer span.End()
	span.Note("lane", l.name)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.turn:
		return nil
	case <-timer.C:
		err = audit.ErrOverloaded
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !l.forget(w) { // the turn came meanwhile, and goes to the next
		l.leave(organization)
	}
	return err
}

// full reports whether a request would be refused now.
func (l *lane) full(organization string) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return !l.free(organization) && !l.room(organization, time.Now())
}

// line gives a turn at once, a place among those that wait, or an error.
func (l *lane) line(organization string, now time.Time) (*waiter, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.free(organization) {
		l.lastFree = now
		l.take(organization)
		return nil, nil
	}
	if !l.room(organization, now) {
		return nil, audit.ErrOverloaded
	}
	w := &waiter{organization, make(chan struct{})}
	l.waiting = append(l.waiting, w)
	l.queued[organization]++
	return w, nil
}

func (l *lane) free(organization string) bool {
	return l.running < l.slots && l.held[organization] < share(l.slots)
}

// room reports whether one more may wait. Once all have had to wait for a second, no more
// do than left in a second: with a database that stands still, that is nobody.
func (l *lane) room(organization string, now time.Time) bool {
	queue := l.queue
	if now.Sub(l.lastFree) > patience {
		queue = min(queue, l.pace(now))
	}
	return len(l.waiting) < queue && l.queued[organization] < share(l.queue)
}

func (l *lane) pace(now time.Time) int {
	if now.Sub(l.begun) > 2*time.Second {
		return 0
	}
	return max(l.left, l.before)
}

func (l *lane) take(organization string) {
	l.running++
	l.held[organization]++
}

// leave ends a turn and gives what became free to those that wait.
func (l *lane) leave(organization string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.running--
	lower(l.held, organization)
	if now := time.Now(); now.Sub(l.begun) > time.Second {
		l.begun, l.before, l.left = now, l.left, 0
	}
	l.left++
	for l.running < l.slots {
		next := l.next()
		if next < 0 {
			return
		}
		w := l.waiting[next]
		l.remove(next)
		l.take(w.organization)
		close(w.turn)
	}
}

// next is whose turn it is, -1 for nobody's.
func (l *lane) next() int {
	next, fewest := -1, share(l.slots)
	for i, w := range l.waiting {
		if held := l.held[w.organization]; held < fewest {
			next, fewest = i, held
		}
	}
	return next
}

// forget takes a waiter away, unless its turn has come.
func (l *lane) forget(w *waiter) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for i, other := range l.waiting {
		if other == w {
			l.remove(i)
			return true
		}
	}
	return false
}

func (l *lane) remove(i int) {
	lower(l.queued, l.waiting[i].organization)
	l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
}

// lower counts down, and forgets organizations that have nothing.
func lower(counts map[string]int, organization string) {
	if counts[organization]--; counts[organization] == 0 {
		delete(counts, organization)
	}
}

// state is how many run and wait.
func (l *lane) state() (running, waiting int) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.running, len(l.waiting)
}
