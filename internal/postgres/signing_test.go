package postgres_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/proof"
	"ocore.dev/audit/internal/testkit"
)

const origins = "audit.example/trails"

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signingKeys(t *testing.T, keys ...crypto.Signer) *proof.SigningKeys {
	t.Helper()
	made, err := proof.NewSigningKeys(origins, keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func openWorker(t *testing.T, d testkit.Database) *postgres.Worker {
	t.Helper()
	worker, err := postgres.OpenWorker(t.Context(), postgres.WorkerOptions{URL: d.WorkerURL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(worker.Close)
	return worker
}

func newSigner(t *testing.T, d testkit.Database, keys *proof.SigningKeys, kept proof.Kept) *proof.Signer {
	t.Helper()
	return proof.NewSigner(openWorker(t, d), keys, kept, slog.New(slog.DiscardHandler))
}

// opened is a checkpoint that the keys of its trail verify.
func opened(t *testing.T, keys *proof.SigningKeys, organization, note string) proof.Signed {
	t.Helper()
	trusted, err := keys.Keys(organization)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := trusted.Open([]byte(note))
	if err != nil {
		t.Fatalf("%v:\n%s", err, note)
	}
	return signed
}

func TestEveryEntryIsProvedByASignedCheckpoint(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store, keys := testkit.NewStore(t, d), signingKeys(t, newKey(t))
	prover := proof.NewProver(store, keys, newSigner(t, d, keys, nil))
	if _, err := prover.Checkpoint(t.Context(), "acme"); !errors.Is(err, audit.ErrNotFound) {
		t.Fatalf("of an empty trail: %v", err)
	}
	for batch, size := range []int{1, 254, 1, 300} {
		mustAppend(t, store, "acme", plain(t, fmt.Sprint("b", batch), size)...)
		id := fmt.Sprintf("b%d-%d", batch, size-1)
		inclusion, err := prover.Entry(t.Context(), "acme", id)
		if err != nil {
			t.Fatal(err)
		}
		checkInclusion(t, keys, "acme", inclusion)
	}
	if _, err := prover.Entry(t.Context(), "globex", "b0-0"); !errors.Is(err, audit.ErrNotFound) {
		t.Fatalf("of another organization: %v", err)
	}
}

func checkInclusion(t *testing.T, keys *proof.SigningKeys, organization string, i proof.Inclusion) {
	t.Helper()
	head, note, _ := strings.Cut(i.Proof, "\n\n")
	lines := strings.Split(head, "\n")
	if want := []string{"c2sp.org/tlog-proof@v1", fmt.Sprint("index ", i.Row.Position)}; lines[0] != want[0] || lines[1] != want[1] {
		t.Fatalf("the proof begins with %q", lines[:2])
	}
	var path [][]byte
	for _, line := range lines[2:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		path = append(path, hash)
	}
	signed := opened(t, keys, organization, note)
	leaf, err := audit.Leaf(organization, i.Row.CreatedAt, i.Row.Text, i.Salts)
	if err != nil {
		t.Fatal(err)
	}
	if err := merkle.VerifyInclusion(i.Row.Position, signed.Size, merkle.LeafHash(leaf), path, signed.Root); err != nil {
		t.Fatalf("position %d of %d: %v", i.Row.Position, signed.Size, err)
	}
}

// published are all checkpoints of a trail, in the order of signing.
func published(t *testing.T, d testkit.Database, organization string) []string {
	t.Helper()
	return collect(t, testkit.Connect(t, d.SuperuserURL), "SELECT note FROM checkpoints WHERE organization = $1 ORDER BY number", organization)
}

// checkHistory holds all that was ever signed of a trail together: sizes never fall, a size
// has one root, and each is the beginning of the next.
func checkHistory(t *testing.T, store *postgres.Store, keys *proof.SigningKeys, organization string, notes []string) (last proof.Signed) {
	t.Helper()
	for i, note := range notes {
		next := opened(t, keys, organization, note)
		if i > 0 {
			path, err := merkle.Consistency(t.Context(), store.Tree(organization, next.Size), last.Size, next.Size)
			if err != nil {
				t.Fatal(err)
			}
			if err := merkle.VerifyConsistency(last.Size, next.Size, path, last.Root, next.Root); err != nil {
				t.Fatalf("from %d to %d: %v", last.Size, next.Size, err)
			}
		}
		last = next
	}
	return last
}

func TestSeveralSignersSayOneHistory(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store, keys := testkit.NewStore(t, d), signingKeys(t, newKey(t))
	ctx, cancel := context.WithCancel(t.Context())
	var signing, writing sync.WaitGroup
	for range 3 {
		signer := newSigner(t, d, keys, proof.KeptFolder(t.TempDir()))
		signing.Go(func() {
			for ctx.Err() == nil {
				if err := signer.Round(ctx); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	organizations := []string{"acme", "globex", audit.AdminOrganization}
	for _, organization := range organizations {
		writing.Go(func() {
			for i := range 60 {
				mustAppend(t, store, organization, plain(t, fmt.Sprint("b", i), 7)...)
			}
		})
	}
	writing.Wait()
	cancel()
	signing.Wait()
	if err := newSigner(t, d, keys, nil).Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, organization := range organizations {
		notes := published(t, d, organization)
		last := checkHistory(t, store, keys, organization, notes)
		if last.Size != 420 || len(notes) < 3 {
			t.Errorf("%s: signed up to %d of 420, in %d checkpoints", organization, last.Size, len(notes))
		}
	}
}

// Each is done as the database's superuser, behind the back of a trail of which 300 and
// then 600 entries were signed.
func TestWhatContradictsASignatureIsNotSigned(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		statements []string
		grow       bool // the service goes on and records
		reason     string
	}{
		"another frontier": {[]string{"UPDATE heads SET frontier = overlay(frontier placing '\\x00' from 1)"}, true, "doesn't begin with the 600 entries"},
		"another root at the same size": {
			[]string{"UPDATE heads SET root = sha256('x')", "UPDATE signing_progress SET size = 0"}, false, "another root at size 600",
		},
		"entries are gone": {
			[]string{"DELETE FROM entries WHERE position >= 500", "UPDATE heads SET size = 500", "UPDATE signing_progress SET size = 0"}, false, "entries are gone",
		},
		"a leaf's hash":               {[]string{"UPDATE entries SET leaf_hash = sha256('x') WHERE position = 599"}, true, "doesn't begin with the 600 entries"},
		"a tile on the way":           {[]string{"UPDATE tiles SET root = sha256('x') WHERE index = 1"}, true, "doesn't begin with the 600 entries"},
		"a tile is gone":              {[]string{"DELETE FROM tiles"}, true, "can't be read"},
		"the checkpoint is another's": {[]string{"UPDATE checkpoints SET note = replace(note, 'acme', 'evil')"}, true, "is not ours"},
		"the checkpoint is nothing":   {[]string{"UPDATE checkpoints SET note = 'x'"}, true, "is not ours"},
		"the checkpoint's size":       {[]string{"UPDATE checkpoints SET size = 599 WHERE size = 600"}, true, "under another size"},
		"the newest checkpoint is gone": {
			[]string{"DELETE FROM checkpoints WHERE size = 600"}, true, "a checkpoint of size 600 was published",
		},
		"all checkpoints are gone": {[]string{"DELETE FROM checkpoints"}, true, "the database has no checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := testkit.NewDatabase(t)
			store, keys := testkit.NewStore(t, d), signingKeys(t, newKey(t))
			signer := newSigner(t, d, keys, proof.KeptFolder(t.TempDir()))
			for batch := range 2 {
				mustAppend(t, store, "acme", plain(t, fmt.Sprint("b", batch), 300)...)
				if err := signer.Round(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			conn := testkit.Connect(t, d.SuperuserURL)
			for _, statement := range c.statements {
				mustExec(t, conn, statement)
			}
			if c.grow {
				mustAppend(t, store, "acme", plain(t, "after", 1)...)
			}
			before := published(t, d, "acme")
			if err := signer.Round(t.Context()); err != nil || signer.Refused() != 1 {
				t.Fatalf("%d trails were refused, %v", signer.Refused(), err)
			}
			_, err := signer.Sign(t.Context(), "acme")
			var refusal *proof.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, c.reason) {
				t.Fatalf("%v doesn't say %q", err, c.reason)
			}
			if after := published(t, d, "acme"); len(after) != len(before) {
				t.Fatal("and was signed all the same")
			}
		})
	}
}

// The first signature has nothing before it to hold the trail against but its own tiles.
func TestAFirstSignatureHoldsTheHeadAgainstItsTiles(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	mustAppend(t, testkit.NewStore(t, d), "acme", plain(t, "e", 300)...)
	mustExec(t, testkit.Connect(t, d.SuperuserURL), "UPDATE heads SET root = sha256('x')")
	signer := newSigner(t, d, signingKeys(t, newKey(t)), nil)
	var refusal *proof.Refusal
	if _, err := signer.Sign(t.Context(), "acme"); !errors.As(err, &refusal) {
		t.Fatal(err)
	}
}

func TestKeysRotateWithBothLinesForATime(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	old, fresh := newKey(t), newKey(t)
	both := signingKeys(t, fresh, old)
	after, err := proof.NewSigningKeys(origins, []crypto.Signer{fresh}, []ed25519.PublicKey{old.Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, store, "acme", plain(t, "e", 3)...)
	for i, c := range []struct {
		keys  *proof.SigningKeys
		lines int
	}{{signingKeys(t, old), 1}, {both, 2}, {both, 2}, {after, 2}} {
		checkpoint, err := newSigner(t, d, c.keys, nil).Sign(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(checkpoint.Note, "\n— "); got != c.lines || checkpoint.Size != 3 {
			t.Fatalf("step %d: %d lines at size %d, want %d:\n%s", i, got, checkpoint.Size, c.lines, checkpoint.Note)
		}
		opened(t, signingKeys(t, []crypto.Signer{old, fresh, fresh, fresh}[i]), "acme", checkpoint.Note)
	}
	mustAppend(t, store, "acme", plain(t, "f", 3)...)
	checkpoint, err := newSigner(t, d, after, nil).Sign(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	opened(t, signingKeys(t, fresh), "acme", checkpoint.Note)
	checkHistory(t, store, after, "acme", published(t, d, "acme"))
	if _, err := newSigner(t, d, signingKeys(t, old), nil).Sign(t.Context(), "acme"); err == nil {
		t.Fatal("a signer that doesn't know the key of the newest checkpoint went on")
	}
}

// What a bundle gives is exactly what completes the tree around its entries.
func TestABundleCompletesTheTreeAroundItsEntries(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store, keys := testkit.NewStore(t, d), signingKeys(t, newKey(t))
	prover := proof.NewProver(store, keys, newSigner(t, d, keys, nil))
	for batch := range 3 {
		mustAppend(t, store, "acme", plain(t, fmt.Sprint("b", batch), 700)...)
	}
	checkpoint, err := prover.Covering(t.Context(), "acme", 2099)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []int64{1, 7, 300, 2099} {
		var positions []int64
		for p := int64(2099); p >= 0; p -= step {
			positions = append(positions, p)
		}
		var salts, others, hashes [][]byte
		keep := func(to *[][]byte) func([]byte) error {
			return func(b []byte) error { *to = append(*to, bytes.Clone(b)); return nil }
		}
		if err := prover.Bundle(t.Context(), "acme", checkpoint, positions, keep(&salts), keep(&others)); err != nil {
			t.Fatal(err)
		}
		rows, err := rowsOf(t.Context(), store, "acme", positions)
		if err != nil {
			t.Fatal(err)
		}
		ascending := make([]int64, len(rows))
		hashes = make([][]byte, len(rows))
		for i, row := range rows {
			leaf, err := audit.Leaf("acme", row.CreatedAt, row.Text, salts[i])
			if err != nil {
				t.Fatal(err)
			}
			ascending[len(rows)-1-i], hashes[len(rows)-1-i] = row.Position, merkle.LeafHash(leaf)
		}
		root, err := merkle.RootOf(checkpoint.Size, ascending, hashes, others)
		if err != nil || !bytes.Equal(root, checkpoint.Root) {
			t.Fatalf("every %d: %v", step, err)
		}
	}
}

func TestTilesAreThoseOfTheSignedTree(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store, keys := testkit.NewStore(t, d), signingKeys(t, newKey(t))
	prover := proof.NewProver(store, keys, newSigner(t, d, keys, nil))
	mustAppend(t, store, "acme", plain(t, "a", 600)...)
	if _, err := prover.Checkpoint(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		level        int
		index, width int64
		found        bool
	}{{0, 0, 256, true}, {0, 1, 256, true}, {0, 2, 88, true}, {0, 2, 40, true}, {0, 2, 89, false}, {0, 3, 1, false}, {1, 0, 2, true}, {1, 0, 3, false}, {2, 0, 1, false}} {
		tile, err := prover.Tile(t.Context(), "acme", merkle.TileID{Level: c.level, Index: c.index}, c.width)
		if found := err == nil; found != c.found || found && int64(len(tile)) != c.width*merkle.HashSize {
			t.Errorf("%+v: %d bytes, %v", c, len(tile), err)
		}
	}
	leaves, err := prover.Leaves(t.Context(), "acme", 2, 88)
	if err != nil {
		t.Fatal(err)
	}
	tile, err := prover.Tile(t.Context(), "acme", merkle.TileID{Index: 2}, 88)
	if err != nil {
		t.Fatal(err)
	}
	for i, leaf := range leaves {
		if hash := merkle.LeafHash(leaf); !bytes.Equal(hash, tile[i*merkle.HashSize:(i+1)*merkle.HashSize]) {
			t.Fatal("leaf " + strconv.Itoa(i) + " is another")
		}
	}
}
