package postgres

import (
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxCounts bounds how many totals are remembered.
const maxCounts = 4096

// counts remembers totals of filters that cost more than a look-up. A total up to a
// position never changes, since history doesn't: later ones add what came behind it.
type counts struct {
	mu    sync.Mutex
	known *simplelru.LRU[countKey, count]
}

// countKey is a filter of a trail, from a position on. Walks through an earlier state have
// keys of their own, so that they and the newest state don't displace each other.
type countKey struct {
	organization, terms string
	low, state          int64
}

// count is how many entries match below the position high.
type count struct{ high, total int64 }

func newCounts() *counts {
	known, _ := simplelru.NewLRU[countKey, count](maxCounts, nil) // fails for sizes below 1
	return &counts{known: known}
}

func (r *reading) countKey() countKey {
	var terms strings.Builder
	for i, term := range slices.Concat(r.terms, r.excluded) {
		kind := byte(term.Column)
		if i >= len(r.terms) {
			kind |= 0x80
		}
		terms.WriteByte(kind)
		terms.WriteString(term.Value)
		terms.WriteByte(0) // no value holds one
	}
	return countKey{r.organization, terms.String(), r.span.Low, r.window.Size}
}

// get is what is known of the reading's filter; nothing is known as 0 entries up to the
// span's beginning.
func (c *counts) get(r *reading) count {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known.Get(r.countKey())
	if !ok || known.high > r.span.High || known.high < r.span.Low {
		return count{high: r.span.Low}
	}
	return known
}

// put remembers the total of the reading's span and returns it.
func (c *counts) put(r *reading, total int64) int64 {
	if r.window.RestOnly {
		return total // an export goes on from each position once
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known.Add(r.countKey(), count{r.span.High, total})
	return total
}

func (c *counts) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known.Purge()
}
