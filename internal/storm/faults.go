package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
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
	reason  func() string // why it can't be made here; nil: it can
	planned int           // rounds
	cuts    bool          // does something to messages
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
	{name: "cut-steps", what: "connections cut before, inside and after any message of the protocol", make: cutSteps, planned: 20, cuts: true},
	{name: "parallel-retries", what: "clients that give up after 10 ms and send again in parallel at both instances, some with another content", make: parallelRetries, planned: 100},
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

// cutSteps cuts at one message in a few, whatever it is.
func cutSteps(_ context.Context, r *rig, _ *load, random *rand.Rand) error {
	for _, i := range r.instances {
		every, n, ways := 2+random.IntN(60), 0, []verdict{cutBefore, cutInside, cutAfter}
		i.proxy.set(func(message) verdict {
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
