package postgres_test

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// admit fills in what an entry can't be without, and admits it.
func admit(t testing.TB, d audit.Draft) audit.Admitted {
	t.Helper()
	d.Action = cmp.Or(d.Action, "server.created")
	d.ResourceType = cmp.Or(d.ResourceType, "server")
	entry, err := audit.Admit(d, "")
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

// plain are n entries with ids made of a prefix and a number.
func plain(t testing.TB, prefix string, n int) []audit.Admitted {
	t.Helper()
	entries := make([]audit.Admitted, n)
	for i := range entries {
		entries[i] = admit(t, audit.Draft{ID: fmt.Sprintf("%s-%d", prefix, i)})
	}
	return entries
}

// incompressible is a random text, so that PostgreSQL can't make it smaller.
func incompressible(n int) string {
	random := make([]byte, n)
	rand.Read(random)
	return base64.RawURLEncoding.EncodeToString(random)[:n]
}

func submission(organization string, entries ...audit.Admitted) audit.Submission {
	return audit.Submission{Organization: organization, RecordedBy: "ada", Entries: entries}
}

func mustAppend(t testing.TB, store *postgres.Store, organization string, entries ...audit.Admitted) []audit.Receipt {
	t.Helper()
	receipts, err := store.Append(t.Context(), submission(organization, entries...))
	if err != nil {
		t.Fatal(err)
	}
	return receipts
}

func openStore(t testing.TB, o postgres.Options) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

func mustExec(t testing.TB, conn *pgx.Conn, statement string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// scan reads the one row of a query.
func scan[T any](t testing.TB, conn *pgx.Conn, query string, args ...any) (value T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// outcome is what became of an append in the background.
type outcome struct {
	receipts []audit.Receipt
	err      error
}

func appending(t testing.TB, store *postgres.Store, s audit.Submission) <-chan outcome {
	t.Helper()
	done := make(chan outcome, 1)
	go func() {
		receipts, err := store.Append(t.Context(), s)
		done <- outcome{receipts, err}
	}()
	return done
}

// stall locks the trail's head and gives its writer a request to wait with, so that all
// that is appended until release becomes one group.
func stall(t testing.TB, d testkit.Database, store *postgres.Store, organization string) (release func()) {
	t.Helper()
	mustAppend(t, store, organization, admit(t, audit.Draft{}))
	other := testkit.Connect(t, d.SuperuserURL)
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM heads WHERE organization = $1 FOR UPDATE", organization); err != nil {
		t.Fatal(err)
	}
	plug := appending(t, store, submission(organization, admit(t, audit.Draft{})))
	conn := testkit.Connect(t, d.SuperuserURL)
	testkit.Eventually(t, "a writer waits for the head", func() bool {
		return scan[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'ocore-audit append' AND wait_event_type = 'Lock')`)
	})
	return func() {
		t.Helper()
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if o := <-plug; o.err != nil {
			t.Fatal(o.err)
		}
	}
}

// storedRow is an entry as PostgreSQL holds it, read past the store.
type storedRow struct {
	Position     int64
	CreatedAt    time.Time
	Action       string
	ResourceType *string
	ResourceID   *string
	UserID       *string
	Entry        []byte
	Salts        []byte
	LeafHash     []byte
}

// checkTrail holds everything that is stored of a trail against everything else, and its
// tree against another implementation. It returns the entries by their ids.
func checkTrail(t testing.TB, d testkit.Database, organization string) map[string]audit.Row {
	t.Helper()
	conn := testkit.Connect(t, d.SuperuserURL)
	result, err := conn.Query(t.Context(), `SELECT position, created_at, action, resource_type, resource_id, user_id, entry, salts, leaf_hash
		FROM entries WHERE organization = $1 ORDER BY position`, organization)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := pgx.CollectRows(result, pgx.RowToStructByPos[storedRow])
	if err != nil {
		t.Fatal(err)
	}
	byID := make(map[string]audit.Row, len(rows))
	tree := make(hashes, 0, 2*len(rows))
	var last time.Time
	for i, row := range rows {
		if row.Position != int64(i) {
			t.Fatalf("%s: position %d stands where %d should", organization, row.Position, i)
		}
		if row.CreatedAt.Before(last) {
			t.Fatalf("%s: position %d is of %s, after one of %s", organization, i, row.CreatedAt, last)
		}
		last = row.CreatedAt
		byID[row.checkColumns(t)] = audit.Row{Position: row.Position, CreatedAt: row.CreatedAt, Text: row.Entry}
		leaf, err := audit.Leaf(organization, row.CreatedAt, row.Entry, row.Salts)
		if err != nil {
			t.Fatal(err)
		}
		if want := tlog.RecordHash(leaf); !bytes.Equal(row.LeafHash, want[:]) {
			t.Fatalf("%s: position %d has leaf hash %x, want %s", organization, i, row.LeafHash, want)
		}
		added, err := tlog.StoredHashes(int64(i), leaf, tree)
		if err != nil {
			t.Fatal(err)
		}
		tree = append(tree, added...)
	}
	if len(byID) != len(rows) {
		t.Fatalf("%s: %d entries have %d ids", organization, len(rows), len(byID))
	}
	checkIDs(t, conn, organization, byID)
	checkHead(t, conn, organization, int64(len(rows)), last, tree)
	checkTiles(t, conn, organization, int64(len(rows)), tree)
	return byID
}

// checkColumns holds the columns against the text that they repeat.
func (r storedRow) checkColumns(t testing.TB) (id string) {
	t.Helper()
	var text struct{ ID, Action, ResourceType, ResourceID, UserID string }
	if err := json.Unmarshal(r.Entry, &text); err != nil {
		t.Fatal(err)
	}
	value := func(column *string) string {
		if column == nil {
			return ""
		}
		return *column
	}
	got := [...]string{r.Action, value(r.ResourceType), value(r.ResourceID), value(r.UserID)}
	if want := [...]string{text.Action, text.ResourceType, text.ResourceID, text.UserID}; got != want {
		t.Fatalf("position %d: columns %q of the entry %q", r.Position, got, want)
	}
	return text.ID
}

func checkIDs(t testing.TB, conn *pgx.Conn, organization string, byID map[string]audit.Row) {
	t.Helper()
	result, err := conn.Query(t.Context(), "SELECT id, position FROM entry_ids WHERE organization = $1", organization)
	if err != nil {
		t.Fatal(err)
	}
	var id string
	var position int64
	known := 0
	_, err = pgx.ForEachRow(result, []any{&id, &position}, func() error {
		known++
		if row, stored := byID[id]; !stored || row.Position != position {
			return fmt.Errorf("%s: id %q is known at position %d, and is the entry's at %v", organization, id, position, row.Position)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if known != len(byID) {
		t.Fatalf("%s: %d ids are known of %d entries", organization, known, len(byID))
	}
}

func checkHead(t testing.TB, conn *pgx.Conn, organization string, size int64, last time.Time, tree hashes) {
	t.Helper()
	var head struct {
		size           int64
		last           time.Time
		frontier, root []byte
	}
	err := conn.QueryRow(t.Context(), "SELECT size, last_created_at, frontier, root FROM heads WHERE organization = $1", organization).
		Scan(&head.size, &head.last, &head.frontier, &head.root)
	if err != nil {
		t.Fatalf("head of %s: %v", organization, err)
	}
	root := tlog.Hash(sha256.Sum256(nil))
	if size > 0 {
		if root, err = tlog.TreeHash(size, tree); err != nil {
			t.Fatal(err)
		}
	}
	if head.size != size || !head.last.Equal(last) || !bytes.Equal(head.root, root[:]) || !bytes.Equal(head.frontier, tree.frontier(size)) {
		t.Fatalf("head of %s: got %+v, want size %d, last %s, root %s, frontier %x", organization, head, size, last, root, tree.frontier(size))
	}
}

func checkTiles(t testing.TB, conn *pgx.Conn, organization string, size int64, tree hashes) {
	t.Helper()
	type tile struct {
		Level        int
		Index        int64
		Hashes, Root []byte
	}
	result, err := conn.Query(t.Context(), "SELECT level, index, hashes, root FROM tiles WHERE organization = $1 ORDER BY level, index", organization)
	if err != nil {
		t.Fatal(err)
	}
	tiles, err := pgx.CollectRows(result, pgx.RowToStructByPos[tile])
	if err != nil {
		t.Fatal(err)
	}
	for level := 0; size>>(8*level+8) > 0; level++ {
		for index := range size >> (8*level + 8) {
			if len(tiles) == 0 || tiles[0].Level != level || tiles[0].Index != index {
				t.Fatalf("%s: tile %d of level %d is not stored", organization, index, level)
			}
			var want []byte
			for i := range int64(256) {
				want = append(want, tree.at(8*level, index*256+i)...)
			}
			if !bytes.Equal(tiles[0].Hashes, want) || !bytes.Equal(tiles[0].Root, tree.at(8*level+8, index)) {
				t.Fatalf("%s: tile %d of level %d is another tree's", organization, index, level)
			}
			tiles = tiles[1:]
		}
	}
	if len(tiles) > 0 {
		t.Fatalf("%s: tile %d of level %d is stored before it is full", organization, tiles[0].Index, tiles[0].Level)
	}
}

// hashes is a tree as the Go checksum database keeps it.
type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = h[index]
	}
	return found, nil
}

func (h hashes) at(level int, index int64) []byte { return h[tlog.StoredHashIndex(level, index)][:] }

// frontier is the roots of the perfect subtrees from the left.
func (h hashes) frontier(size int64) []byte {
	joined := []byte{}
	for level, done := 62, int64(0); level >= 0; level-- {
		if size&(1<<level) != 0 {
			joined = append(joined, h.at(level, done>>level)...)
			done += 1 << level
		}
	}
	return joined
}
