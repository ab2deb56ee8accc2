package merkle_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"ocore.dev/audit/internal/merkle"
)

// grove holds a tree twice: as what our proofs are read from, and as what the Go
// checksum database's implementation reads, the independent witness.
type grove struct {
	levels [][]byte // of each tile level the hashes
	stored []tlog.Hash
	size   int64
	kept   nodes
}

// nodes keep everything, of trees of all sizes.
type nodes map[merkle.Node][]byte

func (n nodes) Get(node merkle.Node) ([]byte, bool) {
	hash, known := n[node]
	return hash, known
}

func (n nodes) Add(node merkle.Node, hash []byte) { n[node] = hash }

func (f *grove) grow(t testing.TB, size int64) {
	t.Helper()
	reader := tlog.HashReaderFunc(f.ReadHashes)
	for ; f.size < size; f.size++ {
		hashes, err := tlog.StoredHashes(f.size, leaf(f.size), reader)
		if err != nil {
			t.Fatal(err)
		}
		f.stored = append(f.stored, hashes...)
		f.add(t, 0, merkle.LeafHash(leaf(f.size)))
	}
}

func (f *grove) add(t testing.TB, level int, hash []byte) {
	if len(f.levels) == level {
		f.levels = append(f.levels, nil)
	}
	f.levels[level] = append(f.levels[level], hash...)
	const tile = merkle.TileWidth * merkle.HashSize
	if have := len(f.levels[level]); have%tile == 0 {
		root, err := merkle.TileRoot(f.levels[level][have-tile:])
		if err != nil {
			t.Fatal(err)
		}
		f.add(t, level+1, root)
	}
}

func (f *grove) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hashes[i] = f.stored[index]
	}
	return hashes, nil
}

// read refuses spans that no single tile holds: stores read whole tiles.
func (f *grove) read(_ context.Context, spans []merkle.Span) ([][]byte, error) {
	var all [][]byte
	for _, s := range spans {
		if s.From/merkle.TileWidth != (s.To-1)/merkle.TileWidth {
			return nil, fmt.Errorf("%+v is in two tiles", s)
		}
		all = append(all, f.levels[s.Level][s.From*merkle.HashSize:s.To*merkle.HashSize])
	}
	return all, nil
}

// sizes are all up to 2,049, and some up to a limit.
func sizes(t testing.TB, random int, limit int64) []int64 {
	t.Helper()
	var all []int64
	for size := range int64(2050) {
		all = append(all, size)
	}
	source := rand.New(rand.NewPCG(1, 2))
	for range random {
		all = append(all, 2050+source.Int64N(limit-2050))
	}
	return append(all, 65535, 65536, 65537, limit)
}

func TestProofsEqualTwoIndependentImplementations(t *testing.T) {
	t.Parallel()
	limit := int64(1_000_000)
	if testing.Short() {
		limit = 70_000
	}
	f := grove{kept: nodes{}}
	f.grow(t, limit)
	source := rand.New(rand.NewPCG(3, 4))
	for _, size := range sizes(t, 200, limit) {
		root, err := merkle.Root(t.Context(), f.read, size)
		if err != nil {
			t.Fatal(err)
		}
		if size == 0 {
			continue // TestEmptyRootIsTheHashOfNothing
		}
		want, err := tlog.TreeHash(size, &f)
		if err != nil {
			t.Fatal(err)
		}
		if tlog.Hash(root) != want {
			t.Fatalf("root of size %d: got %x, want %x", size, root, want)
		}
		f.compareInclusion(t, size, source.Int64N(size), root)
		f.compareConsistency(t, 1+source.Int64N(size), size, root)
	}
}

func (f *grove) compareInclusion(t *testing.T, size, position int64, root []byte) {
	t.Helper()
	got, err := merkle.Inclusion(t.Context(), f.read, nil, size, position)
	if err != nil {
		t.Fatal(err)
	}
	want, err := tlog.ProveRecord(size, position, f)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(hashes(got)) != fmt.Sprint([]tlog.Hash(want)) {
		t.Fatalf("position %d of %d differs", position, size)
	}
	if kept, err := merkle.Inclusion(t.Context(), f.read, f.kept, size, position); err != nil || fmt.Sprint(hashes(kept)) != fmt.Sprint(hashes(got)) {
		t.Fatalf("position %d of %d differs when nodes of other sizes are kept: %v", position, size, err)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(position), uint64(size), merkle.LeafHash(leaf(position)), got, root); err != nil {
		t.Fatalf("position %d of %d: %v", position, size, err)
	}
}

// Once nodes are kept, a proof reads the tile of its leaf and nothing else, also from another
// tile, at the end of the tree, and in a tree that has grown.
func TestKeptNodesAreNotReadAgain(t *testing.T) {
	t.Parallel()
	f := grove{kept: nodes{}}
	f.grow(t, 70_500)
	var read []merkle.Span
	reader := func(ctx context.Context, spans []merkle.Span) ([][]byte, error) {
		read = append(read, spans...)
		return f.read(ctx, spans)
	}
	for _, c := range []struct {
		size, position int64
		most           int // spans
	}{
		{70_100, 300, 4}, {70_100, 300, 1}, {70_100, 511, 1}, {70_100, 69_999, 3}, {70_100, 69_999, 0}, {70_500, 300, 4}, {70_500, 301, 1},
	} {
		read = nil
		if _, err := merkle.Inclusion(t.Context(), reader, f.kept, c.size, c.position); err != nil || len(read) > c.most {
			t.Errorf("%+v reads %+v: %v", c, read, err)
		}
		if c.most == 1 && (len(read) != 1 || read[0].Level != 0 || read[0].From/merkle.TileWidth != c.position/merkle.TileWidth) {
			t.Errorf("%+v reads %+v", c, read)
		}
	}
	for node := range f.kept {
		if node.Level < 8 && node.Index<<node.Level < 70_100/256*256 {
			t.Errorf("%+v of a leaf's tile is kept", node)
		}
	}
}

func (f *grove) compareConsistency(t *testing.T, from, to int64, root []byte) {
	t.Helper()
	got, err := merkle.Consistency(t.Context(), f.read, from, to)
	if err != nil {
		t.Fatal(err)
	}
	want, err := tlog.ProveTree(to, from, f)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(hashes(got)) != fmt.Sprint([]tlog.Hash(want)) {
		t.Fatalf("%d to %d differs", from, to)
	}
	old, err := merkle.Root(t.Context(), f.read, from)
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(from), uint64(to), got, old, root); err != nil {
		t.Fatalf("%d to %d: %v", from, to, err)
	}
}

func hashes(from [][]byte) []tlog.Hash {
	var all []tlog.Hash
	for _, hash := range from {
		all = append(all, tlog.Hash(hash))
	}
	return all
}

// complete is [merkle.Around] read backwards, as its definition says it.
func complete(low, high int64, positions []int64, around *[][]byte) []byte {
	if len(positions) == 0 {
		next := (*around)[0]
		*around = (*around)[1:]
		return next
	}
	if high-low == 1 {
		return merkle.LeafHash(leaf(low))
	}
	split := int64(1)
	for split*2 < high-low {
		split *= 2
	}
	at, _ := slices.BinarySearch(positions, low+split)
	left := complete(low, low+split, positions[:at], around)
	return rfc6962.DefaultHasher.HashChildren(left, complete(low+split, high, positions[at:], around))
}

func TestWhatStandsAroundLeavesCompletesTheTree(t *testing.T) {
	t.Parallel()
	var f grove
	f.grow(t, 70_000)
	source := rand.New(rand.NewPCG(5, 6))
	for _, size := range []int64{1, 2, 3, 5, 255, 256, 257, 1000, 65_536, 69_999, 70_000} {
		root, err := merkle.Root(t.Context(), f.read, size)
		if err != nil {
			t.Fatal(err)
		}
		for _, share := range []float64{0, 0.001, 0.1, 0.9, 1} {
			var positions []int64
			for p := range size {
				if source.Float64() < share {
					positions = append(positions, p)
				}
			}
			var around [][]byte
			err := merkle.Around(t.Context(), f.read, size, positions, func(hash []byte) error {
				around = append(around, hash)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := complete(0, size, positions, &around); string(got) != string(root) || len(around) > 0 {
				t.Fatalf("size %d, %d positions: got %x with %d hashes left, want %x", size, len(positions), got, len(around), root)
			}
		}
	}
}

func TestProofsOutsideOfTheTreeAreRefused(t *testing.T) {
	t.Parallel()
	var f grove
	f.grow(t, 300)
	nothing := func([]byte) error { return nil }
	for name, try := range map[string]func() error{
		"before":       func() error { _, err := merkle.Inclusion(t.Context(), f.read, nil, 300, -1); return err },
		"behind":       func() error { _, err := merkle.Inclusion(t.Context(), f.read, nil, 300, 300); return err },
		"shrinks":      func() error { _, err := merkle.Consistency(t.Context(), f.read, 300, 299); return err },
		"negative":     func() error { _, err := merkle.Consistency(t.Context(), f.read, -1, 299); return err },
		"not ordered":  func() error { return merkle.Around(t.Context(), f.read, 300, []int64{5, 4}, nothing) },
		"twice":        func() error { return merkle.Around(t.Context(), f.read, 300, []int64{4, 4}, nothing) },
		"behind them":  func() error { return merkle.Around(t.Context(), f.read, 300, []int64{300}, nothing) },
		"short answer": func() error { _, err := merkle.Inclusion(t.Context(), short, nil, 300, 5); return err },
	} {
		if try() == nil {
			t.Errorf("%s: was proved", name)
		}
	}
}

func short(_ context.Context, spans []merkle.Span) ([][]byte, error) {
	return make([][]byte, len(spans)), nil
}
