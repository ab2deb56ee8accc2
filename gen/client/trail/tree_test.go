package trail_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"ocore.dev/audit/gen/client/trail"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/proof"
	"ocore.dev/audit/internal/testkit"
)

// grow records entries up to a size, past the API: it is the tree that is tried.
func grow(t *testing.T, s *testkit.Service, from, to int) {
	t.Helper()
	for from < to {
		var entries []audit.Admitted
		for ; from < to && len(entries) < audit.MaxBatch; from++ {
			entry, err := audit.Admit(audit.Draft{ID: fmt.Sprint("e-", from), Action: "a.b", ResourceType: "c"}, "")
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, entry)
		}
		if _, err := s.Store.Append(t.Context(), audit.Submission{Organization: "acme", RecordedBy: "ada", Entries: entries}); err != nil {
			t.Fatal(err)
		}
	}
}

// files reads a mirror as the Go checksum database's client reads its own: the independent
// reader.
type files string

func (f files) Height() int                         { return 8 }
func (f files) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (f files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		content, err := os.ReadFile(filepath.Join(string(f), path))
		if err != nil {
			return nil, err
		}
		all = append(all, content)
	}
	return all, nil
}

func mirror(t *testing.T, c *trail.Client, keys *proof.Keys, dir string) (proof.Checkpoint, error) {
	t.Helper()
	return proof.Mirror(t.Context(), func(ctx context.Context, path string) ([]byte, error) {
		return c.TreeFile(ctx, "acme", path)
	}, dir, keys, func(int64, int64) {})
}

// large tries trees of a third level, which takes a minute: go test ./gen/client/trail -run Mirror -large
var large = flag.Bool("large", false, "mirror trees of 65,536 and 70,000 entries too")

func TestAMirrorIsReadByAnIndependentClient(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	c, dir := direct(t, s, ada), t.TempDir()
	keys, err := s.Keys.Keys("acme")
	if err != nil {
		t.Fatal(err)
	}
	sizes := []int{1, 255, 256, 257, 1000}
	if *large {
		sizes = append(sizes, 65_536, 70_000)
	}
	before := 0
	for _, size := range sizes {
		grow(t, s, before, size)
		before = size
		checkpoint, err := mirror(t, c, &keys, dir)
		if err != nil || checkpoint.Size != int64(size) {
			t.Fatalf("size %d: %+v, %v", size, checkpoint, err)
		}
		tree := tlog.Tree{N: checkpoint.Size, Hash: tlog.Hash(checkpoint.Root)}
		reader := tlog.TileHashReader(tree, files(dir))
		for _, position := range []int64{0, int64(size) / 2, int64(size) - 1} {
			record, err := tlog.ProveRecord(tree.N, position, reader)
			if err != nil {
				t.Fatal(err)
			}
			hash, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, position)})
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckRecord(record, tree.N, tree.Hash, position, hash[0]); err != nil {
				t.Fatalf("position %d of %d: %v", position, size, err)
			}
		}
	}
}

func TestAMirrorThatWasChangedOrCutIsNoticed(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	c := direct(t, s, ada)
	grow(t, s, 0, 600)
	for name, spoil := range map[string]func(dir string) error{
		"a tile": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "tile/0/001"), make([]byte, 8192), 0o600)
		},
		"leaves": func(dir string) error {
			path := filepath.Join(dir, "tile/entries/000")
			text, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path, []byte(strings.Replace(string(text), "a.b", "a.c", 1)), 0o600))
		},
		"a longer tree": func(dir string) error {
			path := filepath.Join(dir, "checkpoint")
			text, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path, []byte(strings.Replace(string(text), "\n600\n", "\n601\n", 1)), 0o600))
		},
	} {
		dir := t.TempDir()
		if _, err := mirror(t, c, nil, dir); err != nil {
			t.Fatal(err)
		}
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := mirror(t, c, nil, dir); !errors.Is(err, proof.ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
