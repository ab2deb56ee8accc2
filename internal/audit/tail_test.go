package audit_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ocore.dev/audit/internal/audit"
)

// counted counts looks at the head.
type counted struct {
	*memory
	looks, size atomic.Int64
}

func (c *counted) Size(context.Context, string) (int64, error) {
	c.looks.Add(1)
	return c.size.Load(), nil
}

// However many follow a trail, its head is looked at four times a second, and not at all once
// nobody does; all of them learn what it is.
func TestOneLookServesAllWhoFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &counted{memory: newMemory()}
		service := audit.NewService(store)
		var tails []*audit.Tail
		for range 20 {
			tail, err := service.Tail(t.Context(), "acme", exporter, audit.Filter{}, -1)
			if err != nil {
				t.Fatal(err)
			}
			tails = append(tails, tail)
		}
		store.looks.Store(0)
		time.Sleep(10*time.Second + 100*time.Millisecond)
		if looks := store.looks.Load(); looks < 39 || looks > 41 {
			t.Errorf("%d looks in ten seconds", looks)
		}
		store.size.Store(3)
		time.Sleep(time.Second)
		for _, tail := range tails {
			select {
			case <-tail.Grown():
			default:
				t.Fatal("somebody wasn't told")
			}
			if !tail.Behind() || tail.Size() != 3 {
				t.Errorf("size %d", tail.Size())
			}
			tail.Close()
		}
		synctest.Wait()
		store.looks.Store(0)
		time.Sleep(time.Minute)
		if looks := store.looks.Load(); looks != 0 {
			t.Errorf("%d looks for nobody", looks)
		}
	})
}
