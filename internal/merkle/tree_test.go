package merkle_test

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"ocore.dev/audit/internal/merkle"
)

func leaf(i int64) []byte { return fmt.Appendf(nil, "leaf %d", i) }

// The Go checksum database's implementation is the independent witness.
func TestRootsEqualAnIndependentImplementation(t *testing.T) {
	t.Parallel()
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			hashes[i] = stored[index]
		}
		return hashes, nil
	})
	var frontier []byte
	for size := range int64(1200) {
		tree, err := merkle.Open(size, frontier)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tree.Root()
		if err != nil {
			t.Fatal(err)
		}
		want, err := tlog.TreeHash(size, reader)
		if err != nil {
			t.Fatal(err)
		}
		if size > 0 && !bytes.Equal(got, want[:]) {
			t.Fatalf("root of size %d: got %x, want %x", size, got, want)
		}
		hashes, err := tlog.StoredHashes(size, leaf(size), reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		if err := tree.Append(merkle.LeafHash(leaf(size))); err != nil {
			t.Fatal(err)
		}
		frontier = tree.Frontier()
	}
}

func TestEmptyRootIsTheHashOfNothing(t *testing.T) {
	t.Parallel()
	tree, err := merkle.Open(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	root, err := tree.Root()
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", root); got != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Fatal(got)
	}
}

func TestOpenRefusesAFrontierThatDoesNotFit(t *testing.T) {
	t.Parallel()
	for size, frontier := range map[int64]int{-1: 0, 0: 32, 1: 0, 2: 31, 3: 32, 4: 64} {
		if _, err := merkle.Open(size, make([]byte, frontier)); err == nil {
			t.Errorf("size %d with %d bytes was opened", size, frontier)
		}
	}
}

func TestFinishedTiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to int64
		want     string
	}{
		{0, 255, "[]"},
		{0, 256, "[{0 0}]"},
		{255, 256, "[{0 0}]"},
		{256, 511, "[]"},
		{100, 600, "[{0 0} {0 1}]"},
		{65535, 65536, "[{0 255} {1 0}]"},
		{65536, 65537, "[]"},
	} {
		if got := fmt.Sprint(merkle.FinishedTiles(c.from, c.to)); got != c.want {
			t.Errorf("from %d to %d: got %s, want %s", c.from, c.to, got, c.want)
		}
	}
}

func TestTileRootsMakeTheTree(t *testing.T) {
	t.Parallel()
	whole, _ := merkle.Open(0, nil)
	roots, _ := merkle.Open(0, nil)
	for tile := range int64(4) {
		var hashes []byte
		for i := range int64(merkle.TileWidth) {
			hash := merkle.LeafHash(leaf(tile*merkle.TileWidth + i))
			hashes = append(hashes, hash...)
			if err := whole.Append(hash); err != nil {
				t.Fatal(err)
			}
		}
		root, err := merkle.TileRoot(hashes)
		if err != nil {
			t.Fatal(err)
		}
		if err := roots.Append(root); err != nil {
			t.Fatal(err)
		}
	}
	want, _ := whole.Root()
	got, _ := roots.Root()
	if !bytes.Equal(got, want) {
		t.Fatalf("got %x, want %x", got, want)
	}
}
