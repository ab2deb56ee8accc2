// Command storm breaks processes, connections and disks under the real service, and then
// holds everything that it was told against everything that is stored.
//
//	go run ./internal/storm [-rounds 100] [-seed 1] [-faults kill-service,cut-commit] [-resume] [-for 1h]
//	go run ./internal/storm -bite [-of export] [-resume]
//
// A round is: load, a fault in the middle of it, healing, waiting until every instance is
// ready, takes entries and signs them, [oracle]. It stops by itself, after the rounds or -for, whichever is first; the first
// finding ends it, and its folder is kept. With -resume what was run is added to the results
// of before, and the tables in docs/storm.md are written anew.
//
// To add a fault: a function in faults.go and its line in the list there. To add a check: a
// function in oracle.go, its name in bite.go, and what it has to catch. What programs other
// than the storm's own clients record goes through a journal ([emitter]).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds  int
	seed    uint64
	faults  string
	resume  bool
	results string
	page    string
	binary  string
	load    time.Duration
	limit   time.Duration
	bite    bool
	of      string
	verbose bool

	verifier string // the binary that verifies trails: the service's own, unless that is broken on purpose
	emitter  string // the binary of applications that emit: this one, unless the client package is broken on purpose
}

// roundsOf is how many rounds a fault has.
func (o options) roundsOf(f fault) int {
	if o.rounds == 0 {
		return f.planned
	}
	return o.rounds
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) > 0 && arguments[0] == "emit" {
		return emit(ctx, arguments[1:])
	}
	var o options
	f := flag.NewFlagSet("storm", flag.ContinueOnError)
	f.IntVar(&o.rounds, "rounds", 0, "rounds of each fault; 0 for as many as are planned of it")
	f.Uint64Var(&o.seed, "seed", 1, "seed of moments and choices")
	f.StringVar(&o.faults, "faults", "", "faults to make, with commas between; empty for all: "+strings.Join(names(), ", "))
	f.BoolVar(&o.resume, "resume", false, "add to the results, up to the rounds of each fault, and write the page anew")
	f.StringVar(&o.results, "results", "internal/storm/results.json", "file of the results, with -resume")
	f.StringVar(&o.page, "page", "docs/storm.md", "page that shows them, with -resume")
	f.StringVar(&o.binary, "binary", "bin/ocore-audit", "the service")
	f.DurationVar(&o.load, "load", 800*time.Millisecond, "how long a round's load goes on")
	f.DurationVar(&o.limit, "for", 3*time.Minute, "no round begins later than this")
	f.BoolVar(&o.bite, "bite", false, "show instead that every check of the oracle catches what it is for")
	f.StringVar(&o.of, "of", "", "with -bite: only broken services with this in their names, or rows")
	f.BoolVar(&o.verbose, "v", false, "print a line for every round")
	if err := f.Parse(arguments); err != nil {
		return err
	}
	o.verifier = o.binary
	var err error
	if o.emitter, err = os.Executable(); err != nil {
		return err
	}
	if o.bite {
		return bite(ctx, o)
	}
	return storm(ctx, o)
}

// storm goes around the faults, so that a run that is cut short has some of each.
func storm(ctx context.Context, o options) error {
	chosen, err := choose(o.faults)
	if err != nil {
		return err
	}
	all, err := readResults(o)
	if err != nil {
		return err
	}
	begun := time.Now()
	for _, apart := range []bool{false, true} {
		some := slices.DeleteFunc(slices.Clone(chosen), func(f fault) bool { return f.small != apart })
		err = errors.Join(err, stormOn(ctx, o, some, apart, all, begun))
	}
	all.print(os.Stdout)
	if o.resume {
		err = errors.Join(err, all.write(o))
	}
	return err
}

// stormOn runs faults on one cluster; small is of those that need a small disk.
func stormOn(ctx context.Context, o options, faults []fault, small bool, all *results, begun time.Time) (err error) {
	var r *rig
	defer func() {
		if r != nil {
			err = errors.Join(err, r.close(err == nil || ctx.Err() != nil))
		}
	}()
	rounds := 0
	for n, more := 0, true; more; n++ {
		more = false
		for i, f := range faults {
			if done := all.of(f.name).Rounds; n >= o.roundsOf(f) || o.resume && done >= o.roundsOf(f) {
				continue
			}
			more = true
			seed := o.seed<<20 + uint64(all.of(f.name).Rounds)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if time.Since(begun) > o.limit {
				if o.resume { // the rest another time
					return nil
				}
				return fmt.Errorf("%s are over before round %d of %s", o.limit, n+1, f.name)
			}
			if reason := f.skipped(); reason != "" {
				if n == 0 {
					fmt.Printf("%s is left out: %s\n", f.name, reason)
					all.of(f.name).Skipped = reason
				}
				continue
			}
			if r == nil {
				if r, err = newRig(ctx, o, small); err != nil {
					return err
				}
			}
			if rounds%10 == 0 {
				r.beginTrails()
			}
			rounds++
			told, err := r.round(ctx, f, rand.New(rand.NewPCG(seed, uint64(i))))
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				all.of(f.name).Findings++
				return fmt.Errorf("round of %s, seed %d: %w", f.name, o.seed, err)
			}
			all.of(f.name).add(told)
			if o.verbose {
				fmt.Printf("%-18s %5d acknowledged %4d ambiguous %3d resolved, ready after %s, writable %s, signing %s; oracle %s, of it verify %s\n", f.name,
					told.acknowledged, told.ambiguous, told.resolved, told.recovery.Round(time.Millisecond), told.writable.Round(time.Millisecond),
					told.signing.Round(time.Millisecond), told.oracle.Round(time.Millisecond), told.verify.Round(time.Millisecond))
			}
		}
	}
	return nil
}
