package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
)

// signTimeout bounds the look for trails to sign, and each signature. Both take milliseconds:
// a signer that waits for longer waits for an answer that was lost on its way, and keeps
// every other signer from the trail.
const signTimeout = 5 * time.Second

// Unsigned lists the trails that have grown since they were signed.
func (w *Worker) Unsigned(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*signTimeout)
	defer cancel()
	organizations, err := queries.TrailsToSign(ctx, w.pool)
	return organizations, translate("look for trails to sign", err)
}

// Sign keeps every other signer from the trail while decide makes the next checkpoint of
// what the trail is and what was signed of it last (size 0: nothing), reading the tree as it
// needs. The checkpoint is published once Sign returns without an error; one of size 0 is
// none. Its Number is given here.
func (w *Worker) Sign(
	ctx context.Context, organization string,
	decide func(head audit.Head, newest audit.Checkpoint, tree merkle.Reader) (audit.Checkpoint, error),
) (err error) {
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	ctx, span := w.traces.Work(ctx, "sign a checkpoint")
	defer func() { endWork(span, err) }()
	var undecided error // not the database's fault
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		head, newest, err := lockSigning(ctx, tx, organization)
		if err != nil {
			return err
		}
		next, err := decide(head, newest, within(ctx, readTree(tx, organization, head.Size)))
		if err != nil {
			undecided = err
			return err
		}
		if next.Size == 0 {
			return nil
		}
		var p pipeline
		number := int64(0)
		if newest.Size > 0 {
			number = newest.Number + 1
		}
		exec(&p, queries.CheckpointInsert(ctx, &p, []db.CheckpointInsertParams{{
			Organization: organization, Number: number, Size: next.Size, Root: next.Root, Note: next.Note, SignedAt: next.SignedAt,
		}}).Exec)
		exec(&p, queries.SigningAdvance(ctx, &p, []db.SigningAdvanceParams{{Organization: organization, Size: next.Size}}).Exec)
		return p.run(ctx, tx)
	})
	if undecided != nil {
		return undecided
	}
	return translate("sign "+organization, err)
}

// within gives a reader the bound of ctx, beside that of each call.
func within(ctx context.Context, read merkle.Reader) merkle.Reader {
	end, _ := ctx.Deadline()
	return func(ctx context.Context, spans []merkle.Span) ([][]byte, error) {
		ctx, cancel := context.WithDeadline(ctx, end)
		defer cancel()
		return read(ctx, spans)
	}
}

func lockSigning(ctx context.Context, tx pgx.Tx, organization string) (audit.Head, audit.Checkpoint, error) {
	var lock, p pipeline
	lock.in(ctx, organization)
	exec(&lock, queries.SigningEnsure(ctx, &lock, []string{organization}).Exec)
	one(&lock, queries.SigningLock(ctx, &lock, []string{organization}).QueryRow)
	if err := lock.run(ctx, tx); err != nil {
		return audit.Head{}, audit.Checkpoint{}, err
	}
	// Statements of their own after the lock: they see what the last holder published.
	newest := many(&p, queries.CheckpointNewest(ctx, &p, []string{organization}).Query)
	heads := many(&p, queries.HeadState(ctx, &p, []string{organization}).Query)
	if err := p.run(ctx, tx); err != nil {
		return audit.Head{}, audit.Checkpoint{}, err
	}
	checkpoint := checkpointOf(*newest)
	if len(*heads) == 0 {
		return audit.Head{}, checkpoint, nil
	}
	h := (*heads)[0]
	return audit.Head{Size: h.Size, Root: h.Root, Now: h.Now.UTC()}, checkpoint, nil
}
