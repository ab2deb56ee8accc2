package rows

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/bench/dataset"
	"ocore.dev/audit/internal/bench/load"
	"ocore.dev/audit/internal/bench/measure"
	"ocore.dev/audit/internal/bench/report"
)

// footprint is what the service and its tables take.
func footprint(ctx context.Context, b *Bench, result *report.Result) error {
	resident, requests, err := b.resident(ctx)
	if err != nil {
		return err
	}
	allocations, err := b.allocations(ctx)
	if err != nil {
		return err
	}
	var disk [2]float64
	for i, d := range []dataset.Database{b.Data.Tenth, b.Data.Whole} {
		var tables []measure.Series
		if disk[i], tables, err = bytesAnEntry(ctx, d); err != nil {
			return err
		}
		result.Series = append(result.Series, tables...)
	}
	result.Checks = []report.Check{
		{What: fmt.Sprintf("resident after %d requests", requests), Value: resident, Unit: "MB", Target: 60, AtMost: true},
		{What: "allocations a list request", Value: allocations, Unit: "allocations", Target: 140, AtMost: true},
		{What: "disk, an entry, with everything", Value: max(disk[0], disk[1]) / 1000, Unit: "KB", Target: 2.2, AtMost: true},
	}
	result.Note("The profile of allocations is allocations.pprof beside the results. Of the two sizes' disk the worse counts: the whole's indexes were built at once (%.0f bytes an entry), the tenth's grew (%.0f).", disk[1], disk[0])
	return nil
}

// resident is a fresh service's memory after requests of all kinds.
func (b *Bench) resident(ctx context.Context) (megabytes float64, requests int64, err error) {
	s, err := b.fresh(ctx, b.Data.Whole)
	if err != nil {
		return 0, 0, err
	}
	actions, err := popularOf(ctx, b.Data.Whole, "action")
	if err != nil {
		return 0, 0, err
	}
	target, err := s.target(dataset.Large)
	if err != nil {
		return 0, 0, err
	}
	requests = 100_000
	if b.Data.Entries < 10_000_000 { // daily use has less time
		requests = 20_000
	}
	if err := b.cached(ctx, b.Data.Whole); err != nil {
		return 0, 0, err
	}
	pages := window(b.Data.Whole)
	_, err = load.Count(ctx, s.Address, connections, requests, func(r *rand.Rand) []byte {
		if r.IntN(10) > 0 {
			return target.Get(lists, query("per_page", perPage, "page", 1+r.IntN(pages)))
		}
		rare := actions[len(actions)/2+r.IntN(len(actions)/2)]
		return target.Get(lists, query("per_page", perPage, "action", rare.Value))
	})
	if err != nil {
		return 0, requests, err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		return 0, requests, err
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	var kilobytes float64
	_, err = fmt.Sscan(after, &kilobytes)
	return kilobytes / 1024, requests, err
}

// allocations are counted in this process, which serves, while another one asks.
func (b *Bench) allocations(ctx context.Context) (float64, error) {
	address, stop, err := b.inside(ctx, b.Data.Whole)
	if err != nil {
		return 0, err
	}
	defer stop()
	token, err := b.token(dataset.Large)
	if err != nil {
		return 0, err
	}
	ask := func(requests int) error {
		cmd := b.Client(ctx, address, token, requests)
		cmd.Stderr = os.Stderr
		return cmd.Run()
	}
	if err := ask(500); err != nil {
		return 0, err
	}
	const requests = 3000
	before := mallocs()
	if err := ask(requests); err != nil {
		return 0, err
	}
	counted := float64(mallocs()-before) / requests
	file, err := os.Create(filepath.Join(b.Folder, "allocations.pprof"))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return counted, pprof.Lookup("allocs").WriteTo(file, 0)
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// AskForLists is the client of [Bench.Client]: random pages, one after the other.
func AskForLists(ctx context.Context, address, token string, requests int) error {
	target := load.Target{Address: address, Token: token}
	_, err := load.Count(ctx, address, 2, int64(requests), pagesOf(target, lists, 1, 20))
	return err
}

// bytesAnEntry is what every table and index of the product takes, an entry of any trail.
func bytesAnEntry(ctx context.Context, d dataset.Database) (sum float64, tables []measure.Series, err error) {
	conn, err := pgx.Connect(ctx, d.SuperuserURL())
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `WITH stored AS (SELECT sum(size) AS entries FROM heads)
		SELECT relname, (pg_relation_size(c.oid) + coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0)) / entries::float8
		FROM pg_class c, stored WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
		AND relname NOT LIKE 'goose%' AND relname NOT LIKE 'admin_search%' ORDER BY 2 DESC`)
	if err != nil {
		return 0, nil, err
	}
	var name string
	var bytes float64
	_, err = pgx.ForEachRow(rows, []any{&name, &bytes}, func() error {
		tables = append(tables, measure.Series{Name: d.Name + ": " + name, Unit: "bytes an entry", Rounds: []float64{bytes}})
		sum += bytes
		return nil
	})
	return sum, tables, err
}
