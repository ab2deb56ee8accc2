package rows

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"ocore.dev/audit/internal/bench/dataset"
	"ocore.dev/audit/internal/bench/load"
	"ocore.dev/audit/internal/bench/measure"
	"ocore.dev/audit/internal/bench/report"
)

const perPage = 50

// pageScript does in SQL what an unfiltered list does: organization, head, page.
func (b *Bench) pageScript(pages int) (string, error) {
	script := fmt.Sprintf("\\set page random(1, %d)\n\\set high :size - (:page - 1) * %d\n\\set low :high - %d\n\\startpipeline\n", pages, perPage, perPage)
	for _, name := range []string{"OrganizationSet", "HeadGet", "EntryRange"} {
		statement, err := b.statements.Script(name)
		if err != nil {
			return "", err
		}
		script += statement
	}
	return script + "\\endpipeline\n", nil
}

func (b *Bench) pagesByPgbench(d dataset.Database, pages int) (measure.Side, error) {
	script, err := b.pageScript(pages)
	return b.pgbench("pgbench", d.ServingURL(), script, map[string]string{
		"organization": dataset.Large, "size": itoa(size(d)),
	}), err
}

// pagesOf asks for random ones of the first pages.
func pagesOf(target load.Target, path string, from, pages int, more ...any) load.Requests {
	return func(r *rand.Rand) []byte {
		return target.Get(path, query(append([]any{"per_page", perPage, "page", from + r.IntN(pages)}, more...)...))
	}
}

// window is how many pages lists are drawn from: the newest million entries of the largest
// trail. Hardly any page is read twice, so the service keeps none of them; but they fit into
// memory beside the naive form's, so that no side waits for the disk.
func window(d dataset.Database) int { return min(20_000, size(d)/perPage) }

// cached reads what the window needs into the system's memory.
func (b *Bench) cached(ctx context.Context, d dataset.Database) error {
	return b.prewarm(ctx, d, 0.75, "entries", "entries_pkey", "naive.audit_logs", "naive.audit_logs_pkey")
}

// prewarm reads relations into the system's memory, from a part of them on.
func (b *Bench) prewarm(ctx context.Context, d dataset.Database, from float64, relations ...string) error {
	conn, err := b.superuser(ctx, d)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS pg_prewarm"); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `SELECT pg_prewarm(name::regclass, 'read', 'main', (blocks * $2::float8)::bigint, blocks - 1)
		FROM (SELECT name, pg_relation_size(name::regclass) / 8192 AS blocks FROM unnest($1::text[]) AS name) AS relations WHERE blocks > 0`, relations, from)
	return err
}

// list reads random pages of the window. The naive form is spared its count and its
// offsets, which would be all that it does: it pages by keyset, so that what is left is
// the same rows through structs.
func list(ctx context.Context, b *Bench, result *report.Result) error {
	ours, err := b.fresh(ctx, b.Data.Whole)
	if err != nil {
		return err
	}
	target, err := ours.target(dataset.Large)
	if err != nil {
		return err
	}
	naive, err := b.naive(ctx, b.Data.Whole)
	if err != nil {
		return err
	}
	other, err := naive.target(dataset.Large)
	if err != nil {
		return err
	}
	if err := b.cached(ctx, b.Data.Whole); err != nil {
		return err
	}
	pages := window(b.Data.Whole)
	pgbench, err := b.pagesByPgbench(b.Data.Whole, pages)
	if err != nil {
		return err
	}
	keyset := func(r *rand.Rand) []byte {
		return other.Get("/audit-logs", query("per_page", perPage, "before", size(b.Data.Whole)-perPage*r.IntN(pages), "total", "none"))
	}
	series, err := measure.Interleave(ctx, b.Rounds, "requests/s",
		b.rate("service", target, pagesOf(target, lists, 1, pages)),
		pgbench,
		b.rate("naive, by keyset, without its count", other, keyset),
		b.rate("naive, its first pages", other, pagesOf(other, "/audit-logs", 1, min(20, pages))))
	if err != nil {
		return err
	}
	result.Series = series
	result.Checks = []report.Check{
		{What: "of the rate of pgbench -M prepared, same statements", Value: measure.Ratio(series[0], series[1]), Unit: "×", Target: 0.55},
		{What: "the rate of the naive form without its count", Value: measure.Ratio(series[0], series[2]), Unit: "×", Target: 3},
	}
	result.Note("Random ones of the newest %d pages. Against the naive form with its count(*), on its first pages: %.0f ×.", pages, measure.Ratio(series[0], series[3]))
	return nil
}

// repeated reads the newest pages again and again.
func repeated(ctx context.Context, b *Bench, result *report.Result) error {
	ours, err := b.service(ctx, b.Data.Whole)
	if err != nil {
		return err
	}
	target, err := ours.target(dataset.Large)
	if err != nil {
		return err
	}
	pages := min(200, size(b.Data.Whole)/perPage)
	pgbench, err := b.pagesByPgbench(b.Data.Whole, pages)
	if err != nil {
		return err
	}
	series, err := measure.Interleave(ctx, b.Rounds, "requests/s", b.rate("service", target, pagesOf(target, lists, 1, pages)), pgbench)
	if err != nil {
		return err
	}
	result.Series = series
	result.Checks = []report.Check{{What: "of the rate of pgbench -M prepared, same statements", Value: measure.Ratio(series[0], series[1]), Unit: "×", Target: 1.25}}
	return nil
}

// deep compares pages near the end of the largest trail with the first ones, and with
// OFFSET at a tenth of the way.
func deep(ctx context.Context, b *Bench, result *report.Result) error {
	ours, err := b.fresh(ctx, b.Data.Whole)
	if err != nil {
		return err
	}
	target, err := ours.target(dataset.Large)
	if err != nil {
		return err
	}
	pages := size(b.Data.Whole) / perPage
	window := max(pages/100, 1)
	far, offset := pages*9/10, pages/10
	latency := func(name string, from int) measure.Side {
		return measure.Side{Name: name, Run: func(ctx context.Context) (float64, error) {
			r, err := load.Closed(ctx, target.Address, 1, b.Round, pagesOf(target, lists, from, window))
			return r.Percentile(50), err
		}}
	}
	near := fmt.Sprintf("pages 1 to %d", window)
	series, err := measure.Interleave(ctx, b.Rounds, "ms", latency(near, 1), latency(fmt.Sprintf("pages from %d", far), far))
	if err != nil {
		return err
	}
	statement := "SELECT * FROM naive.audit_logs WHERE organization = $1 ORDER BY number DESC LIMIT $2 OFFSET $3"
	cpu, err := b.againstStatement(ctx, ours, fmt.Sprintf("OFFSET at page %d", offset), 1,
		func() []byte { return target.Get(lists, query("per_page", perPage, "page", offset)) },
		func(s *measure.Statement) (float64, error) {
			return s.CPU(ctx, statement, dataset.Large, perPage, (offset-1)*perPage)
		})
	if err != nil {
		return err
	}
	result.Series = slices.Concat(series, cpu)
	result.Checks = []report.Check{
		{What: fmt.Sprintf("page %d: the time of page 1", far), Value: measure.Ratio(series[1], series[0]), Unit: "×", Target: 1.1, AtMost: true},
		{What: fmt.Sprintf("CPU of OFFSET at page %d, of ours", offset), Value: measure.Ratio(cpu[1], cpu[0]), Unit: "×", Target: 500},
	}
	return nil
}

// againstStatement compares the CPU that backends of the service spend on a request with
// what one spends on a statement.
func (b *Bench) againstStatement(ctx context.Context, s *Service, name string, repeat int, request func() []byte, other func(*measure.Statement) (float64, error)) ([]measure.Series, error) {
	statement, err := measure.Connect(ctx, s.Database.SuperuserURL())
	if err != nil {
		return nil, err
	}
	defer statement.Close(ctx)
	const requests = 20
	ours := func(ctx context.Context) (float64, error) {
		used, err := s.backendCPU(ctx, func() error {
			for range requests * repeat {
				if _, err := s.ask(ctx, request()); err != nil {
					return err
				}
			}
			return nil
		})
		return used / float64(requests*repeat), err
	}
	return measure.Interleave(ctx, b.Rounds, "µs of backend CPU",
		measure.Side{Name: "service", Run: ours},
		measure.Side{Name: name, Run: func(context.Context) (float64, error) { return other(statement) }})
}

// ask sends one request on a connection of its own.
func (s *Service) ask(ctx context.Context, request []byte) (time.Duration, error) {
	conn, err := load.Dial(ctx, s.Address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	begun := time.Now()
	_, err = conn.Do(request, nil)
	return time.Since(begun), err
}

// backendCPU is what the service's backends run, in microseconds, while work works.
func (s *Service) backendCPU(ctx context.Context, work func() error) (float64, error) {
	conn, err := s.bench.superuser(ctx, s.Database)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	backends, err := measure.Backends(ctx, conn, s.Database.Login(), s.Database.Name)
	if err != nil {
		return 0, err
	}
	before, err := measure.CPUOf(backends)
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	if backends, err = measure.Backends(ctx, conn, s.Database.Login(), s.Database.Name); err != nil { // work may have brought new ones
		return 0, err
	}
	after, err := measure.CPUOf(backends)
	return microseconds(after - before), err
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// filtered asks for random pages of the commonest action, as a whole HTTP request.
func filtered(ctx context.Context, b *Bench, result *report.Result) error {
	actions, err := popularOf(ctx, b.Data.Whole, "action")
	if err != nil {
		return err
	}
	ours, err := b.fresh(ctx, b.Data.Whole)
	if err != nil {
		return err
	}
	target, err := ours.target(dataset.Large)
	if err != nil {
		return err
	}
	naive, err := b.naive(ctx, b.Data.Whole)
	if err != nil {
		return err
	}
	other, err := naive.target(dataset.Large)
	if err != nil {
		return err
	}
	pages := min(1000, int(actions[0].Entries)/perPage)
	series, err := measure.Interleave(ctx, b.Rounds, "requests/s",
		b.rate("service", target, pagesOf(target, lists, 1, pages, "action", actions[0].Value)),
		b.rate("naive", other, pagesOf(other, "/audit-logs", 1, pages, "action", actions[0].Value)))
	if err != nil {
		return err
	}
	result.Series = series
	result.Checks = []report.Check{{What: "the rate of count(*), OFFSET and structs on the right index", Value: measure.Ratio(series[0], series[1]), Unit: "×", Target: 80}}
	result.Note("%s matches %d of %d entries; random pages up to %d.", actions[0].Value, actions[0].Entries, size(b.Data.Whole), pages)
	return nil
}

// rowLevelSecurity compares the same page with the policy and without.
func rowLevelSecurity(ctx context.Context, b *Bench, result *report.Result) error {
	if err := b.cached(ctx, b.Data.Whole); err != nil {
		return err
	}
	pages := window(b.Data.Whole)
	with, err := b.pageScript(pages)
	if err != nil {
		return err
	}
	page, err := b.statements.Script("EntryRange")
	if err != nil {
		return err
	}
	head, err := b.statements.Script("HeadGet")
	if err != nil {
		return err
	}
	without := fmt.Sprintf("\\set page random(1, %d)\n\\set high :size - (:page - 1) * %d\n\\set low :high - %d\n\\startpipeline\n%s%s\\endpipeline\n", pages, perPage, perPage, head, page)
	variables := map[string]string{"organization": dataset.Large, "size": itoa(size(b.Data.Whole))}
	series, err := measure.Interleave(ctx, b.Rounds, "transactions/s",
		b.pgbench("policy and setting", b.Data.Whole.ServingURL(), with, variables),
		b.pgbench("plain predicate", b.Data.Whole.SuperuserURL(), without, variables))
	if err != nil {
		return err
	}
	result.Series = series
	result.Checks = []report.Check{{What: "of the rate of a plain predicate", Value: measure.Ratio(series[0], series[1]), Unit: "×", Target: 0.92}}
	return nil
}
