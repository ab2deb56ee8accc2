package rows

import (
	"context"
	"fmt"
	"net/url"

	"ocore.dev/audit/internal/bench/dataset"
	"ocore.dev/audit/internal/bench/load"
	"ocore.dev/audit/internal/bench/measure"
	"ocore.dev/audit/internal/bench/report"
)

// shape is a way of asking, in one of the sizes.
type shape struct {
	name    string
	queries []url.Values
	twins   []url.Values // the same of other values, see [counted]
}

// shapesOf asks for the same ranks of values in any size, so that what differs is the
// number of entries alone.
func shapesOf(ctx context.Context, d dataset.Database) ([]shape, error) {
	months, err := monthsOf(ctx, d)
	if err != nil {
		return nil, err
	}
	values := map[string][]popular{}
	for _, column := range []string{"action", "resource_type", "user_id", "resource_id"} {
		if values[column], err = popularOf(ctx, d, column); err != nil {
			return nil, err
		}
	}
	var shapes []shape
	add := func(name string, columns []string, dated bool) {
		s := shape{name: name}
		for n := range 10 {
			q, twin := query("per_page", perPage), query("per_page", perPage)
			for i, column := range columns {
				v := values[column]
				rank := (n + i) % min(10, len(v))
				q.Set(column, v[rank].Value)
				twin.Set(column, v[(10+rank)%len(v)].Value)
			}
			if columns == nil { // another page, since one that was read before comes from memory
				q.Set("page", itoa(1+10*n))
				twin.Set("page", itoa(6+10*n))
			}
			if dated {
				months[n].bound(q)
				months[n].bound(twin)
			}
			s.queries, s.twins = append(s.queries, q), append(s.twins, twin)
		}
		shapes = append(shapes, s)
	}
	add("no filter", nil, false)
	add("month", nil, true)
	for _, column := range []string{"action", "resource_type", "user_id", "resource_id"} {
		add(column, []string{column}, false)
		add(column+" and month", []string{column}, true)
	}
	add("user_id and action", []string{"user_id", "action"}, false)
	add("user_id and resource_type", []string{"user_id", "resource_type"}, false)
	add("three filters and month", []string{"user_id", "action", "resource_type"}, true)
	deepPages := shape{name: "no filter, deep page"}
	for n := range 10 {
		deepPages.queries = append(deepPages.queries, query("per_page", perPage, "page", size(d)/perPage*(n+1)/11))
		deepPages.twins = append(deepPages.twins, query("per_page", perPage, "page", size(d)/perPage*(n+1)/12))
	}
	return append(shapes, deepPages), nil
}

// shapes counts the buffers of a page with its total for every shape, asked for the first
// time, in all sizes; and what the naive form's statements cost as they grow.
func shapes(ctx context.Context, b *Bench, result *report.Result) error {
	sizes := []dataset.Database{b.Data.Hundredth, b.Data.Tenth, b.Data.Whole}
	buffers := map[string][]float64{}
	var names []string
	for _, d := range sizes {
		all, err := shapesOf(ctx, d)
		if err != nil {
			return err
		}
		s, err := b.fresh(ctx, d)
		if err != nil {
			return err
		}
		touched, err := b.shapeBuffers(ctx, s, all)
		if err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
		names = nil
		for i, one := range all {
			names = append(names, one.name)
			buffers[one.name] = append(buffers[one.name], touched[i])
		}
	}
	entries := []float64{float64(sizes[0].Entries), float64(sizes[1].Entries), float64(sizes[2].Entries)}
	worst, dearest := "", 0.0
	for _, name := range names {
		b := buffers[name]
		if growth := b[2] / b[1]; growth > dearest {
			worst, dearest = name, growth
		}
		result.Series = append(result.Series, measure.Series{Name: name + ", at a hundredth, a tenth, the whole", Unit: "buffers", Rounds: b})
		result.Curves = append(result.Curves, report.Curve{Plot: "buffers", Name: name, X: entries, Y: b})
	}
	result.Checks = []report.Check{{What: fmt.Sprintf("the buffers at a tenth of the size (worst shape: %s)", worst), Value: dearest, Unit: "×", Target: 1.3, AtMost: true}}
	return b.costs(ctx, result, sizes, entries)
}

func (b *Bench) shapeBuffers(ctx context.Context, s *Service, all []shape) (buffers []float64, failed error) {
	target, err := s.target(dataset.Large)
	if err != nil {
		return nil, err
	}
	conn, err := load.Dial(ctx, s.Address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for _, one := range all {
		for _, q := range one.twins {
			if _, err := conn.Do(target.Get(lists, q), nil); err != nil {
				return nil, err
			}
		}
	}
	counter, err := measure.NewCounter(ctx, b.Data.Server.SuperuserURL("postgres"), s.Database.Login(), s.Database.Name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := counter.Close(ctx); failed == nil {
			failed = err
		}
	}()
	for _, one := range all {
		touched, _, err := counter.Count(ctx, len(one.queries), func() error {
			for _, q := range one.queries {
				if _, err := conn.Do(target.Get(lists, q), nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.name, err)
		}
		buffers = append(buffers, touched)
	}
	return buffers, nil
}

// costs draws how the CPU of a list with its total grows with the trail, ours and the
// naive form's.
func (b *Bench) costs(ctx context.Context, result *report.Result, sizes []dataset.Database, entries []float64) error {
	lines := []string{"ours: page 1 and total", "ours: middle page of an action, and total", "count(*) of an action", "OFFSET at the middle page of an action"}
	costs := make([][]float64, len(lines))
	for _, d := range sizes {
		actions, err := popularOf(ctx, d, "action")
		if err != nil {
			return err
		}
		middle := max(1, int(actions[0].Entries)/2/perPage)
		s, err := b.fresh(ctx, d)
		if err != nil {
			return err
		}
		target, err := s.target(dataset.Large)
		if err != nil {
			return err
		}
		naive := "FROM naive.audit_logs WHERE organization = $1 AND action = $2"
		for i, pair := range []struct {
			request   []byte
			statement string
			args      []any
		}{
			{target.Get(lists, query("per_page", perPage)), "SELECT count(*) " + naive, []any{dataset.Large, actions[0].Value}},
			{
				target.Get(lists, query("per_page", perPage, "page", middle, "action", actions[0].Value)),
				"SELECT * " + naive + " ORDER BY number DESC LIMIT $3 OFFSET $4",
				[]any{dataset.Large, actions[0].Value, perPage, (middle - 1) * perPage},
			},
		} {
			series, err := b.againstStatement(ctx, s, lines[2+i], 1, func() []byte { return pair.request },
				func(m *measure.Statement) (float64, error) { return m.CPU(ctx, pair.statement, pair.args...) })
			if err != nil {
				return err
			}
			costs[i], costs[2+i] = append(costs[i], series[0].Median()), append(costs[2+i], series[1].Median())
		}
	}
	for i, line := range lines {
		result.Curves = append(result.Curves, report.Curve{Plot: "cost", Name: line, X: entries, Y: costs[i]})
	}
	return nil
}
