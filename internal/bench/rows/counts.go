package rows

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/bench/dataset"
	"ocore.dev/audit/internal/bench/load"
	"ocore.dev/audit/internal/bench/measure"
	"ocore.dev/audit/internal/bench/report"
)

// beyond is a page that no trail has: an answer without items, with its total.
const beyond = 1 << 40

// counted is one total: as a request, and as the statement that counts it. twin asks the
// same of other values: it has the same statements, and what is remembered of it is of no use.
type counted struct {
	query, twin url.Values
	statement   string
	args        []any
}

// totals compares a total's CPU with that of an index-only count, and counts buffers.
func totals(ctx context.Context, b *Bench, result *report.Result) error {
	actions, err := popularOf(ctx, b.Data.Whole, "action")
	if err != nil {
		return err
	}
	months, err := monthsOf(ctx, b.Data.Whole)
	if err != nil {
		return err
	}
	const statement = "SELECT count(*) FROM entries WHERE organization = $1 AND action = $2"
	commonest := func(n int) counted { // the commonest action's total
		return counted{query("action", actions[0].Value), query("action", actions[1+n].Value), statement, []any{dataset.Large, actions[0].Value}}
	}
	var one, ten, month []counted
	for n, m := range months {
		one = append(one, commonest(n))
		next := commonest(n)
		next.query, next.args = query("action", actions[n].Value), []any{dataset.Large, actions[n].Value}
		next.twin = query("action", actions[(10+n)%len(actions)].Value)
		ten = append(ten, next)
		within := commonest(n)
		within.query, within.twin = m.bound(within.query), m.bound(within.twin)
		within.statement, within.args = statement+" AND position >= $3 AND position < $4", append(within.args, m.low, m.high)
		month = append(month, within)
	}
	none := slices.Repeat([]counted{{url.Values{}, url.Values{}, "SELECT count(*) FROM entries WHERE organization = $1", []any{dataset.Large}}}, 3)
	for _, kind := range []struct {
		name            string
		counts          []counted
		factor, buffers float64
	}{{"no filter", none, 1000, 20}, {"one filter", one, 200, 20}, {"filter and month", month, 15, 40}, {"ten filters", ten, 0, 0}} {
		ours, other, buffers, err := b.compareCounts(ctx, kind.name, kind.counts)
		if err != nil {
			return err
		}
		result.Series = append(result.Series, ours, other)
		if kind.factor == 0 {
			result.Note("Each of the ten commonest actions once: %.0f ×.", measure.Ratio(other, ours))
			continue
		}
		result.Checks = append(result.Checks,
			report.Check{What: kind.name + ": CPU of an index-only count(*), of ours", Value: measure.Ratio(other, ours), Unit: "×", Target: kind.factor},
			report.Check{What: kind.name + ": buffers", Value: buffers, Unit: "buffers", Target: kind.buffers, AtMost: true})
	}
	result.Note("The commonest action, in all of the trail and in ten months; a single value's total isn't remembered, and a month is asked for once by a service that was just started. The page is beyond the end, so the total is all there is.")
	return nil
}

// compareCounts asks a fresh service for each total once, a round, and runs the other
// side's statements.
func (b *Bench) compareCounts(ctx context.Context, name string, all []counted) (ours, other measure.Series, buffers float64, err error) {
	statement, err := measure.Connect(ctx, b.Data.Whole.SuperuserURL())
	if err != nil {
		return ours, other, 0, err
	}
	defer statement.Close(ctx)
	sides := []measure.Side{
		{Name: "service, " + name, Run: func(ctx context.Context) (float64, error) { return b.askAll(ctx, all) }},
		{Name: "count(*), " + name, Run: func(ctx context.Context) (float64, error) {
			var sum float64
			for _, c := range all {
				used, err := statement.CPU(ctx, c.statement, c.args...)
				if err != nil {
					return 0, err
				}
				sum += used
			}
			return sum / float64(len(all)), nil
		}},
	}
	series, err := measure.Interleave(ctx, b.Rounds, "µs of backend CPU", sides...)
	if err != nil {
		return ours, other, 0, err
	}
	buffers, err = b.buffersOf(ctx, b.Data.Whole, all)
	return series[0], series[1], buffers, err
}

// prepared is a service that remembers nothing, with a connection to it. The statements of
// the totals are prepared, by asking for the twins.
func (b *Bench) prepared(ctx context.Context, all []counted) (*Service, load.Target, *load.Conn, error) {
	s, err := b.fresh(ctx, b.Data.Whole)
	if err != nil {
		return nil, load.Target{}, nil, err
	}
	target, err := s.target(dataset.Large)
	if err != nil {
		return nil, target, nil, err
	}
	conn, err := load.Dial(ctx, s.Address)
	if err != nil {
		return nil, target, nil, err
	}
	return s, target, conn, warm(conn, target, all)
}

// askAll asks for each total once, one after the other, and returns what one costs the
// backends on average, in microseconds.
func (b *Bench) askAll(ctx context.Context, all []counted) (float64, error) {
	s, target, conn, err := b.prepared(ctx, all)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	sum, err := s.backendCPU(ctx, func() error {
		for _, c := range all {
			if _, err := conn.Do(target.Get(lists, counting(c.query)), nil); err != nil {
				return err
			}
		}
		return nil
	})
	return sum / float64(len(all)), err
}

// dearest is what the dearest of the totals costs backends and service together, in
// milliseconds. Looking at each leaves caches cold, so these are upper bounds.
func (b *Bench) dearest(ctx context.Context, all []counted) (float64, error) {
	s, target, conn, err := b.prepared(ctx, all)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	processes, err := s.processes(ctx)
	if err != nil {
		return 0, err
	}
	var most time.Duration
	for _, c := range all {
		before, err := measure.CPUOf(processes)
		if err != nil {
			return 0, err
		}
		if _, err := conn.Do(target.Get(lists, counting(c.query)), nil); err != nil {
			return 0, err
		}
		after, err := measure.CPUOf(processes)
		if err != nil {
			return 0, err
		}
		most = max(most, after-before)
	}
	return microseconds(most) / 1000, nil
}

// processes are the service's own and its backends.
func (s *Service) processes(ctx context.Context) ([]int, error) {
	conn, err := s.bench.superuser(ctx, s.Database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	backends, err := measure.Backends(ctx, conn, s.Database.Login(), s.Database.Name)
	return append(backends, s.PID()), err
}

func counting(q url.Values) url.Values {
	all := query("per_page", 1, "page", beyond)
	for name, values := range q {
		all[name] = values
	}
	return all
}

// warm asks for the twins, and again within other dates if they have dates, so that
// connections have their statements and nothing that is measured is remembered.
func warm(conn *load.Conn, target load.Target, all []counted) error {
	for round := range 3 {
		for _, c := range all {
			q := counting(c.twin)
			if q.Has("start_date") {
				q.Set("start_date", time.Date(2025, 12, 1, 0, 0, round, 0, time.UTC).Format(time.RFC3339))
			}
			if _, err := conn.Do(target.Get(lists, q), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// buffersOf counts what a total's statements touch, on average, asked for the first time.
func (b *Bench) buffersOf(ctx context.Context, d dataset.Database, all []counted) (float64, error) {
	s, err := b.fresh(ctx, d)
	if err != nil {
		return 0, err
	}
	target, err := s.target(dataset.Large)
	if err != nil {
		return 0, err
	}
	conn, err := load.Dial(ctx, s.Address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := warm(conn, target, all); err != nil {
		return 0, err
	}
	counter, err := measure.NewCounter(ctx, b.Data.Server.SuperuserURL("postgres"), d.Login(), d.Name)
	if err != nil {
		return 0, err
	}
	buffers, _, err := counter.Count(ctx, len(all), func() error {
		for _, c := range all {
			if _, err := conn.Do(target.Get(lists, counting(c.query)), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if closing := counter.Close(ctx); err == nil {
		err = closing
	}
	return buffers, err
}

// month is a range of dates and the positions that it spans in the largest trail.
type month struct {
	from, to  time.Time
	low, high int64
}

// bound adds the month to a query.
func (m month) bound(q url.Values) url.Values {
	q.Set("start_date", m.from.Format(time.RFC3339Nano))
	q.Set("end_date", m.to.Format(time.RFC3339Nano))
	return q
}

func monthsOf(ctx context.Context, d dataset.Database) ([]month, error) {
	conn, err := pgx.Connect(ctx, d.SuperuserURL())
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	var months []month
	for n := range 10 {
		m := month{from: time.Date(2025, time.Month(12+n), 1, 0, 0, 0, 0, time.UTC)}
		m.to = m.from.AddDate(0, 1, 0).Add(-time.Microsecond)
		err := conn.QueryRow(ctx, `SELECT (SELECT position FROM entries WHERE organization = $1 AND created_at >= $2 ORDER BY created_at, position LIMIT 1),
			(SELECT position FROM entries WHERE organization = $1 AND created_at > $3 ORDER BY created_at, position LIMIT 1)`,
			dataset.Large, m.from, m.to).Scan(&m.low, &m.high)
		if err != nil {
			return nil, err
		}
		months = append(months, m)
	}
	return months, nil
}

// combinations compares totals of two and three filters with a covering index's count.
func combinations(ctx context.Context, b *Bench, result *report.Result) error {
	all, err := b.combined(ctx)
	if err != nil {
		return err
	}
	ours, other, buffers, err := b.compareCounts(ctx, "combinations", all)
	if err != nil {
		return err
	}
	dearest, err := measure.Interleave(ctx, b.Rounds, "ms of CPU in all", measure.Side{
		Name: "the dearest combination", Run: func(ctx context.Context) (float64, error) { return b.dearest(ctx, all) },
	})
	if err != nil {
		return err
	}
	result.Series = []measure.Series{ours, other, dearest[0]}
	result.Checks = []report.Check{
		{What: "CPU of a covering index's count, of ours", Value: measure.Ratio(other, ours), Unit: "×", Target: 15},
		{What: "the dearest combination's CPU, service and database", Value: dearest[0].Median(), Unit: "ms", Target: 4, AtMost: true},
	}
	result.Note("%d combinations of users, actions, types and months, each asked for once by a service that was just started; %.0f buffers each.", len(all), buffers)
	return nil
}

// combined makes pairs and triples of values that each have at least a fiftieth of the
// largest trail (100,000 of 5 million), half of them between dates.
func (b *Bench) combined(ctx context.Context) ([]counted, error) {
	months, err := monthsOf(ctx, b.Data.Whole)
	if err != nil {
		return nil, err
	}
	values, twins := map[string][]popular{}, map[string][]popular{}
	for _, column := range []string{"user_id", "action", "resource_type"} {
		found, err := popularOf(ctx, b.Data.Whole, column)
		if err != nil {
			return nil, err
		}
		for n, v := range found {
			if n < 3 && v.Entries >= int64(size(b.Data.Whole))/50 {
				values[column] = append(values[column], v)
			} else if n < 10 {
				twins[column] = append(twins[column], v)
			}
		}
		if values[column] == nil || twins[column] == nil {
			return nil, fmt.Errorf("%s has no frequent value, or no other", column)
		}
	}
	var all []counted
	add := func(columns ...string) {
		for n := range 6 {
			c := counted{url.Values{}, url.Values{}, "SELECT count(*) FROM naive.audit_logs WHERE organization = $1", []any{dataset.Large}}
			for i, column := range columns {
				v := values[column][(n/(i+1)+i*n)%len(values[column])]
				c.query.Set(column, v.Value)
				c.twin.Set(column, twins[column][n%len(twins[column])].Value)
				c.args = append(c.args, v.Value)
				c.statement += fmt.Sprintf(" AND %s = $%d", column, len(c.args))
			}
			if n%2 == 1 {
				m := months[n]
				m.bound(c.query)
				m.bound(c.twin)
				c.args = append(c.args, m.low, m.high)
				c.statement += fmt.Sprintf(" AND number >= $%d AND number < $%d", len(c.args)-1, len(c.args))
			}
			all = append(all, c)
		}
	}
	add("user_id", "action")
	add("user_id", "resource_type")
	add("action", "resource_type")
	add("user_id", "action", "resource_type")
	return distinct(all), nil
}

func distinct(all []counted) []counted {
	seen := map[string]bool{}
	var kept []counted
	for _, c := range all {
		if key := c.query.Encode(); !seen[key] {
			seen[key] = true
			kept = append(kept, c)
		}
	}
	return kept
}
