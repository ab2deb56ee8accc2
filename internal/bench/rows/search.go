package rows

import (
	"context"
	"slices"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/bench/dataset"
	"ocore.dev/audit/internal/bench/load"
	"ocore.dev/audit/internal/bench/measure"
	"ocore.dev/audit/internal/bench/report"
)

const adminLists = "/api/admin/audit-logs"

// search looks for terms that one of 700 entries of the admin trail holds, each for the
// first time, and for one that most hold.
func search(ctx context.Context, b *Bench, result *report.Result) error {
	s, err := b.fresh(ctx, b.Data.Whole)
	if err != nil {
		return err
	}
	target, err := s.target(dataset.Large)
	if err != nil {
		return err
	}
	if err := b.prewarm(ctx, b.Data.Whole, 0, "admin_search", "admin_search_pkey", "admin_search_folded_idx", "naive.admin_logs"); err != nil {
		return err
	}
	asked := 0
	const statement = "SELECT count(*) FROM naive.admin_logs WHERE action ILIKE $1 OR details::text ILIKE $1"
	rare, err := b.againstStatement(ctx, s, "sequential ILIKE", 1,
		func() []byte {
			asked++
			return target.Get(adminLists, query("search", dataset.AdminCase(asked), "limit", 20))
		},
		func(m *measure.Statement) (float64, error) {
			return m.CPU(ctx, statement, "%"+dataset.AdminCase(asked)+"%")
		})
	if err != nil {
		return err
	}
	request := target.Get(adminLists, query("search", "Updated", "limit", 20))
	first, err := s.ask(ctx, request)
	if err != nil {
		return err
	}
	common := measure.Series{Name: "page 1 of a common term", Unit: "ms"}
	conn, err := load.Dial(ctx, s.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for range b.Rounds {
		var times []float64
		for begun := time.Now(); len(times) < 3 || time.Since(begun) < b.Round/2; {
			start := time.Now()
			if _, err := conn.Do(request, nil); err != nil {
				return err
			}
			times = append(times, float64(time.Since(start).Microseconds())/1000)
		}
		common.Rounds = append(common.Rounds, measure.Median(times))
	}
	result.Series = slices.Concat(rare, []measure.Series{common})
	result.Checks = []report.Check{
		{What: "a rare term: CPU of sequential ILIKE, of ours", Value: measure.Ratio(rare[1], rare[0]), Unit: "×", Target: 200},
		{What: "page 1 of a common term, whole request", Value: common.Median(), Unit: "ms", Target: 2, AtMost: true},
	}
	result.Note("%d admin entries. A rare term is searched for the first time each time; the common one's first request took %.1f ms. The trail is %s, which exports write to.",
		b.Data.Whole.Entries/10, float64(first.Microseconds())/1000, audit.AdminOrganization)
	return nil
}
