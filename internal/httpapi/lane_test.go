package httpapi

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
)

// waits begins to enter and reports the outcome later.
func waits(t *testing.T, l *lane, organization string) <-chan error {
	t.Helper()
	_, before := l.state()
	done := make(chan error, 1)
	go func() { done <- l.enter(t.Context(), organization) }()
	for {
		if _, now := l.state(); now == before+1 {
			return done
		}
		time.Sleep(time.Millisecond)
	}
}

func mustEnter(t *testing.T, l *lane, organization string, n int) {
	t.Helper()
	for range n {
		if err := l.enter(t.Context(), organization); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNoOrganizationHasAllOfALane(t *testing.T) {
	t.Parallel()
	l := newLane("reads", 8, 8)
	mustEnter(t, l, "acme", 6)
	busy := waits(t, l, "acme")
	mustEnter(t, l, "globex", 2) // what acme may not have is there at once
	second := waits(t, l, "globex")
	third := waits(t, l, "initech")
	l.leave("globex")
	if err := <-third; err != nil { // it has none yet; globex has one, and acme six
		t.Fatal(err)
	}
	l.leave("acme")
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	select {
	case <-busy:
		t.Error("acme has more than the others")
	default:
	}
	l.leave("acme")
	if err := <-busy; err != nil {
		t.Fatal(err)
	}
}

func TestAFullLaneRefusesAtOnceAndHasRoomForOthers(t *testing.T) {
	t.Parallel()
	l := newLane("reads", 4, 4)
	mustEnter(t, l, "acme", 3)
	for range 3 {
		waits(t, l, "acme")
	}
	if err := l.enter(t.Context(), "acme"); !errors.Is(err, audit.ErrOverloaded) || !l.full("acme") {
		t.Errorf("a seventh: %v", err)
	}
	if l.full("globex") {
		t.Error("there is no room for another organization")
	}
	mustEnter(t, l, "globex", 1)
	last := waits(t, l, "globex")
	if err := l.enter(t.Context(), "initech"); !errors.Is(err, audit.ErrOverloaded) {
		t.Errorf("a fifth that waits: %v", err)
	}
	l.leave("globex")
	if err := <-last; err != nil {
		t.Error(err)
	}
}

func TestWhoWaitsTooLongOrGoesIsForgotten(t *testing.T) {
	t.Parallel()
	l := newLane("reads", 2, 4)
	mustEnter(t, l, "acme", 1)
	late := waits(t, l, "acme")
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- l.enter(ctx, "acme") }()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("who went: %v", err)
	}
	if err := <-late; !errors.Is(err, audit.ErrOverloaded) {
		t.Errorf("who waited: %v", err)
	}
	// By now nothing has moved for a second: nobody need try to wait.
	if !l.full("acme") {
		t.Error("a lane that stands still lets others wait")
	}
	if running, waiting := l.state(); running != 1 || waiting != 0 || len(l.queued) != 0 {
		t.Errorf("%d running, %d waiting, %v", running, waiting, l.queued)
	}
	l.leave("acme")
	mustEnter(t, l, "acme", 1) // and recovers by itself
	if waited := waits(t, l, "acme"); waited != nil {
		l.leave("acme")
		if err := <-waited; err != nil {
			t.Error(err)
		}
	}
}

func TestALaneKeepsItsBoundsWhateverHappens(t *testing.T) {
	t.Parallel()
	l := newLane("reads", 8, 16)
	var running, most, served, refused atomic.Int64
	var byOrganization [3]atomic.Int64
	var all sync.WaitGroup
	for i := range 60 {
		organization := i % 3
		all.Go(func() {
			for range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Microsecond)
				if l.enter(ctx, fmt.Sprint(organization)) != nil {
					refused.Add(1)
					cancel()
					continue
				}
				n, own := running.Add(1), byOrganization[organization].Add(1)
				for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
				}
				if own > 6 {
					t.Errorf("%d of one organization", own)
				}
				time.Sleep(50 * time.Microsecond)
				byOrganization[organization].Add(-1)
				running.Add(-1)
				served.Add(1)
				l.leave(fmt.Sprint(organization))
				cancel()
			}
		})
	}
	all.Wait()
	left, waiting := l.state()
	if most.Load() > 8 || served.Load() == 0 || refused.Load() == 0 || left+waiting+len(l.held)+len(l.queued) != 0 {
		t.Errorf("at most %d at once, %d served, %d refused; %d and %d are left", most.Load(), served.Load(), refused.Load(), left, waiting)
	}
}

func TestABudgetIsBoundedAndShared(t *testing.T) {
	t.Parallel()
	b := newBudget(100)
	if !b.take("acme", 75) || b.take("acme", 1) || !b.take("globex", 25) || b.take("initech", 1) {
		t.Error("more than there is, or less")
	}
	b.give("acme", 75)
	b.give("globex", 25)
	if b.inUse() != 0 || len(b.by) != 0 {
		t.Errorf("%d is left, of %v", b.inUse(), b.by)
	}
}
