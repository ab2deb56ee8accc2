package postgres_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/proof"
	"ocore.dev/audit/internal/testkit"
)

// relay stands between the service and PostgreSQL. Connections of before its silence stay,
// acknowledge everything, and no answer comes over them any more.
type relay struct {
	listener net.Listener
	target   string
	silenced atomic.Int64 // connections up to this number
	accepted atomic.Int64
}

// through starts a relay, and returns the URL that leads through it.
func through(t *testing.T, r *relay, database string) string {
	t.Helper()
	parsed, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	if r.listener == nil {
		r.target = parsed.Host
		if r.listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.listener.Close() })
		go r.accept(context.WithoutCancel(t.Context()))
	}
	parsed.Host = r.listener.Addr().String()
	return parsed.String()
}

func (r *relay) accept(ctx context.Context) {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		go r.serve(ctx, client, r.accepted.Add(1))
	}
}

func (r *relay) serve(ctx context.Context, client net.Conn, number int64) {
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.target)
	if err != nil {
		_ = client.Close()
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(server, client) // until a side ends it
		_ = server.Close()
	})
	both.Go(func() {
		_, _ = io.Copy(answering{r, client, number}, server)
		_ = client.Close()
	})
	both.Wait()
}

func (r *relay) silence() { r.silenced.Store(r.accepted.Load()) }

// answering is the way back of one connection.
type answering struct {
	relay  *relay
	client net.Conn
	number int64
}

func (a answering) Write(text []byte) (int, error) {
	if a.number <= a.relay.silenced.Load() {
		return len(text), nil
	}
	return a.client.Write(text)
}

// An answer that vanished while its connection stays is noticed by nothing but time-outs. What
// it held must be free again soon: the writer, the trail's lock, the look at the head that all
// readers share, the only connection of the readiness probe, the signer.
func TestLostAnswersHoldNothingForLong(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	var r relay
	store := openStore(t, postgres.Options{URL: through(t, &r, d.ServingURL)})
	worker, err := postgres.OpenWorker(t.Context(), postgres.WorkerOptions{URL: through(t, &r, d.WorkerURL)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(worker.Close)
	signer := proof.NewSigner(worker, signingKeys(t, newKey(t)), nil, slog.New(slog.DiscardHandler))
	recorded := 0
	work := map[string]func(context.Context) error{
		"append": func(ctx context.Context) error {
			recorded++
			_, err := store.Append(ctx, submission("acme", plain(t, "again", recorded)...))
			return err
		},
		"size": func(ctx context.Context) error { _, err := store.Size(ctx, "acme"); return err },
		"ready": func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // as /readyz does
			defer cancel()
			return store.Ready(ctx)
		},
		"sign": func(ctx context.Context) error { _, err := signer.Sign(ctx, "acme"); return err },
	}
	mustAppend(t, store, "acme", admit(t, audit.Draft{}))
	for what, do := range work {
		if err := do(t.Context()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	r.silence()
	var all sync.WaitGroup
	for what, do := range work {
		all.Go(func() {
			if do(t.Context()) == nil {
				t.Errorf("%s: its answer wasn't lost: the test shows nothing", what)
			}
			testkit.Eventually(t, what, func() bool { return do(t.Context()) == nil })
		})
	}
	all.Wait()
}

// A host that has gone can't end its connections: PostgreSQL must notice by itself, and has no
// time-out for a session in the midst of statements that were sent together.
func TestPostgreSQLNoticesHostsThatAreGone(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	for setting, want := range map[string]string{
		"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3", "tcp_user_timeout": "11000",
	} {
		var got string
		err := store.Reads().QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got)
		if err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", setting, got, err, want)
		}
	}
}
