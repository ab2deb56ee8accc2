package proof

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
)

// walk looks at every part of the trail, many at once, and joins what they are in order.
func (c *trailCheck) walk(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	parts := make(chan chan *part, c.Parallel)
	group.Go(func() error {
		defer close(parts)
		for low := int64(0); low < c.end; low += c.stored.Step() {
			looked := make(chan *part, 1)
			select {
			case parts <- looked: // waits while enough are under way
			case <-ctx.Done():
				return ctx.Err()
			}
			group.Go(func() error {
				defer close(looked)
				p, err := c.look(ctx, audit.Span{Low: low, High: min(low+c.stored.Step(), c.end)})
				if err == nil {
					looked <- p
				}
				return err
			})
		}
		return nil
	})
	group.Go(func() error {
		for looked := range parts {
			p, whole := <-looked
			if !whole {
				return nil // it failed, which is told elsewhere
			}
			if err := c.join(ctx, p); err != nil {
				return err
			}
		}
		return c.claimsAt(ctx, c.end)
	})
	return group.Wait()
}

// part is what a span of the trail is: its leaf hashes as the entries have them, and as the
// tiles do. One that is known from one side alone stands in both.
type part struct {
	findings
	span    audit.Span
	entries hashes
	tiles   hashes
	altered map[int64][]byte // stored leaf hashes that are not those of their entries
	roots   [][][]byte       // of each whole tile, what it may be in the level above; none when it isn't known
	first   time.Time
	last    time.Time
}

// hashes are those of a span's positions, as far as they are known.
type hashes struct {
	joined []byte
	known  []bool
}

func newHashes(n int64) hashes {
	return hashes{make([]byte, n*merkle.HashSize), make([]bool, n)}
}

func (h hashes) at(i int64) []byte {
	return h.joined[i*merkle.HashSize : (i+1)*merkle.HashSize : (i+1)*merkle.HashSize]
}

func (h hashes) set(i int64, hash []byte) {
	if len(hash) == merkle.HashSize {
		copy(h.at(i), hash)
		h.known[i] = true
	}
}

func missing(from, to int64) string {
	if to-from == 1 {
		return "is missing"
	}
	return fmt.Sprintf("is missing, and so are all up to %d", to-1)
}

// look reads a part and holds its entries against their leaf hashes, and those against tiles.
func (c *trailCheck) look(ctx context.Context, span audit.Span) (*part, error) {
	p := &part{span: span, entries: newHashes(span.Len()), tiles: newHashes(span.Len()), altered: map[int64][]byte{}}
	tiles, err := c.stored.Tiles(ctx, 0, span.Low/merkle.TileWidth, span.High/merkle.TileWidth)
	if err != nil {
		return nil, err
	}
	if c.Deep {
		err = c.readEntries(ctx, p)
	} else {
		err = c.readHashes(ctx, p, tiles)
	}
	if err != nil {
		return nil, err
	}
	return p, p.compare(tiles)
}

// readEntries makes every leaf anew.
func (c *trailCheck) readEntries(ctx context.Context, p *part) error {
	next := p.span.Low
	repeated, err := c.stored.Entries(ctx, p.span, func(e audit.StoredEntry) {
		switch {
		case e.Position < next:
			p.add(e.Position, "stands twice")
			return
		case e.Position > next:
			p.add(next, "%s: %d is followed by %d", missing(next, e.Position), next-1, e.Position)
		}
		next = e.Position + 1
		p.entry(c.organization, e)
	})
	if next < p.span.High {
		p.add(next, "%s", missing(next, p.span.High))
	}
	p.take(repeated...)
	return err
}

func (p *part) entry(organization string, e audit.StoredEntry) {
	if p.first.IsZero() {
		p.first = e.CreatedAt
	} else if e.CreatedAt.Before(p.last) {
		p.add(e.Position, "its createdAt is before that of the entry before it")
	}
	p.last = e.CreatedAt
	at := e.Position - p.span.Low
	leaf, err := e.Leaf(organization)
	if err != nil {
		p.add(e.Position, "the stored entry has no leaf: %s", err)
		p.entries.set(at, e.LeafHash)
		return
	}
	hash := merkle.LeafHash(leaf)
	p.entries.set(at, hash)
	if !bytes.Equal(hash, e.LeafHash) {
		p.add(e.Position, "the stored leaf hash is not that of the stored entry")
		p.altered[at] = bytes.Clone(e.LeafHash)
	}
}

// readHashes takes leaf hashes as they are stored, where tiles don't have them.
func (c *trailCheck) readHashes(ctx context.Context, p *part, tiles []audit.StoredTile) error {
	for _, tile := range tiles {
		if len(tile.Hashes) == merkle.TileWidth*merkle.HashSize {
			at := tile.Index*merkle.TileWidth - p.span.Low
			copy(p.entries.joined[at*merkle.HashSize:], tile.Hashes)
			for i := range int64(merkle.TileWidth) {
				p.entries.known[at+i] = true
			}
		}
	}
	first := int64(slices.Index(p.entries.known, false))
	if first < 0 {
		return nil
	}
	return c.stored.LeafHashes(ctx, p.span.From(p.span.Low+first), func(position int64, hash []byte) {
		if at := position - p.span.Low; !p.entries.known[at] {
			p.entries.set(at, hash)
		}
	})
}

// compare holds the part's whole tiles against its leaves.
func (p *part) compare(tiles []audit.StoredTile) error {
	for first := p.span.Low; first < p.span.High; first += merkle.TileWidth {
		at := first - p.span.Low
		index := first / merkle.TileWidth
		if first+merkle.TileWidth > p.span.High {
			p.withoutTile(at, p.span.High-first)
			break
		}
		for len(tiles) > 0 && tiles[0].Index < index {
			tiles = tiles[1:]
		}
		if len(tiles) == 0 || tiles[0].Index != index || len(tiles[0].Hashes) != merkle.TileWidth*merkle.HashSize {
			p.add(first, "tile 0/%d, which begins here, is missing", index)
			p.withoutTile(at, merkle.TileWidth)
		} else {
			p.withTile(at, tiles[0])
		}
		roots, err := p.tileRoots(at, tiles, index)
		if err != nil {
			return err
		}
		p.roots = append(p.roots, roots)
	}
	return nil
}

func (p *part) withoutTile(at, n int64) {
	for i := at; i < at+n; i++ {
		if p.entries.known[i] {
			p.tiles.set(i, p.entries.at(i))
			p.tiles.set(i, p.altered[i])
		}
	}
}

func (p *part) withTile(at int64, tile audit.StoredTile) {
	const whole = merkle.TileWidth * merkle.HashSize
	copy(p.tiles.joined[at*merkle.HashSize:], tile.Hashes)
	same := bytes.Equal(p.entries.joined[at*merkle.HashSize:][:whole], tile.Hashes)
	for i := at; i < at+merkle.TileWidth; i++ {
		p.tiles.known[i] = true
		switch hash := p.tiles.at(i); {
		case same:
		case !p.entries.known[i]:
			p.entries.set(i, hash)
		case !bytes.Equal(p.entries.at(i), hash) && !bytes.Equal(p.altered[i], hash):
			p.add(p.span.Low+i, "the entry and its leaf hash are not those that tile 0/%d has", tile.Index)
		}
	}
}

// tileRoots is what a whole tile may be in the level above: by its leaves, by its hashes,
// and as its root is stored, each once.
func (p *part) tileRoots(at int64, tiles []audit.StoredTile, index int64) ([][]byte, error) {
	if slices.Contains(p.entries.known[at:at+merkle.TileWidth], false) {
		return nil, nil
	}
	var roots [][]byte
	for _, of := range []hashes{p.entries, p.tiles} {
		joined := of.joined[at*merkle.HashSize : (at+merkle.TileWidth)*merkle.HashSize]
		if len(roots) > 0 && bytes.Equal(joined, p.entries.joined[at*merkle.HashSize:][:len(joined)]) {
			continue
		}
		root, err := merkle.TileRoot(joined)
		if err != nil {
			return nil, err
		}
		roots = append(roots, root)
	}
	if len(tiles) > 0 && tiles[0].Index == index && !contains(roots, tiles[0].Root) {
		p.add(p.span.Low+at, "tile 0/%d, which begins here, has another root than its hashes", index)
		roots = append(roots, tiles[0].Root)
	}
	return roots, nil
}

func contains(hashes [][]byte, hash []byte) bool {
	return slices.ContainsFunc(hashes, func(h []byte) bool { return bytes.Equal(h, hash) })
}

// join grows the tree by a part, and holds it against what was signed on the way.
func (c *trailCheck) join(ctx context.Context, p *part) error {
	c.count += p.count - int64(len(p.kept))
	c.take(p.kept...)
	if p.first.Before(c.lastTime) && !p.first.IsZero() {
		c.add(p.span.Low, "its createdAt is before that of the entry before it")
	}
	if !p.last.IsZero() {
		c.lastTime = p.last
	}
	for i := range p.span.Len() {
		if position := p.span.Low + i; position >= c.claims.due() {
			if err := c.claimsAt(ctx, position); err != nil {
				return err
			}
		}
		if err := c.trees.append(p.entries, p.tiles, i); err != nil {
			return err
		}
	}
	for _, roots := range p.roots {
		if err := c.rise(ctx, 1, roots); err != nil {
			return err
		}
	}
	if c.Progress != nil {
		c.Progress(p.span.Len())
	}
	return nil
}

// claimsAt holds the trail of that size against what was signed of it.
func (c *trailCheck) claimsAt(ctx context.Context, size int64) error {
	for c.claims.due() <= size {
		next, err := c.claims.pop(ctx)
		if err != nil {
			return err
		}
		switch {
		case c.trees.broken || next.size < size: // that something is missing, or sizes fall, is told already
		case !c.trees.has(next.root):
			if c.odd++; c.odd == 1 {
				c.firstOdd = next
			}
		default:
			if c.odd > 0 {
				c.add(-1, "%s has another root than the trail, although %s has the trail's: two histories were signed", c.firstOdd.name, next.name)
			}
			c.good, c.odd = next.size, 0
		}
	}
	return nil
}

// trees are that of the entries and that of the tiles, which are one until they differ.
type trees struct {
	entries *merkle.Tree
	tiles   *merkle.Tree // nil while they are one
	broken  bool         // a hash is missing, so that nothing more is known
}

func newTrees() (trees, error) {
	empty, err := merkle.Open(0, nil)
	return trees{entries: empty}, err
}

func (t *trees) append(entries, tiles hashes, i int64) error {
	if t.broken = t.broken || !entries.known[i]; t.broken {
		return nil
	}
	if t.tiles == nil && !bytes.Equal(entries.at(i), tiles.at(i)) {
		var err error
		if t.tiles, err = merkle.Open(t.entries.Size(), t.entries.Frontier()); err != nil {
			return err
		}
	}
	// The trees keep what they are given, and a part's hashes would be kept with it.
	if t.tiles != nil {
		if err := t.tiles.Append(bytes.Clone(tiles.at(i))); err != nil {
			return err
		}
	}
	return t.entries.Append(bytes.Clone(entries.at(i)))
}

func (t *trees) either(holds func(*merkle.Tree) bool) bool {
	return holds(t.entries) || t.tiles != nil && holds(t.tiles)
}

func (t *trees) has(root []byte) bool {
	return t.either(func(tree *merkle.Tree) bool {
		own, err := tree.Root()
		return err == nil && bytes.Equal(own, root)
	})
}

func (t *trees) hasFrontier(frontier []byte) bool {
	return t.either(func(tree *merkle.Tree) bool { return bytes.Equal(tree.Frontier(), frontier) })
}

// level is a level of tiles: how many are whole, and what the next one should hold.
type level struct {
	whole int64
	below [][][]byte
}

// rise takes what a whole tile may be in the level above it, and holds the tile that it
// completes there, if any, against all that it is made of.
func (c *trailCheck) rise(ctx context.Context, at int, roots [][]byte) error {
	if len(c.levels) < at {
		c.levels = append(c.levels, level{})
	}
	l := &c.levels[at-1]
	if l.below = append(l.below, roots); len(l.below) < merkle.TileWidth {
		return nil
	}
	index, below := l.whole, l.below
	l.whole, l.below = index+1, nil
	tiles, err := c.stored.Tiles(ctx, at, index, index+1)
	if err != nil {
		return err
	}
	above, err := c.compareTile(at, index, tiles, below)
	if err != nil {
		return err
	}
	return c.rise(ctx, at+1, above)
}

func (c *trailCheck) compareTile(at int, index int64, tiles []audit.StoredTile, below [][][]byte) ([][]byte, error) {
	width := int64(1) // leaves below a hash
	for range at {
		width *= merkle.TileWidth
	}
	first := index * width * merkle.TileWidth
	stored := len(tiles) > 0 && len(tiles[0].Hashes) == merkle.TileWidth*merkle.HashSize
	if !stored {
		c.add(first, "tile %d/%d, which begins here, is missing", at, index)
	}
	var should []byte
	for i, may := range below {
		var hash []byte
		if stored {
			hash = tiles[0].Hashes[i*merkle.HashSize:][:merkle.HashSize]
		}
		if len(may) == 0 {
			may = [][]byte{hash}
		}
		if stored && !contains(may, hash) {
			c.add(first+int64(i)*width, "tile %d/%d has another hash than the tile below that begins here", at, index)
		}
		should = append(should, may[0]...)
	}
	if len(should) != merkle.TileWidth*merkle.HashSize {
		return nil, nil
	}
	root, err := merkle.TileRoot(should)
	roots := [][]byte{root}
	if err != nil || !stored {
		return roots, err
	}
	if root, err = merkle.TileRoot(tiles[0].Hashes); err != nil {
		return nil, err
	}
	if roots = append(roots, root); !contains(roots, tiles[0].Root) {
		c.add(first, "tile %d/%d, which begins here, has another root than its hashes", at, index)
		roots = append(roots, tiles[0].Root)
	}
	return roots, nil
}
