package merkle

import (
	"context"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// Span names hashes that stand next to each other in one tile: those number From up to,
// without, To of the subtrees over 256^Level leaves, counted from the left.
type Span struct {
	Level    int
	From, To int64
}

// Gap is the error of a [Reader] that gave fewer hashes of a tile than the tree has.
type Gap struct {
	Tile         TileID
	Bytes, Asked int64
}

func (g *Gap) Error() string {
	return fmt.Sprintf("tile %d/%d has %d bytes of %d", g.Tile.Level, g.Tile.Index, g.Bytes, g.Asked)
}

// Reader reads hashes of finished subtrees: for each span the joined hashes.
type Reader func(ctx context.Context, spans []Span) ([][]byte, error)

// Node names a finished subtree: that over 2^Level leaves, the Index-th from the left. Its
// hash is the same in every later tree.
type Node = compact.NodeID

// Kept remembers hashes of finished subtrees.
type Kept interface {
	Get(node Node) (hash []byte, known bool)
	Add(node Node, hash []byte)
}

// Inclusion proves that the leaf at position is in the tree of the given size (RFC 6962,
// section 2.1.1): the hashes from the leaf's sibling upwards. kept, unless it is nil, is asked
// before read, and is given what many proofs need: all that is above the tiles of leaves, and
// the end of the tree, where leaves have no tile yet.
func Inclusion(ctx context.Context, read Reader, kept Kept, size, position int64) ([][]byte, error) {
	if position < 0 || position >= size {
		return nil, fmt.Errorf("position %d is outside of a tree of size %d", position, size)
	}
	nodes, err := proof.Inclusion(uint64(position), uint64(size))
	if err != nil {
		return nil, err
	}
	hashes, err := recall(ctx, read, kept, size, nodes.IDs)
	if err != nil {
		return nil, err
	}
	return nodes.Rehash(hashes, hashChildren)
}

// recall is readNodes for what isn't kept.
func recall(ctx context.Context, read Reader, kept Kept, size int64, nodes []Node) ([][]byte, error) {
	if kept == nil {
		return readNodes(ctx, read, nodes)
	}
	hashes := make([][]byte, len(nodes))
	var missing []Node
	for i, node := range nodes {
		if hash, known := kept.Get(node); known {
			hashes[i] = hash
		} else {
			missing = append(missing, node)
		}
	}
	found, err := readNodes(ctx, read, missing)
	if err != nil {
		return nil, err
	}
	for i, node := range nodes {
		if hashes[i] != nil {
			continue
		}
		if hashes[i], found = found[0], found[1:]; node.Level >= tileBits || !(TileID{0, spanOf(node).From / TileWidth}).Full(size) {
			kept.Add(node, hashes[i])
		}
	}
	return hashes, nil
}

// Consistency proves that the tree of size from is the beginning of the tree of size to
// (RFC 6962, section 2.1.2). Of an empty or an equal tree there is nothing to prove.
func Consistency(ctx context.Context, read Reader, from, to int64) ([][]byte, error) {
	if from < 0 || from > to {
		return nil, fmt.Errorf("a tree of size %d is no beginning of one of size %d", from, to)
	}
	nodes, err := proof.Consistency(uint64(from), uint64(to))
	if err != nil {
		return nil, err
	}
	hashes, err := readNodes(ctx, read, nodes.IDs)
	if err != nil {
		return nil, err
	}
	return nodes.Rehash(hashes, hashChildren)
}

// Root reads the root of the tree of the given size.
func Root(ctx context.Context, read Reader, size int64) ([]byte, error) {
	if size == 0 {
		return rfc6962.DefaultHasher.EmptyRoot(), nil
	}
	hashes, err := readNodes(ctx, read, compact.RangeNodes(0, uint64(size), nil))
	if err != nil {
		return nil, err
	}
	return fold(hashes), nil
}

// chunkNodes bounds what [Around] reads at once: about so many tiles of 8 KiB.
const chunkNodes = 128

// Around gives emit the hashes that complete a tree of the given size around leaves whose
// positions ascend: the roots of the largest subtrees, as RFC 6962 splits them, that hold
// none of the positions, from the left.
func Around(ctx context.Context, read Reader, size int64, positions []int64, emit func(hash []byte) error) error {
	if !ascend(positions, size) {
		return fmt.Errorf("positions don't ascend below %d", size)
	}
	a := around{read: read, emit: emit}
	if err := a.walk(ctx, 0, uint64(size), positions); err != nil {
		return err
	}
	return a.flush(ctx)
}

func ascend(positions []int64, size int64) bool {
	last := int64(-1)
	for _, p := range positions {
		if p <= last || p >= size {
			return false
		}
		last = p
	}
	return true
}

// around gathers subtrees; each is one node, or at the tree's ragged end several.
type around struct {
	read  Reader
	emit  func([]byte) error
	nodes []compact.NodeID
	ends  []int // where in nodes each subtree ends
}

func (a *around) walk(ctx context.Context, low, high uint64, positions []int64) error {
	switch {
	case low == high:
		return nil
	case len(positions) == 0:
		a.nodes = compact.RangeNodes(low, high, a.nodes)
		a.ends = append(a.ends, len(a.nodes))
		if len(a.nodes) >= chunkNodes {
			return a.flush(ctx)
		}
		return nil
	case high-low == 1:
		return nil
	}
	middle := low + splitSize(high-low)
	at, _ := slices.BinarySearch(positions, int64(middle))
	if err := a.walk(ctx, low, middle, positions[:at]); err != nil {
		return err
	}
	return a.walk(ctx, middle, high, positions[at:])
}

// splitSize is the largest power of two below n (RFC 6962, section 2.1).
func splitSize(n uint64) uint64 {
	size := uint64(1)
	for size*2 < n {
		size *= 2
	}
	return size
}

func (a *around) flush(ctx context.Context) error {
	hashes, err := readNodes(ctx, a.read, a.nodes)
	if err != nil {
		return err
	}
	from := 0
	for _, end := range a.ends {
		if err := a.emit(fold(hashes[from:end])); err != nil {
			return err
		}
		from = end
	}
	a.nodes, a.ends = a.nodes[:0], a.ends[:0]
	return nil
}

// fold is the root over perfect subtrees that stand side by side, each higher than all
// behind it.
func fold(hashes [][]byte) []byte {
	root := hashes[len(hashes)-1]
	for _, hash := range slices.Backward(hashes[:len(hashes)-1]) {
		root = hashChildren(hash, root)
	}
	return root
}

// tileBits is how many levels of the tree a tile spans: a tile is 256 hashes wide.
const tileBits = 8

// readNodes reads the tiles that hold the nodes, each once, and computes the nodes.
func readNodes(ctx context.Context, read Reader, nodes []compact.NodeID) ([][]byte, error) {
	if len(nodes) == 0 {
		return nil, nil
	}
	var spans []Span
	places := map[TileID]int{}
	for _, node := range nodes {
		span := spanOf(node)
		tile := TileID{span.Level, span.From / TileWidth}
		if at, known := places[tile]; known {
			spans[at].From, spans[at].To = min(spans[at].From, span.From), max(spans[at].To, span.To)
			continue
		}
		places[tile] = len(spans)
		spans = append(spans, span)
	}
	tiles, err := read(ctx, spans)
	if err != nil {
		return nil, err
	}
	hashes := make([][]byte, len(nodes))
	for i, node := range nodes {
		span := spanOf(node)
		at := places[TileID{span.Level, span.From / TileWidth}]
		if got, want := int64(len(tiles[at])), (spans[at].To-spans[at].From)*HashSize; got != want {
			return nil, &Gap{TileID{span.Level, span.From / TileWidth}, got, want}
		}
		begin := (span.From - spans[at].From) * HashSize
		hashes[i] = perfect(tiles[at][begin : begin+(span.To-span.From)*HashSize])
	}
	return hashes, nil
}

func spanOf(node compact.NodeID) Span {
	wide := int64(1) << (node.Level % tileBits)
	return Span{Level: int(node.Level / tileBits), From: int64(node.Index) * wide, To: (int64(node.Index) + 1) * wide}
}

// perfect is the root over joined hashes, a power of two of them.
func perfect(hashes []byte) []byte {
	if len(hashes) == HashSize {
		return hashes
	}
	level := make([]byte, len(hashes)/2)
	for pairs := len(hashes) / (2 * HashSize); pairs > 0; pairs /= 2 {
		for i := range pairs {
			parent := parentOf(hashes[2*i*HashSize : (2*i+2)*HashSize])
			copy(level[i*HashSize:], parent[:])
		}
		hashes = level
	}
	return level[:HashSize:HashSize]
}
