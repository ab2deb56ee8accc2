package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

// ledger remembers what was acknowledged, and what was refused, by all writers.
type ledger struct {
	mu      sync.Mutex
	stored  map[[2]string]audit.Row // by organization and id
	refused map[[2]string]bool      // ids that were sent in refused requests alone
}

func newLedger() *ledger {
	return &ledger{stored: map[[2]string]audit.Row{}, refused: map[[2]string]bool{}}
}

// acknowledge notes the receipts; all of one id must be of one entry, and have what was sent.
func (l *ledger) acknowledge(s audit.Submission, receipts []audit.Receipt) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(receipts) != len(s.Entries) {
		return fmt.Errorf("%d receipts for %d entries", len(receipts), len(s.Entries))
	}
	for i, r := range receipts {
		key := [2]string{s.Organization, r.ID}
		if r.ID != s.Entries[i].ID || !s.Entries[i].SameAs(r.Row) {
			return fmt.Errorf("the receipt %+v is not of %s", r, s.Entries[i].Content)
		}
		if before, again := l.stored[key]; again && !sameRow(before, r.Row) {
			return fmt.Errorf("%v is acknowledged as %+v and as %+v", key, before, r.Row)
		}
		l.stored[key] = r.Row
	}
	return nil
}

func (l *ledger) refuse(organization, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[[2]string{organization, id}] = true
}

// check holds the trails against the ledger: nothing lost, doubled, changed or invented.
func (l *ledger) check(t *testing.T, d testkit.Database, organizations ...string) {
	t.Helper()
	total := 0
	for _, organization := range organizations {
		stored := checkTrail(t, d, organization)
		total += len(stored)
		for id, row := range stored {
			key := [2]string{organization, id}
			if want, acknowledged := l.stored[key]; !acknowledged || !sameRow(row, want) {
				t.Fatalf("%v is stored as %+v, acknowledged (%v) as %+v; refused: %v", key, row, acknowledged, want, l.refused[key])
			}
		}
	}
	if total != len(l.stored) {
		t.Fatalf("%d entries are stored of %d acknowledged", total, len(l.stored))
	}
	t.Logf("%d entries, %d ids refused", total, len(l.refused))
}

func TestStoresOnOneDatabaseKeepTrailsWhole(t *testing.T) {
	t.Parallel()
	for _, stores := range []int{2, 3} {
		t.Run(fmt.Sprint(stores), func(t *testing.T) {
			t.Parallel()
			d := testkit.NewDatabase(t)
			organizations := []string{"acme", "globex", "initech", "umbrella"}
			book := newLedger()
			var writers sync.WaitGroup
			for i := range stores {
				// The fewer writers, the more organizations in one transaction; whatever
				// the instances do to each other, no group may fail.
				store := openStore(t, postgres.Options{URL: d.ServingURL, Writers: 1 << i, Log: slog.New(slog.NewTextHandler(failing{t}, nil))})
				for j := range 8 {
					writers.Go(func() { writeBatches(t, store, fmt.Sprint(i, "-", j), organizations, book) })
				}
			}
			writers.Wait()
			book.check(t, d, organizations...)
		})
	}
}

// failing is a log that must stay empty.
type failing struct{ t *testing.T }

func (f failing) Write(line []byte) (int, error) {
	f.t.Errorf("logged %s", line)
	return len(line), nil
}

// writeBatches records 200 batches. Some of their ids are everybody's, with one of two
// contents, so that writers replay each other's entries or are in conflict with them.
func writeBatches(t *testing.T, store *postgres.Store, writer string, organizations []string, book *ledger) {
	random := rand.New(rand.NewPCG(1, uint64(len(writer))+uint64(writer[0])<<8+uint64(writer[2])<<16))
	for i := range 200 {
		organization := organizations[random.IntN(len(organizations))]
		size := 1 + random.IntN(8)
		if random.IntN(40) == 0 {
			size = 100
		}
		var entries []audit.Admitted
		var own []string
		for j := range size {
			id := fmt.Sprintf("%s-%d-%d", writer, i, j)
			entries = append(entries, admit(t, audit.Draft{ID: id, UserID: writer}))
			own = append(own, id)
		}
		if random.IntN(3) == 0 {
			id := fmt.Sprint("shared-", i/4*4+random.IntN(4))
			entries[random.IntN(size)] = admit(t, audit.Draft{ID: id, ResourceID: fmt.Sprint(random.IntN(8) / 7)})
		}
		s := submission(organization, entries...)
		receipts, err := store.Append(t.Context(), s)
		if errors.Is(err, audit.ErrConflict) {
			for _, id := range own {
				book.refuse(organization, id)
			}
			continue
		}
		if err == nil {
			err = book.acknowledge(s, receipts)
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
}

func TestBackendsKilledUnderLoadLoseDoubleAndInventNothing(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	organizations := []string{"acme", "globex", "initech"}
	book := newLedger()
	var writers, killer sync.WaitGroup
	ctx, done := context.WithCancel(t.Context())
	var kills int
	killer.Go(func() { kills = killBackends(ctx, t, d) })
	until := time.Now().Add(3 * time.Second)
	var lost sync.Map
	for i := range 2 {
		store := testkit.NewStore(t, d)
		for j := range 16 {
			writers.Go(func() {
				for k := 0; time.Now().Before(until); k++ {
					prefix := fmt.Sprintf("%d-%d-%d", i, j, k)
					s := submission(organizations[(j+k)%3], plain(t, prefix, 1+k%5)...)
					receipts, err := store.Append(t.Context(), s)
					for errors.Is(err, audit.ErrUnavailable) {
						lost.Store(prefix, true)
						time.Sleep(10 * time.Millisecond)
						receipts, err = store.Append(t.Context(), s)
					}
					if err == nil {
						err = book.acknowledge(s, receipts)
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	writers.Wait()
	done()
	killer.Wait()
	retried := 0
	lost.Range(func(any, any) bool { retried++; return true })
	t.Logf("%d kills, %d requests were told to try again", kills, retried)
	if kills < 30 {
		t.Errorf("only %d kills", kills)
	}
	book.check(t, d, organizations...)
}

// killBackends ends random appending connections every few milliseconds, and now and then
// all of them, with none let in again for a moment.
func killBackends(ctx context.Context, t *testing.T, d testkit.Database) (kills int) {
	conn, err := pgx.Connect(ctx, d.SuperuserURL)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer conn.Close(context.WithoutCancel(ctx))
	kill := func(share float64) {
		tag, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'ocore-audit append' AND random() < $1`, share)
		if err != nil {
			t.Error(err)
		}
		kills += int(tag.RowsAffected())
	}
	limit := func(connections int) {
		if _, err := conn.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %s CONNECTION LIMIT %d", d.Name, connections)); err != nil {
			t.Error(err)
		}
	}
	for i := 1; ctx.Err() == nil; i++ {
		if i%50 != 0 {
			kill(0.3)
			time.Sleep(rand.N(30 * time.Millisecond))
			continue
		}
		limit(0)
		kill(1)
		time.Sleep(100 * time.Millisecond)
		limit(-1)
	}
	return kills
}

func TestReadsRecoverFromLostConnections(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	receipt := mustAppend(t, store, "acme", admit(t, audit.Draft{}))[0]
	read := func() error {
		_, err := store.Entry(t.Context(), "acme", receipt.ID)
		return err
	}
	var readers sync.WaitGroup
	for range 32 {
		readers.Go(func() {
			if err := read(); err != nil {
				t.Error(err)
			}
		})
	}
	readers.Wait()
	conn := testkit.Connect(t, d.SuperuserURL)
	mustExec(t, conn, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ocore-audit read'")
	failed := 0
	for range 100 {
		if err := read(); errors.Is(err, audit.ErrUnavailable) {
			failed++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if t.Logf("%d reads failed", failed); failed > 8 {
		t.Error("more reads failed than connections were lost")
	}
	if err := read(); err != nil {
		t.Error(err)
	}
}
