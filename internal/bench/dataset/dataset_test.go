package dataset

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
	"ocore.dev/audit/internal/postgres"
)

func open(t *testing.T, dir string) *Dataset {
	t.Helper()
	d, err := Open(t.Context(), Options{Dir: dir, Entries: 10_000, Seed: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// What was loaded must be what the service would have stored: it reads it, goes on from
// it, and every hash is right.
func TestALoadedTrailIsAsTheServiceStoresIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for at := dir; at != os.TempDir() && len(at) > 1; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil { // as root, PostgreSQL runs as another user
			t.Fatal(err)
		}
	}
	d := open(t, dir)
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, database := range []Database{d.Whole, d.Tenth} {
		conn, err := pgx.Connect(t.Context(), database.SuperuserURL())
		if err != nil {
			t.Fatal(err)
		}
		var entries, naive, ids, found, heads int
		err = conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM naive.audit_logs), (SELECT count(*) FROM entry_ids),
			(SELECT count(*) FROM admin_search), (SELECT sum(size) FROM heads)`).Scan(&entries, &naive, &ids, &found, &heads)
		if err != nil {
			t.Fatal(err)
		}
		if want := database.Entries; naive != want || found != want/10 || entries != want+want/10 || ids != entries || heads != entries {
			t.Errorf("%s: %d entries, %d naive, %d ids, %d searchable, %d by the heads", database.Name, entries, naive, ids, found, heads)
		}
		checkTree(t, conn, Middle(1))
		checkTree(t, conn, audit.AdminOrganization)
		conn.Close(t.Context())
	}
	appendOne(t, d.Tenth)
}

// checkTree hashes every entry of a trail again and compares with head and tiles.
func checkTree(t *testing.T, conn *pgx.Conn, organization string) {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT position, created_at, entry, salts, leaf_hash FROM entries WHERE organization = $1 ORDER BY position", organization)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := merkle.Open(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	var position int64
	var at, before time.Time
	var entry string
	var salts, stored []byte
	_, err = pgx.ForEachRow(rows, []any{&position, &at, &entry, &salts, &stored}, func() error {
		leaf, err := audit.Leaf(organization, at, []byte(entry), salts)
		if err != nil {
			return err
		}
		if hash := merkle.LeafHash(leaf); !bytes.Equal(hash, stored) || position != tree.Size() || at.Before(before) {
			t.Fatalf("entry %d of %s at %s (after %s) has another leaf, place or time", position, organization, at, before)
		}
		before = at
		return tree.Append(stored)
	})
	if err != nil {
		t.Fatal(err)
	}
	root, err := tree.Root()
	if err != nil {
		t.Fatal(err)
	}
	var size, tiles int64
	var head []byte
	err = conn.QueryRow(t.Context(), `SELECT size, root, (SELECT count(*) FROM tiles t WHERE t.organization = h.organization)
		FROM heads h WHERE organization = $1`, organization).Scan(&size, &head, &tiles)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(len(merkle.FinishedTiles(0, size))); !bytes.Equal(head, root) || size != tree.Size() || tiles != want {
		t.Errorf("%s: the head has size %d and root %x, its entries %d and %x; %d of %d tiles", organization, size, head, tree.Size(), root, tiles, want)
	}
}

// appendOne lets the store go on from what was loaded, over a tile's end.
func appendOne(t *testing.T, database Database) {
	t.Helper()
	store, err := postgres.Open(t.Context(), postgres.Options{URL: database.ServingURL()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.CheckServing(t.Context()); err != nil {
		t.Error(err)
	}
	service := audit.NewService(store)
	list, err := service.List(t.Context(), Middle(1), audit.Filter{}, audit.PageRequest{PerPage: 1}, func(audit.Row) {})
	if err != nil || list.Total != int64(database.Entries/20) {
		t.Fatal(list.Total, err)
	}
	drafts := make([]audit.Draft, 300)
	for i := range drafts {
		drafts[i] = audit.Draft{Action: "server.created", ResourceType: "server"}
	}
	receipts, err := service.Record(t.Context(), Middle(1), audit.Principal{Subject: "test"}, drafts)
	if err != nil || receipts[0].Row.Position != list.Total {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), database.SuperuserURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	checkTree(t, conn, Middle(1))
}
