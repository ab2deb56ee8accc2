package postgres

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"ocore.dev/audit/internal/audit"
)

// Bounds of what is kept in memory.
const (
	blockSize     = 16       // positions
	maxBlockBytes = 12 << 20 // of all blocks together
	maxSizes      = 1024     // trails whose size is remembered
	maxSeen       = 1 << 13  // blocks that were read once lately
)

// blocks keeps history that is read again and again. It never changes unless somebody tampers with
// the database, so a block needs no invalidation but [Store.Forget]; what a reader may see is decided before, by the look at the head that
// row-level security guards. A block is kept when it is read for the second time: a walk
// through a whole trail, which reads each once, displaces nothing.
type blocks struct {
	mu    sync.Mutex
	kept  *simplelru.LRU[blockKey, []audit.Row] // ascending from the block's first position on, perhaps not to its end
	bytes int
	sizes *simplelru.LRU[string, int64]
	seed  maphash.Seed
	seen  [maxSeen]uint64
}

type blockKey struct {
	organization string
	index        int64
}

func newBlocks() *blocks {
	b := &blocks{seed: maphash.MakeSeed()}
	b.kept, _ = simplelru.NewLRU(1<<20, func(_ blockKey, rows []audit.Row) { b.bytes -= weight(rows) }) // fails for sizes below 1
	b.sizes, _ = simplelru.NewLRU[string, int64](maxSizes, nil)
	return b
}

// weight is about what a block's rows hold in memory.
func weight(rows []audit.Row) int {
	bytes := 64 * cap(rows)
	for _, row := range rows {
		bytes += len(row.Text)
	}
	return bytes
}

// size is the trail's size when it was last looked at, 0 when that isn't known. It is a
// guess at which blocks are about to be read, and no more.
func (b *blocks) size(organization string) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	size, _ := b.sizes.Get(organization)
	return size
}

func (b *blocks) grown(organization string, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sizes.Add(organization, size)
}

// wants reports whether every block of the span is kept, or was read before and would be
// kept now. A span that wasn't wanted is remembered as read.
func (b *blocks) wants(organization string, span audit.Span) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	wanted := span.Len() > 0
	for key := range keys(organization, span) {
		if !b.kept.Contains(key) && !b.see(key) {
			wanted = false
		}
	}
	return wanted
}

// see remembers the block and reports whether it had been seen.
func (b *blocks) see(key blockKey) bool {
	hash := maphash.Comparable(b.seed, key)
	slot := &b.seen[hash%maxSeen]
	before := *slot == hash
	*slot = hash
	return before
}

func (b *blocks) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept.Purge()
}

func keys(organization string, span audit.Span) func(func(blockKey) bool) {
	return func(yield func(blockKey) bool) {
		for index := span.Low / blockSize; index*blockSize < span.High; index++ {
			if !yield(blockKey{organization, index}) {
				return
			}
		}
	}
}

// rows lists the span's rows, newest first, if all of them are kept.
func (b *blocks) rows(organization string, span audit.Span) ([]audit.Row, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rows := make([]audit.Row, 0, span.Len())
	for key := range keys(organization, span) {
		kept, _ := b.kept.Get(key)
		first := key.index * blockSize
		low, high := max(span.Low-first, 0), min(span.High-first, blockSize)
		if high > int64(len(kept)) {
			return nil, false
		}
		rows = append(rows, kept[low:high]...)
	}
	slices.Reverse(rows)
	return rows, true
}

// keep takes over rows that were read newest first, from the beginning of a block on.
func (b *blocks) keep(organization string, rows []audit.Row) {
	slices.Reverse(rows)
	b.mu.Lock()
	defer b.mu.Unlock()
	for block := range slices.Chunk(rows, blockSize) {
		key := blockKey{organization, block[0].Position / blockSize}
		b.kept.Remove(key)
		own := compact(block)
		b.kept.Add(key, own)
		b.bytes += weight(own)
	}
	for b.bytes > maxBlockBytes {
		b.kept.RemoveOldest()
	}
}

// compact copies rows so that they keep no more alive than themselves.
func compact(rows []audit.Row) []audit.Row {
	size := 0
	for _, row := range rows {
		size += len(row.Text)
	}
	texts := make([]byte, 0, size)
	own := slices.Clone(rows)
	for i, row := range rows {
		begin := len(texts)
		texts = append(texts, row.Text...)
		own[i].Text = texts[begin:len(texts):len(texts)]
	}
	return own
}

// aligned widens the span to whole blocks.
func aligned(span audit.Span) audit.Span {
	return audit.Span{Low: span.Low / blockSize * blockSize, High: (span.High + blockSize - 1) / blockSize * blockSize}
}
