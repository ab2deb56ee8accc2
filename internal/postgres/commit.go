package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/metrics"
	"ocore.dev/audit/internal/tracing"
)

// commitTimeout bounds a transaction, whatever its callers' patience: past it they are
// told that the outcome is unknown. It is also how long a trail waits for an answer of
// PostgreSQL that was lost on the way while the connection stayed: nothing else notices that.
// A large group has a second more for each commitRate bytes.
const (
	commitTimeout = 5 * time.Second
	commitRate    = 4 << 20
)

func timeoutOf(requests []*request) time.Duration { return commitTimeout + sending(requests) }

// sending is how long the requests' entries may be on their way to PostgreSQL.
func sending(requests []*request) time.Duration {
	bytes := int64(0)
	for _, r := range requests {
		bytes += weigh(r.submission)
	}
	return time.Duration(bytes) * time.Second / commitRate
}

// maxTries bounds how often a group is tried against passing faults such as a lost
// connection or a deadlock with another instance. Trying again is safe: the ids are
// already given, so what an attempt committed unseen is found as known.
const (
	maxTries      = 3
	retryPause    = 100 * time.Millisecond
	retryPatience = 2 * time.Second
)

// committer commits groups of requests.
type committer struct {
	pool    *pgxpool.Pool
	log     *slog.Logger
	metrics *metrics.Metrics
	heads   knownHeads
}

// group commits the requests together and gives each its outcome. A group that fails is
// taken apart: by organization, because a trail that is locked or broken is that
// organization's alone, and where the database isn't at fault by request, so that one's
// fault reaches that one alone.
func (c *committer) group(requests []*request) {
	requests = waiting(requests)
	if len(requests) == 0 {
		return
	}
	err := c.try(requests)
	if err == nil {
		return
	}
	parts := apart(requests, errors.Is(err, audit.ErrUnavailable))
	if len(parts) == 1 {
		for _, r := range requests {
			r.answer(outcome{err: err})
		}
		return
	}
	c.log.LogAttrs(context.Background(), slog.LevelWarn, "a group of appends failed; trying its parts",
		slog.Int("requests", len(requests)), slog.Int("parts", len(parts)), slog.Any("error", err))
	for _, part := range parts {
		c.group(part)
	}
}

// waiting drops requests whose callers have gone: nothing was promised to them, and
// others may wait.
func waiting(requests []*request) []*request {
	var still []*request
	for _, r := range requests {
		if err := r.context.Err(); err != nil {
			r.answer(outcome{err: err})
		} else {
			still = append(still, r)
		}
	}
	return still
}

// apart splits a group by organization, or one organization's by request unless it is
// the database that failed. What can't be split further is one part.
func apart(requests []*request, unavailable bool) [][]*request {
	var parts [][]*request
	for _, g := range growths(requests) {
		parts = append(parts, g.requests)
	}
	if len(parts) > 1 || unavailable {
		return parts
	}
	return slices.Collect(slices.Chunk(requests, 1))
}

// try attempts the transaction again after passing faults, unless the attempt took so
// long that callers, and other organizations, would wait too long for another.
func (c *committer) try(requests []*request) error {
	var err error
	for attempt := range maxTries {
		time.Sleep(time.Duration(attempt) * retryPause)
		begun := time.Now()
		err = c.transaction(requests)
		c.metrics.Committed(len(requests), countEntries(requests), time.Since(begun), err)
		if err == nil || !errors.Is(err, audit.ErrUnavailable) || time.Since(begun) > retryPatience {
			break
		}
	}
	return err
}

func countEntries(requests []*request) (entries int) {
	for _, r := range requests {
		entries += len(r.submission.Entries)
	}
	return entries
}

// transaction is one attempt. Requests get their outcomes if and only if it returns nil.
// A panic is an error of this group, rather than the end of every organization's service.
func (c *committer) transaction(requests []*request) (failed error) {
	defer func() {
		if broken := recover(); broken != nil {
			failed = fmt.Errorf("%w: panic: %v\n%s", errTrail, broken, debug.Stack())
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), timeoutOf(requests))
	defer cancel()
	ctx, span := tracing.Together(ctx, "commit", callers(requests))
	defer func() { endCommit(span, requests, failed) }()
	grown := growths(requests)
	err := c.heads.ensure(ctx, c.pool, grown)
	if err != nil {
		err = fmt.Errorf("make heads: %w", err)
	} else {
		err = c.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error { return extend(ctx, conn, grown) })
	}
	if errors.Is(err, pgx.ErrNoRows) {
		c.heads.forget(grown) // the database was restored under us
	}
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

// callers are the contexts of those who wait for the commit.
func callers(requests []*request) iter.Seq[context.Context] {
	return func(yield func(context.Context) bool) {
		for _, r := range requests {
			if !yield(r.context) {
				return
			}
		}
	}
}

func endCommit(span tracing.Span, requests []*request, err error) {
	if !span.Recorded() {
		return
	}
	span.Count("requests", len(requests))
	span.Count("entries", countEntries(requests))
	if err != nil {
		span.Fail(faultOf(err))
	}
	span.End()
}

// extend locks the trails and learns what they hold, places the new entries in Go, and
// writes them, in a transaction that travels with its statements: two round trips for any
// number of organizations, a third when a tile is finished. The heads are locked in one
// order everywhere, so that instances can't deadlock.
func extend(ctx context.Context, conn *pgxpool.Conn, grown []*growth) (err error) {
	defer func() {
		if err != nil || conn.Conn().PgConn().TxStatus() != 'I' {
			undo(ctx, conn)
		}
	}()
	var lock pipeline
	lock.control("BEGIN")
	lock.await(ctx, grown)
	locked := make([]func() (db.HeadLockRow, []db.EntryKnownRow), len(grown))
	for i, g := range grown {
		lock.in(ctx, g.organization)
		head := one(&lock, queries.HeadLock(ctx, &lock, []string{g.organization}).QueryRow)
		known := new([]db.EntryKnownRow)
		if ids := g.uncertain(); len(ids) > 0 {
			known = many(&lock, queries.EntryKnown(ctx, &lock, []db.EntryKnownParams{{Organization: g.organization, Ids: ids}}).Query)
		}
		locked[i] = func() (db.HeadLockRow, []db.EntryKnownRow) { return *head, *known }
	}
	if err := lock.run(ctx, conn); err != nil {
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
		if err := missing.run(ctx, conn); err != nil {
			return err
		}
	}
	for _, g := range grown {
		if err := g.write(ctx, &write); err != nil {
			return g.fault(err)
		}
	}
	if len(write.reads) == 0 {
		return nil // known or refused, all of it
	}
	write.control("COMMIT")
	return write.run(ctx, conn)
}

// await lets the transaction be idle for as long as a large group's entries may be on their
// way: to PostgreSQL a statement that is still coming is none.
func (p *pipeline) await(ctx context.Context, grown []*growth) {
	var longer time.Duration
	for _, g := range grown {
		longer += sending(g.requests)
	}
	if longer > time.Second {
		exec(p, queries.IdleTimeoutSet(ctx, p, []string{milliseconds(commitTimeout + longer)}).Exec)
	}
}

// undo ends a transaction that stored nothing. A connection that can't is closed by its
// pool, which ends it too.
func undo(ctx context.Context, conn *pgxpool.Conn) {
	if conn.Conn().IsClosed() || conn.Conn().PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	_, _ = conn.Exec(ctx, "ROLLBACK")
}

// undoTimeout is how long a connection may take to give up its locks.
const undoTimeout = 5 * time.Second

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
