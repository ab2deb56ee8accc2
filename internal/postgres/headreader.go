package postgres

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// headReader looks at heads for all who wait for one: while one look is under way, those who
// come meanwhile share the next. So each learns of a state in which everything that was
// committed before it asked is there, and a trail that many read costs one look at a time.
// Each organization's look is its own statement behind its own setting, as row-level
// security wants it.
type headReader struct {
	pool    *pgxpool.Pool
	mu      sync.Mutex
	next    map[string]*headLook
	looking bool
}

// headLook is one look at one head; done is closed once it has a size or an error.
type headLook struct {
	size *int64
	err  error
	done chan struct{}
}

// headPatience bounds how long a shared look waits for a connection, whatever the patience of
// those who wait for it, and headTimeout the look: everybody who reads waits behind one.
const (
	headPatience = 30 * time.Second
	headTimeout  = 5 * time.Second
)

func newHeadReader(pool *pgxpool.Pool) *headReader {
	return &headReader{pool: pool, next: map[string]*headLook{}}
}

// size is the trail's, 0 for one that nothing was recorded in.
func (h *headReader) size(ctx context.Context, organization string) (int64, error) {
	h.mu.Lock()
	look := h.next[organization]
	if look == nil {
		look = &headLook{done: make(chan struct{})}
		h.next[organization] = look
	}
	if !h.looking {
		h.looking = true
		go h.look()
	}
	h.mu.Unlock()
	select {
	case <-look.done:
		if look.err != nil {
			return 0, look.err
		}
		return *look.size, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// look goes on until nobody waits.
func (h *headReader) look() {
	looks := map[string]*headLook{}
	for {
		h.mu.Lock()
		looks, h.next = h.next, looks
		h.looking = len(looks) > 0
		h.mu.Unlock()
		if len(looks) == 0 {
			return
		}
		h.together(looks)
		clear(looks)
	}
}

// together ends every look: a panic is their error, as a failure of the database is.
func (h *headReader) together(looks map[string]*headLook) {
	err := func() (failed error) {
		defer func() {
			if broken := recover(); broken != nil {
				failed = fmt.Errorf("panic: %v\n%s", broken, debug.Stack())
			}
		}()
		waiting, stop := context.WithTimeout(context.Background(), headPatience)
		defer stop()
		conn, err := h.pool.Acquire(waiting)
		if err != nil {
			return translate("read a head", err)
		}
		defer conn.Release()
		ctx, cancel := context.WithTimeout(context.Background(), headTimeout)
		defer cancel()
		var p pipeline
		for organization, look := range looks {
			p.in(ctx, organization)
			look.size = readSize(ctx, &p, organization)
		}
		return translate("read a head", p.run(ctx, conn))
	}()
	for _, look := range looks {
		look.err = err
		close(look.done)
	}
}
