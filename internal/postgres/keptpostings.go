package postgres

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"ocore.dev/audit/internal/audit"
)

// Bounds of the postings that are kept in memory.
const (
	blockRanges     = 16
	blockSpan       = blockRanges * rangeSize // positions
	maxPostingBytes = 8 << 20
)

// postingBlock holds the places of one value in the ranges of a block, as they are stored;
// nil where it has none. They share text, which is about as large as they need.
type postingBlock struct {
	ranges [blockRanges][]byte
	text   []byte
}

// set takes a copy. Ranges come newest first.
func (b *postingBlock) set(i int64, places []byte) {
	if cap(b.text)-len(b.text) < len(places) {
		b.text = make([]byte, 0, int(i+1)*len(places))
	}
	from := len(b.text)
	b.text = append(b.text, places...)
	b.ranges[i] = b.text[from:len(b.text):len(b.text)]
}

// keptPostings are blocks of postings that combinations have read, so that another
// combination of the same values reads nothing. They never change. As with blocks of
// entries, what a reader may see is decided before, by the look at the head.
type keptPostings struct {
	mu    sync.Mutex
	kept  *simplelru.LRU[postingKey, *postingBlock]
	bytes int
}

type postingKey struct {
	organization string
	term         audit.Term
	block        int64
}

func newKeptPostings() *keptPostings {
	k := &keptPostings{}
	k.kept, _ = simplelru.NewLRU(1<<20, func(key postingKey, b *postingBlock) { k.bytes -= b.weight(key) }) // fails for sizes below 1
	return k
}

// weight is about what a block and its key hold in memory.
func (b *postingBlock) weight(key postingKey) int {
	bytes := 512 + len(key.term.Value)
	for _, places := range b.ranges {
		bytes += len(places)
	}
	return bytes
}

// get fills in what is kept of the term's blocks from low on, and returns the narrowest
// span of blocks that holds all others.
func (k *keptPostings) get(organization string, term audit.Term, low int64, blocks []*postingBlock) (missing audit.Span) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range blocks {
		block := low + int64(i)
		var kept bool
		if blocks[i], kept = k.kept.Get(postingKey{organization, term, block}); kept {
			continue
		}
		if missing.Len() == 0 {
			missing.Low = block
		}
		missing.High = block + 1
	}
	return missing
}

// put keeps those of the term's blocks that are built to their end.
func (k *keptPostings) put(organization string, term audit.Term, low int64, blocks []*postingBlock, sealed int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, b := range blocks {
		key := postingKey{organization, term, low + int64(i)}
		if (key.block+1)*blockSpan > sealed || k.kept.Contains(key) {
			continue
		}
		k.kept.Add(key, b)
		k.bytes += b.weight(key)
	}
	for k.bytes > maxPostingBytes {
		k.kept.RemoveOldest()
	}
}

func (k *keptPostings) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept.Purge()
}
