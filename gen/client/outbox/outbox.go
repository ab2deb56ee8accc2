// Package outbox records audit entries within an application's own PostgreSQL transaction:
// the entry is written to a table beside the change that it tells of, so that both happen or
// neither does, and a [Relay] sends it once that is committed. What was committed is stored by
// the service at least once by attempt, and once by id.
//
//	tx, err := pool.Begin(ctx)
//	…
//	_, err = tx.Exec(ctx, "UPDATE servers SET …")
//	_, err = outbox.Record(ctx, tx, trail.Entry{Action: "server.updated", …})
//	err = tx.Commit(ctx)
//
// Apply [Schema] with your own migrations, and run a Relay in one or several of your
// processes. The order of entries is that of their writing, but for transactions that run
// beside each other.
package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"ocore.dev/audit/gen/client/trail"
)

// Schema makes the table. It may be applied again.
const Schema = `
CREATE TABLE IF NOT EXISTS audit_outbox (
  number   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  entry    text        NOT NULL, -- as it will be sent: with its id
  added_at timestamptz NOT NULL DEFAULT now(),
  refused  text                  -- why the service will never take it; for people to mend
);
CREATE INDEX IF NOT EXISTS audit_outbox_waiting_idx ON audit_outbox (number) WHERE refused IS NULL;`

// Execer is a transaction: [pgx.Tx], or a connection within one.
type Execer interface {
	Exec(ctx context.Context, statement string, arguments ...any) (pgconn.CommandTag, error)
}

// Record writes the entry to the outbox within the transaction, with an id and a time of its
// own if it has none, and returns the id. The entry is sent after the commit, if there is one.
func Record(ctx context.Context, tx Execer, e trail.Entry) (id string, err error) {
	if e.ID == "" {
		e.ID = trail.NewID()
	}
	if e.OccurredAt.IsZero() {
		e.OccurredAt = time.Now()
	}
	content, err := e.Encode()
	if err != nil {
		return "", fmt.Errorf("outbox: %w", err)
	}
	if _, err := tx.Exec(ctx, "INSERT INTO audit_outbox (entry) VALUES ($1)", string(content)); err != nil {
		return "", fmt.Errorf("outbox: %w", err)
	}
	return e.ID, nil
}

// Beginner begins transactions: a pool, or a connection.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Relay sends what is committed. Any number may run at once: none sends what another is at.
type Relay struct {
	Database Beginner
	Client   *trail.Client
	Pause    time.Duration // between looks at an empty outbox, and after failures; default 1 s
	// Failed is told whenever a round failed; it is tried again.
	Failed func(error)
}

// Run sends until ctx ends.
func (r *Relay) Run(ctx context.Context) {
	pause := r.Pause
	if pause == 0 {
		pause = time.Second
	}
	for ctx.Err() == nil {
		sent, err := r.Send(ctx)
		if err != nil && ctx.Err() == nil && r.Failed != nil {
			r.Failed(err)
		}
		if sent > 0 && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// atOnce is how many entries a round takes: a batch of the API.
const atOnce = 1000

// Send sends one round of waiting entries and returns how many left the outbox or were
// refused. What a round had sent when it failed is sent again by the next, under the same ids.
func (r *Relay) Send(ctx context.Context) (sent int, err error) {
	err = pgx.BeginFunc(ctx, r.Database, func(tx pgx.Tx) error {
		numbers, contents, err := waiting(ctx, tx)
		if err != nil || len(contents) == 0 {
			return err
		}
		refused := map[int64]string{}
		err = r.Client.Deliver(ctx, contents, func(i int, p *trail.Problem) error {
			refused[numbers[i]] = p.Error()
			return nil
		})
		if err != nil {
			return err
		}
		sent = len(contents)
		return settle(ctx, tx, numbers, refused)
	})
	if err != nil {
		return 0, fmt.Errorf("outbox: %w", err)
	}
	return sent, nil
}

// waiting locks what is to be sent, until the transaction ends.
func waiting(ctx context.Context, tx pgx.Tx) (numbers []int64, contents [][]byte, err error) {
	rows, err := tx.Query(ctx,
		"SELECT number, entry FROM audit_outbox WHERE refused IS NULL ORDER BY number LIMIT $1 FOR UPDATE SKIP LOCKED", atOnce)
	if err != nil {
		return nil, nil, err
	}
	var number int64
	var entry string
	_, err = pgx.ForEachRow(rows, []any{&number, &entry}, func() error {
		numbers, contents = append(numbers, number), append(contents, []byte(entry))
		return nil
	})
	return numbers, contents, err
}

// settle deletes what is stored and marks what was refused.
func settle(ctx context.Context, tx pgx.Tx, numbers []int64, refused map[int64]string) error {
	for number, why := range refused {
		if _, err := tx.Exec(ctx, "UPDATE audit_outbox SET refused = $2 WHERE number = $1", number, why); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, "DELETE FROM audit_outbox WHERE number = ANY ($1) AND refused IS NULL", numbers)
	return err
}
