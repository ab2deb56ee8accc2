// Command bench measures the service: every row of the table of targets, against pgbench
// and against the naive form, in turns, on a dataset of realistic skew that it makes once.
//
//	go run . [flags]                 everything on ten million entries
//	go run . --entries 1000000 --rows list,export --seconds 1
//	go run . -- COMMAND...           a command, against the service on the whole dataset
//
// [ocore.dev/audit/internal/bench/rows] says how a row is added.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"ocore.dev/audit/internal/auth"
	"ocore.dev/audit/internal/bench/dataset"
	"ocore.dev/audit/internal/bench/naive"
	"ocore.dev/audit/internal/bench/report"
	"ocore.dev/audit/internal/bench/rows"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run also is the naive form and the client that rows run as processes of their own.
func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "naive":
			return serveNaive(ctx, args[1], args[2], args[3])
		case "client":
			var requests int
			if _, err := fmt.Sscan(args[3], &requests); err != nil {
				return err
			}
			return rows.AskForLists(ctx, args[1], args[2], requests)
		}
	}
	return bench(ctx, args)
}

func serveNaive(ctx context.Context, address, databaseURL, keySet string) error {
	verifier, err := auth.NewVerifier([]auth.Issuer{{KeySetFile: keySet, Algorithms: []string{"EdDSA"}}}, time.Now)
	if err != nil {
		return err
	}
	return naive.Serve(ctx, address, databaseURL, verifier, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

type options struct {
	root    string
	dir     string
	docs    string
	entries int
	seed    uint64
	rounds  int
	seconds float64
	only    string
	publish bool
	replot  bool
	command []string
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.root, "root", "../..", "the repository")
	f.StringVar(&o.dir, "dir", "", "folder for datasets and results (default: .bench in the repository)")
	f.StringVar(&o.docs, "docs", "", "folder to publish to (default: docs in the repository)")
	f.IntVar(&o.entries, "entries", 10_000_000, "entries of the dataset; the admin trail has a tenth as many more")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the dataset")
	f.IntVar(&o.rounds, "rounds", 7, "rounds of each side")
	f.Float64Var(&o.seconds, "seconds", 5, "length of a round")
	f.StringVar(&o.only, "rows", "", "rows to measure, by name, with commas between; all when empty")
	f.BoolVar(&o.publish, "publish", false, "write docs/performance.md, its plots and its results; rows that --rows names replace those of the last whole run")
	f.BoolVar(&o.replot, "replot", false, "measure nothing: write docs/performance.md again from its results")
	err := f.Parse(args)
	o.command = f.Args()
	if o.dir == "" {
		o.dir = filepath.Join(o.root, ".bench")
	}
	if o.docs == "" {
		o.docs = filepath.Join(o.root, "docs")
	}
	if err == nil && (o.entries < 10_000 || o.rounds < 1 || o.seconds < 0.1) {
		err = errors.New("at least 10,000 entries, a round and a tenth of a second")
	}
	return o, err
}

func (o options) chosen() ([]rows.Row, error) {
	if o.only == "" {
		return rows.All, nil
	}
	var chosen []rows.Row
	for name := range strings.SplitSeq(o.only, ",") {
		i := slices.IndexFunc(rows.All, func(r rows.Row) bool { return r.Name == name })
		if i < 0 {
			var names []string
			for _, r := range rows.All {
				names = append(names, r.Name)
			}
			return nil, fmt.Errorf("there is no row %q among %s", name, strings.Join(names, ", "))
		}
		chosen = append(chosen, rows.All[i])
	}
	return chosen, nil
}

func bench(ctx context.Context, args []string) (failed error) {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.replot {
		published, err := o.published()
		if err != nil {
			return err
		}
		return published.Publish(o.docs)
	}
	chosen, err := o.chosen()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	folder, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	results := filepath.Join(folder, "results")
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	data, err := dataset.Open(ctx, dataset.Options{Dir: folder, Entries: o.entries, Seed: o.seed, Log: log})
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, data.Close()) }()
	b, err := o.prepare(ctx, data, results, log)
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, b.Close()) }()
	if len(o.command) > 0 {
		return b.With(ctx, o.command)
	}
	measured := report.Report{Machine: o.machine(ctx, data)}
	for _, row := range chosen {
		log.LogAttrs(ctx, slog.LevelInfo, "measuring", slog.String("row", row.Name))
		result, err := b.Run(ctx, row)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // the other rows are worth having
			result.Note("Not measured: %s.", err)
			failed = errors.Join(failed, err)
		}
		measured.Rows = append(measured.Rows, result)
		if err := measured.WriteJSON(filepath.Join(results, "latest.json")); err != nil { // a run may be cut short
			return err
		}
	}
	file := filepath.Join(results, fmt.Sprintf("%s-%d.json", time.Now().UTC().Format("20060102-150405"), o.entries))
	if err := measured.WriteJSON(file); err != nil {
		return err
	}
	fmt.Println(measured.Table())
	if o.publish && failed == nil {
		if o.only != "" {
			published, err := o.published()
			if err != nil {
				return err
			}
			measured = published.With(measured)
		}
		return measured.Publish(o.docs)
	}
	_, err = measured.Plot(results)
	return errors.Join(failed, err)
}

func (o options) published() (report.Report, error) {
	return report.ReadJSON(filepath.Join(o.docs, "performance", "results.json"))
}

func (o options) prepare(ctx context.Context, data *dataset.Dataset, results string, log *slog.Logger) (*rows.Bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(results, "ocore-audit")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./cmd/ocore-audit")
	build.Dir, build.Stderr = o.root, os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build the service: %w", err)
	}
	b := &rows.Bench{
		Data: data, Binary: binary, Rounds: o.rounds, Round: time.Duration(o.seconds * float64(time.Second)), Folder: results, Log: log,
		Naive: func(ctx context.Context, address, databaseURL, keySet string) *exec.Cmd {
			return exec.CommandContext(ctx, self, "naive", address, databaseURL, keySet)
		},
		Client: func(ctx context.Context, address, token string, requests int) *exec.Cmd {
			return exec.CommandContext(ctx, self, "client", address, token, fmt.Sprint(requests))
		},
	}
	return b, b.Prepare(filepath.Join(o.root, "sql", "queries"))
}

// machine describes where the figures come from; what can't be read is left empty.
func (o options) machine(ctx context.Context, data *dataset.Dataset) report.Machine {
	m := report.Machine{
		Date: report.Stamp(time.Now()), Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH,
		PostgreSQL: data.Postgres, Go: runtime.Version(), Entries: o.entries, Seed: o.seed, Rounds: o.rounds, Seconds: o.seconds,
	}
	describe := exec.CommandContext(ctx, "git", "describe", "--tags", "--always", "--dirty")
	describe.Dir = o.root
	version, _ := describe.Output()
	m.Version = strings.TrimSpace(string(version))
	m.CPU = firstOf("/proc/cpuinfo", "model name")
	var kilobytes float64
	_, _ = fmt.Sscan(firstOf("/proc/meminfo", "MemTotal"), &kilobytes)
	m.MemoryGB = kilobytes / (1 << 20)
	return m
}

// firstOf is the first value of a name in a file of "name: value" lines.
func firstOf(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
