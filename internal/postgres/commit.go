package postgres

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// commitTimeout bounds a transaction, whatever its callers' patience: past it they are
// told that the outcome is unknown.
const commitTimeout = 20 * time.Second

// maxTries bounds how often a request is tried against passing faults such as a lost
// connection or a deadlock with another instance. Trying again is safe: the ids are
// already given, so what an attempt committed unseen is found as known.
const maxTries = 3

// committer commits groups of requests.
type committer struct {
	pool  *pgxpool.Pool
	log   *slog.Logger
	heads knownHeads
}

// group commits the requests together and gives each its outcome. When the group
// fails, each request is tried by itself, so that one's fault reaches that one alone.
func (c *committer) group(requests []*request) {
	if len(requests) == 0 {
		return
	}
	err := c.transaction(requests)
	if err == nil {
		return
	}
	if len(requests) > 1 {
		c.log.LogAttrs(context.Background(), slog.LevelWarn, "a group of appends failed; trying each alone",
			slog.Int("requests", len(requests)), slog.Any("error", err))
	}
	for _, r := range requests {
		c.alone(r)
	}
}

func (c *committer) alone(r *request) {
	var err error
	for range maxTries {
		if err = r.context.Err(); err != nil {
			break // nobody waits any more, and others may
		}
		err = c.transaction([]*request{r})
		if err == nil || !errors.Is(err, audit.ErrUnavailable) {
			break
		}
	}
	if err != nil {
		r.answer(outcome{err: err})
	}
}

// transaction is one attempt. Requests get their outcomes if and only if it returns nil.
func (c *committer) transaction(requests []*request) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	grown := growths(requests)
	if err := c.heads.ensure(ctx, c.pool, grown); err != nil {
		return translate("make heads", err)
	}
	err := pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error { return extend(ctx, tx, grown) })
	if err != nil {
		return translate("append", err)
	}
	for _, g := range grown {
		for i, r := range g.requests {
			r.answer(g.outcomes[i])
		}
	}
	return nil
}

// extend locks the trails and learns what they hold, places the new entries in Go, and
// writes them: two round trips for any number of organizations, a third when a tile is
// finished. The heads are locked in one order everywhere, so that instances can't
// deadlock.
func extend(ctx context.Context, tx pgx.Tx, grown []*growth) error {
	var lock pipeline
	locked := make([]func() (db.HeadLockRow, []db.EntryKnownRow), len(grown))
	for i, g := range grown {
		lock.in(ctx, g.organization)
		head := one(&lock, queries.HeadLock(ctx, &lock, []string{g.organization}).QueryRow)
		known := many(&lock, queries.EntryKnown(ctx, &lock, []db.EntryKnownParams{{Organization: g.organization, Ids: g.ids()}}).Query)
		locked[i] = func() (db.HeadLockRow, []db.EntryKnownRow) { return *head, *known }
	}
	if err := lock.run(ctx, tx); err != nil {
		return err
	}
	var missing, write pipeline
	for i, g := range grown {
		if err := g.place(locked[i]()); err != nil {
			return g.fault(err)
		}
		g.readTiles(ctx, &missing)
	}
	if len(missing.reads) > 0 {
		if err := missing.run(ctx, tx); err != nil {
			return err
		}
	}
	for _, g := range grown {
		if err := g.write(ctx, &write); err != nil {
			return g.fault(err)
		}
	}
	if len(write.reads) == 0 {
		return nil
	}
	return write.run(ctx, tx)
}

// growths sorts requests by organization, each organization's in the order of arrival.
func growths(requests []*request) []*growth {
	var grown []*growth
	byOrganization := map[string]*growth{}
	for _, r := range requests {
		g := byOrganization[r.submission.Organization]
		if g == nil {
			g = &growth{organization: r.submission.Organization}
			byOrganization[g.organization] = g
			grown = append(grown, g)
		}
		g.requests = append(g.requests, r)
	}
	slices.SortFunc(grown, func(a, b *growth) int { return cmp.Compare(a.organization, b.organization) })
	return grown
}
