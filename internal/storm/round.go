package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/audit"
)

// outcome is what one round did.
type outcome struct {
	acknowledged, ambiguous, resolved int
	hits                              int           // messages cut, swallowed or held
	recovery                          time.Duration // until every instance is ready
	writable                          time.Duration // from then until each trail takes entries at each instance
	signing                           time.Duration // from then until each instance shows them signed
	checkpoints                       int           // that were seen
	oracle, verify                    time.Duration // what the oracle took, and the verifier of that
}

// round is load, the fault in its midst, healing, and the oracle.
func (r *rig) round(ctx context.Context, f fault, random *rand.Rand) (outcome, error) {
	var told outcome
	l, err := newLoad(r)
	if err != nil {
		return told, err
	}
	before, seen := r.history.counts(), r.witness.count()
	for _, i := range r.instances {
		i.proxy.hit()
	}
	r.history.begin()
	loading, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	seed := random.Uint64()
	if !f.alone {
		running.Go(func() { l.run(loading, seed) })
	}
	begun := time.Now()
	time.Sleep(r.load/5 + rand.N(r.load/3))
	failed := f.make(ctx, r, l, random)
	failed = errors.Join(failed, r.heal(ctx))
	for _, i := range r.instances {
		told.hits += i.proxy.hit()
	}
	if f.cuts && told.hits == 0 {
		failed = errors.Join(failed, errors.New("no message was hit: the round shows nothing"))
	}
	if failed == nil {
		told.recovery, failed = r.awaitReady(ctx)
	}
	if failed == nil {
		told.writable, failed = l.awaitWritable(ctx, random)
	}
	if failed == nil {
		var unsigned error
		if told.signing, unsigned = l.awaitSigned(ctx); unsigned != nil {
			l.find(unsigned.Error())
		}
	}
	if failed == nil && f.after != nil {
		failed = f.after(ctx, r, l)
	}
	time.Sleep(max(r.load/5, r.load-time.Since(begun)))
	stop()
	running.Wait()
	trails := append([]string{audit.AdminOrganization}, r.trails...)
	if failed != nil { // what is stored may tell why
		return told, errors.Join(failed, l.found(), r.judge(ctx, random, trails...))
	}
	told.ambiguous, told.resolved = l.resolve(ctx, random)
	if err := r.settle(ctx); err != nil {
		return told, err
	}
	told.acknowledged = r.history.counts() - before
	asked := time.Now()
	r.verifying = 0
	found := errors.Join(l.found(), r.judge(ctx, random, trails...))
	told.oracle, told.verify = time.Since(asked), r.verifying
	told.checkpoints = r.witness.count() - seen
	if found == nil && told.acknowledged == 0 {
		found = errors.New("nothing was acknowledged: the round shows nothing")
	}
	return told, found
}

// heal takes every fault away that may still be there.
func (r *rig) heal(ctx context.Context) error {
	for _, i := range r.instances {
		i.proxy.set(nil)
		i.signal(syscall.SIGCONT)
	}
	select {
	case <-r.postgres().Done():
		return r.startPostgres(ctx)
	default:
		return nil
	}
}

// settle waits until no transaction is under way: what clients gave up may still be stored.
func (r *rig) settle(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, r.postgres().SuperuserURL(own.Name))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	quiet := 0
	var before int64
	for begun := time.Now(); quiet < 3; time.Sleep(60 * time.Millisecond) {
		if time.Since(begun) > 40*time.Second {
			return fmt.Errorf("trails still change 40 s after the last call came back")
		}
		var size, busy int64
		if err := conn.QueryRow(ctx, `SELECT coalesce((SELECT sum(size) FROM heads), 0)::bigint,
			(SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND state <> 'idle')`, own.Serving).Scan(&size, &busy); err != nil {
			return err
		}
		if size == before && busy == 0 {
			quiet++
		} else {
			quiet = 0
		}
		before = size
	}
	return nil
}

// maxUnwritable is how long a trail may take to take an entry again, once its instance is ready.
const maxUnwritable = 15 * time.Second

// awaitWritable records an entry in each trail by each instance, and returns how long it took
// until all of them were taken.
func (l *load) awaitWritable(ctx context.Context, random *rand.Rand) (time.Duration, error) {
	begun := time.Now()
	var failed []error
	for _, organization := range l.rig.trails {
		for n, c := range l.clients[organization] {
			e := newEntry(random)
			for {
				stored, err := c.Record(ctx, e)
				if err == nil {
					l.positions[organization] = stored.Position
					break
				}
				if time.Since(begun) > maxUnwritable || ctx.Err() != nil {
					failed = append(failed, fmt.Errorf("instance %d takes nothing for %s %s after it was ready: %w", n, organization, maxUnwritable, err))
					break
				}
			}
		}
	}
	return time.Since(begun), errors.Join(failed...)
}

// maxUnsigned is how long an entry may be without a signature, once entries are taken.
const maxUnsigned = 20 * time.Second

// awaitSigned asks each instance for a checkpoint of what awaitWritable recorded, and returns
// how long it took until all had one.
func (l *load) awaitSigned(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	for _, organization := range l.rig.trails {
		for _, i := range l.rig.instances {
			for {
				note, err := i.checkpoint(ctx, organization, l.tokens[organization])
				if err == nil && sizeOf(note) > l.positions[organization] {
					break
				}
				if time.Since(begun) > maxUnsigned || ctx.Err() != nil {
					return 0, fmt.Errorf("signing: instance %d has no checkpoint of %s with position %d, %s after that was recorded: %w",
						i.number, organization, l.positions[organization], maxUnsigned, err)
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	}
	return time.Since(begun), nil
}
