package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// fault is one way to break things. make comes back when the fault is over; healing is done
// after it.
type fault struct {
	name    string
	what    string // for the table
	small   bool   // needs a disk that can be filled
	make    func(ctx context.Context, r *rig, l *load, random *rand.Rand) error
	after   func(ctx context.Context, r *rig, l *load) error // what is still to be done once entries are taken again
	reason  func() string                                    // why it can't be made here; nil: it can
	planned int                                              // rounds
	cuts    bool                                             // does something to messages
	alone   bool                                             // brings its own load
}

func (f fault) skipped() string {
	if f.reason == nil {
		return ""
	}
	return f.reason()
}

var faults = []fault{
	{name: "kill-service", what: "`kill -9` of an instance, or of both", make: killService, planned: 100},
	{name: "kill-postgres", what: "`kill -9` of PostgreSQL's postmaster", make: killPostgres, planned: 100},
	{name: "kill-backend", what: "`kill -9` of one PostgreSQL process, which restarts them all", make: killBackend, planned: 20},
	{name: "restart-immediate", what: "immediate shutdown of PostgreSQL (SIGQUIT), and start", make: restart(syscall.SIGQUIT), planned: 20},
	{name: "restart-fast", what: "fast shutdown of PostgreSQL (SIGINT), and start", make: restart(syscall.SIGINT), planned: 20},
	{name: "cut-commit", what: "connections cut around COMMIT: before it, inside it, between it and its answer, inside the answer", make: cutCommit, planned: 100, cuts: true},
	{name: "cut-steps", what: "connections cut before, inside and after any message of the protocol, or any row that is read", make: cutSteps, planned: 20, cuts: true},
	{name: "parallel-retries", what: "clients that give up after 10 ms and send again in parallel at both instances, some with another content", make: parallelRetries, planned: 100},
	{name: "slow", what: "one message in ten is late by up to 1 s", make: disturb(late, 10, 700), planned: 20, cuts: true},
	{name: "swallow", what: "from some message on everything vanishes, and the connection stays", make: disturb(swallow, 40, 500), planned: 20, cuts: true},
	{name: "halve", what: "half of a message is sent, and nothing more, and the connection stays", make: disturb(hold, 40, 500), planned: 20, cuts: true},
	{name: "pool-exhausted", what: "PostgreSQL lets the service have two connections, and ends those it has", make: exhaust, planned: 20},
	{name: "drain", alone: true, what: "SIGTERM under 500 requests a second, which a balancer sends elsewhere once `/readyz` says no: none fails", make: drain, planned: 20},
	{name: "second-signal", what: "a second SIGTERM, which ends the process at once", make: secondSignal, planned: 20},
	{name: "pause", what: "an instance stands still (SIGSTOP) for 1 to 3 s", make: pause, planned: 20},
	{name: "clock-back", what: "the database's clock seems to have been a day ahead, and back: the trails' last time is tomorrow", make: clockBack, planned: 20},
	{name: "migrate", what: "`migrate`, and a migration's lock on the entries, while serving", make: migrate, planned: 20},
	{name: "kill-workers", what: "the connections of the signer and of the count builder end, every few milliseconds", make: killWorkers, planned: 20},
	{name: "kill-emitter", what: "`kill -9`, again and again, of applications with a spool and an outbox, and of instances, PostgreSQL or both", make: killEmitters, after: drainEmitters, planned: 20},
	{name: "disk-full", what: "PostgreSQL's disk is full, at times of its log too", make: fillDisk, small: true, reason: noSmallDisk, planned: 20},
}

func names() []string {
	var all []string
	for _, f := range faults {
		all = append(all, f.name)
	}
	return all
}

func choose(list string) ([]fault, error) {
	if list == "" {
		return faults, nil
	}
	var chosen []fault
	for name := range strings.SplitSeq(list, ",") {
		n := slices.IndexFunc(faults, func(f fault) bool { return f.name == name })
		if n < 0 {
			return nil, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(names(), ", "))
		}
		chosen = append(chosen, faults[n])
	}
	return chosen, nil
}

// killService also waits sometimes, so that clients meet a closed port.
func killService(_ context.Context, r *rig, _ *load, random *rand.Rand) error {
	first := random.IntN(2)
	r.instances[first].kill()
	if random.IntN(3) == 0 {
		r.instances[1-first].kill()
	}
	time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
	return nil
}

func killPostgres(ctx context.Context, r *rig, _ *load, _ *rand.Rand) error {
	if err := syscall.Kill(r.postgres().PID(), syscall.SIGKILL); err != nil {
		return err
	}
	return r.awaitPostgresGone(ctx)
}

func killBackend(ctx context.Context, r *rig, _ *load, random *rand.Rand) error {
	conn, err := pgx.Connect(ctx, r.postgres().SuperuserURL(own.Name))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, "SELECT pid FROM pg_stat_activity WHERE usename = $1", own.Serving)
	if err != nil {
		return err
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil || len(pids) == 0 {
		return errors.Join(err, errors.New("there is no process to kill"))
	}
	return syscall.Kill(pids[random.IntN(len(pids))], syscall.SIGKILL)
}

func restart(how syscall.Signal) func(context.Context, *rig, *load, *rand.Rand) error {
	return func(ctx context.Context, r *rig, _ *load, _ *rand.Rand) error {
		process, err := os.FindProcess(r.postgres().PID())
		if err == nil {
			err = process.Signal(how)
		}
		return errors.Join(err, r.awaitPostgresGone(ctx))
	}
}

// cutCommit cuts each connection that commits, for a while, in the way that the dice say.
func cutCommit(_ context.Context, r *rig, _ *load, random *rand.Rand) error {
	ways := []verdict{cutBefore, cutInside, cutAfter}
	for n := 0; n < 4 || n < 40 && !r.hit(); n++ {
		i := r.instances[random.IntN(2)]
		way, sending := ways[random.IntN(len(ways))], random.IntN(3) == 0
		skip := random.IntN(3)
		i.proxy.set(func(m message) verdict {
			// What is written travels as one batch that ends in COMMIT. Its statements are prepared
			// once, so that only an answer tells a COMMIT for sure; a large batch has tables in it.
			hit := m.committed() || sending && m.toServer && m.kind == 'B' && len(m.text) > 500
			if !hit {
				return pass
			}
			if skip--; skip >= 0 {
				return pass
			}
			return way
		})
		time.Sleep(time.Duration(40+random.IntN(80)) * time.Millisecond)
		i.proxy.set(nil)
	}
	return nil
}

// cutSteps cuts at one message in a few, whatever it is, or only at rows that are read, so
// that what reads many has begun well.
func cutSteps(_ context.Context, r *rig, _ *load, random *rand.Rand) error {
	for _, i := range r.instances {
		every, n, ways := 2+random.IntN(60), 0, []verdict{cutBefore, cutInside, cutAfter}
		rows := random.IntN(2) == 0
		if rows {
			every += 100
		}
		i.proxy.set(func(m message) verdict {
			if rows && (m.toServer || m.kind != 'D') {
				return pass
			}
			if n++; n%every != 0 {
				return pass
			}
			return ways[n/every%len(ways)]
		})
	}
	time.Sleep(time.Duration(200+random.IntN(300)) * time.Millisecond)
	return nil
}

// parallelRetries sends one entry four times at once, and a rival of the same id at times.
func parallelRetries(ctx context.Context, r *rig, l *load, random *rand.Rand) error {
	for begun := time.Now(); time.Since(begun) < time.Second/2; {
		organization := r.trails[random.IntN(len(r.trails))]
		e := newEntry(random)
		rival := e
		rival.UserName = "a rival"
		contested := random.IntN(4) == 0
		done := make(chan struct{})
		for n := range 4 {
			sent := e
			if contested && n%2 == 1 {
				sent = rival
			}
			go func() {
				_, _ = l.hasty[organization][n/2].Record(ctx, sent) // the history knows
				done <- struct{}{}
			}()
		}
		for range 4 {
			<-done
		}
	}
	return nil
}

// disturb does something to one message in a few at both proxies, for some milliseconds.
func disturb(how verdict, every, milliseconds int) func(context.Context, *rig, *load, *rand.Rand) error {
	return func(_ context.Context, r *rig, _ *load, random *rand.Rand) error {
		for _, i := range r.instances {
			n := random.IntN(every)
			i.proxy.set(func(message) verdict {
				if n++; n%every != 0 {
					return pass
				}
				return how
			})
		}
		for n := 0; n < 10 && (n == 0 || !r.hit()); n++ {
			time.Sleep(time.Duration(milliseconds) * time.Millisecond)
		}
		return nil
	}
}

// exhaust ends the service's connections, so that it has to get new ones.
func exhaust(ctx context.Context, r *rig, _ *load, _ *rand.Rand) error {
	err := r.sql(ctx, "ALTER ROLE "+own.Serving+" CONNECTION LIMIT 2",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+own.Serving+"'")
	time.Sleep(time.Second)
	return errors.Join(err, r.sql(ctx, "ALTER ROLE "+own.Serving+" CONNECTION LIMIT -1"))
}

// drainRate is of requests a second.
const drainRate = 500

// drain sends requests to one instance as a balancer does, until its readiness says no, and
// then to the other.
func drain(ctx context.Context, r *rig, l *load, random *rand.Rand) error {
	leaving, other := r.instances[0], r.instances[1]
	c, err := newSteady(r, l)
	if err != nil {
		return err
	}
	time.AfterFunc(200*time.Millisecond, func() { leaving.signal(syscall.SIGTERM) })
	target := leaving
	looks := time.NewTicker(100 * time.Millisecond)
	defer looks.Stop()
	requests := time.NewTicker(time.Second / drainRate)
	defer requests.Stop()
	for begun := time.Now(); ; {
		if gone, late := leaving.gone(), time.Since(begun) > 30*time.Second; gone || late {
			c.wait()
			if late {
				return errors.New("the instance isn't gone 30 s after SIGTERM")
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-looks.C:
			if target == leaving && !leaving.answersReady(ctx) {
				target = other
			}
		case <-requests.C:
			c.send(ctx, target.number, newEntry(random))
		}
	}
}

func secondSignal(_ context.Context, r *rig, _ *load, random *rand.Rand) error {
	i := r.instances[random.IntN(2)]
	i.signal(syscall.SIGTERM)
	time.Sleep(300 * time.Millisecond)
	i.signal(syscall.SIGTERM)
	select {
	case <-i.exited:
		return nil
	case <-time.After(2 * time.Second):
		return errors.New("the instance isn't gone 2 s after a second SIGTERM")
	}
}

func pause(_ context.Context, r *rig, _ *load, random *rand.Rand) error {
	i := r.instances[random.IntN(2)]
	i.signal(syscall.SIGSTOP)
	time.Sleep(time.Second + time.Duration(random.IntN(2000))*time.Millisecond)
	i.signal(syscall.SIGCONT)
	return nil
}

// clockBack leaves what a clock leaves that was a day ahead: the time of the last entry.
func clockBack(ctx context.Context, r *rig, _ *load, _ *rand.Rand) error {
	return r.sql(ctx, "UPDATE heads SET last_created_at = greatest(last_created_at, now() + interval '1 day') WHERE organization = '"+r.trails[0]+"'")
}

func migrate(ctx context.Context, r *rig, _ *load, random *rand.Rand) error {
	command := exec.CommandContext(ctx, r.binary, "migrate")
	command.Env = append(os.Environ(), "MIGRATE_DATABASE_URL="+r.url(own.Owner, own.OwnerPassword))
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate: %w: %s", err, said)
	}
	return r.sql(ctx, "BEGIN", "ALTER TABLE entries ADD COLUMN storm text", fmt.Sprintf("SELECT pg_sleep(%f)", 0.1+random.Float64()/2), "COMMIT",
		"ALTER TABLE entries DROP COLUMN storm")
}

func killWorkers(ctx context.Context, r *rig, _ *load, random *rand.Rand) error {
	conn, err := pgx.Connect(ctx, r.postgres().SuperuserURL(own.Name))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for begun := time.Now(); time.Since(begun) < time.Second; time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond) {
		if _, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND random() < 0.5", own.Worker); err != nil {
			return err
		}
	}
	return nil
}
