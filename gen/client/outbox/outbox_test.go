package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"ocore.dev/audit/gen/client/outbox"
	"ocore.dev/audit/gen/client/trail"
	"ocore.dev/audit/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var ada = testkit.Member("acme")

// application is a program with a database of its own.
type application struct {
	pool   *pgxpool.Pool
	url    string
	client *trail.Client
}

func newApplication(t *testing.T) application {
	t.Helper()
	s, d := testkit.NewService(t), testkit.NewDatabase(t)
	client, err := trail.New(s.URL, trail.WithToken(testkit.Token(t, ada)), trail.WithHTTPClient(s.HTTP), trail.WithBackOff(time.Millisecond, time.Second))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), d.OwnerURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	for range 2 {
		if _, err := pool.Exec(t.Context(), outbox.Schema+"; CREATE TABLE IF NOT EXISTS servers (id text)"); err != nil {
			t.Fatal(err)
		}
	}
	return application{pool, d.OwnerURL, client}
}

func (a application) stored(t *testing.T) []string {
	t.Helper()
	var ids []string
	for entry, err := range a.client.Walk(t.Context(), trail.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, entry.ID)
	}
	slices.Reverse(ids)
	return ids
}

func (a application) count(t *testing.T, what string) (n int) {
	t.Helper()
	if err := a.pool.QueryRow(t.Context(), "SELECT count(*) FROM "+what).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func made(id string) trail.Entry {
	return trail.Entry{ID: id, Action: "server.created", ResourceType: "server", ResourceID: id}
}

var errAborted = errors.New("aborted")

// change makes a server and tells of it, or neither.
func (a application) change(ctx context.Context, id string, commit bool) error {
	return pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO servers VALUES ($1)", id); err != nil {
			return err
		}
		if _, err := outbox.Record(ctx, tx, made(id)); err != nil {
			return err
		}
		if !commit {
			return errAborted
		}
		return nil
	})
}

func TestAnEntryIsSentIfItsTransactionIsCommitted(t *testing.T) {
	t.Parallel()
	a := newApplication(t)
	var want []string
	for i := range 2500 {
		id := fmt.Sprint("server-", i)
		commit := i%3 > 0
		if err := a.change(t.Context(), id, commit); err != nil && !errors.Is(err, errAborted) {
			t.Fatal(err)
		}
		if commit {
			want = append(want, id)
		}
	}
	relay := &outbox.Relay{Database: a.pool, Client: a.client}
	for _, expected := range []int{1000, len(want) - 1000, 0} {
		if sent, err := relay.Send(t.Context()); err != nil || sent != expected {
			t.Fatalf("%d were sent, want %d: %v", sent, expected, err)
		}
	}
	if got := a.stored(t); !slices.Equal(got, want) {
		t.Fatalf("%d are stored in some order, %d were committed", len(got), len(want))
	}
}

func TestWhatIsRefusedStaysForPeople(t *testing.T) {
	t.Parallel()
	a := newApplication(t)
	for _, e := range []trail.Entry{made("a"), {ID: "b", Action: "", ResourceType: "server"}, made("c")} {
		if err := pgx.BeginFunc(t.Context(), a.pool, func(tx pgx.Tx) error { _, err := outbox.Record(t.Context(), tx, e); return err }); err != nil {
			t.Fatal(err)
		}
	}
	relay := &outbox.Relay{Database: a.pool, Client: a.client}
	if sent, err := relay.Send(t.Context()); err != nil || sent != 3 {
		t.Fatal(sent, err)
	}
	if got := a.stored(t); !slices.Equal(got, []string{"a", "c"}) {
		t.Error(got)
	}
	if n := a.count(t, "audit_outbox WHERE refused LIKE '%/items/0/action%' AND entry LIKE '%\"b\"%'"); n != 1 || a.count(t, "audit_outbox") != 1 {
		t.Errorf("%d refused, %d left", n, a.count(t, "audit_outbox"))
	}
	if sent, err := relay.Send(t.Context()); err != nil || sent != 0 {
		t.Error("sent again what was refused:", sent, err)
	}
}

// Relays whose connections are killed at any moment, and writers beside them: what was
// committed is stored, once, and nothing else.
func TestRelaysThatAreKilledLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	a := newApplication(t)
	ctx, cancel := context.WithCancel(t.Context())
	var working, writing sync.WaitGroup
	for range 2 {
		pool, err := pgxpool.New(ctx, a.url+"&application_name=relay")
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		relay := &outbox.Relay{Database: pool, Client: a.client, Pause: time.Millisecond, Failed: func(err error) { t.Log("a round failed:", err) }}
		working.Go(func() { relay.Run(ctx) })
	}
	var mu sync.Mutex
	committed := map[string]bool{}
	for writer := range 4 {
		writing.Go(func() {
			for i := range 300 {
				id := fmt.Sprintf("server-%d-%d", writer, i)
				err := a.change(ctx, id, rand.IntN(5) > 0)
				if err != nil && !errors.Is(err, errAborted) {
					t.Error(err)
				}
				mu.Lock()
				committed[id] = err == nil
				mu.Unlock()
			}
		})
	}
	working.Go(func() {
		for ctx.Err() == nil {
			_, _ = a.pool.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'relay' AND datname = current_database()")
			time.Sleep(time.Duration(5+rand.IntN(40)) * time.Millisecond)
		}
	})
	writing.Wait()
	cancel()
	working.Wait()
	// The server may not know yet that a killed relay is gone, and lock its entries till then.
	last := &outbox.Relay{Database: a.pool, Client: a.client}
	testkit.Eventually(t, "every entry leaves the outbox", func() bool {
		if _, err := last.Send(t.Context()); err != nil {
			t.Fatal(err)
		}
		return a.count(t, "audit_outbox") == 0
	})
	seen := map[string]bool{}
	for _, id := range a.stored(t) {
		if seen[id] || !committed[id] {
			t.Fatalf("%s: stored twice: %v, committed: %v", id, seen[id], committed[id])
		}
		seen[id] = true
	}
	for id, is := range committed {
		if is && !seen[id] {
			t.Fatalf("%s was committed and isn't stored", id)
		}
	}
	if servers := a.count(t, "servers"); servers != len(seen) {
		t.Fatalf("%d servers, %d entries", servers, len(seen))
	}
}
