package rows

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/bench/dataset"
	"ocore.dev/audit/internal/bench/load"
	"ocore.dev/audit/internal/bench/measure"
	"ocore.dev/audit/internal/bench/report"
	"ocore.dev/audit/internal/merkle"
)

// writers are how many connections batches are measured with, on both sides.
const writers = 4

// busy are the organizations that batches go to.
var busy = []string{dataset.Large, dataset.Middle(1), dataset.Middle(2), dataset.Middle(3), dataset.Middle(4)}

// body is a draft as a client sends it.
func body(d audit.Draft) map[string]any {
	sent := map[string]any{"action": d.Action, "resourceType": d.ResourceType}
	for name, value := range map[string]string{
		"resourceId": d.ResourceID, "resourceName": d.ResourceName, "userId": d.UserID, "userName": d.UserName,
		"ipAddress": d.IPAddress, "userAgent": d.UserAgent,
	} {
		if value != "" {
			sent[name] = value
		}
	}
	if d.BeforeState != nil {
		sent["beforeState"] = json.RawMessage(d.BeforeState)
	}
	if d.AfterState != nil {
		sent["afterState"] = json.RawMessage(d.AfterState)
	}
	return sent
}

// batches compares batches over HTTP with COPY of ready rows into the same table.
func batches(ctx context.Context, b *Bench, result *report.Result) (failed error) {
	database, drop, err := b.scratch(ctx, "scratch_batches")
	if err != nil {
		return err
	}
	defer func() {
		if err := drop(); failed == nil {
			failed = err
		}
	}()
	s, err := b.service(ctx, database)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 1))
	for _, each := range []int{100, 1000} {
		next, err := s.batchesOf(random, each)
		if err != nil {
			return err
		}
		rows, err := readyRows(random, 4*each)
		if err != nil {
			return err
		}
		series, err := measure.Interleave(ctx, b.Rounds, "entries/s",
			measure.Side{Name: fmt.Sprintf("service, batches of %d", each), Run: func(ctx context.Context) (float64, error) {
				r, err := load.Closed(ctx, s.Address, writers, b.Round, next)
				return r.Rate() * float64(each), err
			}},
			measure.Side{Name: fmt.Sprintf("COPY, batches of %d", each), Run: func(ctx context.Context) (float64, error) {
				return copyRows(ctx, database.SuperuserURL(), rows, each, b.Round)
			}})
		if err != nil {
			return err
		}
		result.Series = append(result.Series, series...)
		result.Checks = append(result.Checks, report.Check{
			What: fmt.Sprintf("batches of %d: of COPY's rate", each), Value: measure.Ratio(series[0], series[1]), Unit: "×", Target: 0.5,
		})
	}
	result.Note("%d connections each; COPY loads rows that are ready, with leaves, into entries and its indexes alone, a batch a transaction.", writers)
	return nil
}

// batchesOf renders bodies beforehand and sends them to any of the busy organizations.
func (s *Service) batchesOf(random *rand.Rand, each int) (load.Requests, error) {
	var requests [][]byte
	for n := range 8 * len(busy) {
		organization := busy[n%len(busy)]
		target, err := s.target(organization)
		if err != nil {
			return nil, err
		}
		items := make([]map[string]any, each)
		for i := range items {
			items[i] = body(dataset.Draft(random, organization))
		}
		text, err := json.Marshal(map[string]any{"items": items})
		if err != nil {
			return nil, err
		}
		requests = append(requests, target.Post(lists+"/batch", text))
	}
	return func(r *rand.Rand) []byte { return requests[r.IntN(len(requests))] }, nil
}

var entryColumns = []string{"organization", "position", "created_at", "action", "resource_type", "resource_id", "user_id", "entry", "salts", "leaf_hash"}

// readyRows are entries as they are stored, but for organization, position and time.
func readyRows(random *rand.Rand, n int) ([][]any, error) {
	var rows [][]any
	for range n {
		entry, err := audit.Admit(dataset.Draft(random, dataset.Large), "")
		if err != nil {
			return nil, err
		}
		text := entry.Seal("bench", time.Time{})
		salts := audit.NewSalts(dataset.Large, text)
		hash := merkle.LeafHash(binary.BigEndian.AppendUint64(nil, random.Uint64()))
		rows = append(rows, []any{"", int64(0), time.Now(), entry.Action, entry.ResourceType, entry.ResourceID, entry.UserID, string(text), salts, hash})
	}
	return rows, nil
}

// copied gives rows of COPY positions that no trail reaches.
var copied atomic.Int64

// copyRows copies batches, a transaction each, over as many connections as the service's
// clients have, and returns rows a second.
func copyRows(ctx context.Context, url string, rows [][]any, each int, d time.Duration) (float64, error) {
	var done atomic.Int64
	failures := make([]error, writers)
	var all sync.WaitGroup
	begun := time.Now()
	for w := range writers {
		all.Go(func() {
			failures[w] = func() error {
				conn, err := pgx.Connect(ctx, url)
				if err != nil {
					return err
				}
				defer conn.Close(context.WithoutCancel(ctx))
				for time.Since(begun) < d {
					first := copied.Add(int64(each)) + 1<<40
					organization, start := busy[rand.IntN(len(busy))], rand.IntN(len(rows)-each+1)
					now := time.Now()
					row := make([]any, len(entryColumns))
					source := pgx.CopyFromSlice(each, func(i int) ([]any, error) {
						copy(row, rows[start+i])
						row[0], row[1], row[2] = organization, first+int64(i), now
						return row, nil
					})
					if _, err := conn.CopyFrom(ctx, pgx.Identifier{"entries"}, entryColumns, source); err != nil {
						return err
					}
					done.Add(int64(each))
				}
				return nil
			}()
		})
	}
	all.Wait()
	for _, err := range failures {
		if err != nil {
			return 0, err
		}
	}
	return float64(done.Load()) / time.Since(begun).Seconds(), nil
}

// singles renders bodies of one entry.
func singles(target load.Target, path string) (load.Requests, error) {
	random := rand.New(rand.NewPCG(2, 2))
	var requests [][]byte
	for range 2000 {
		text, err := json.Marshal(body(dataset.Draft(random, dataset.Large)))
		if err != nil {
			return nil, err
		}
		requests = append(requests, target.Post(path, text))
	}
	return func(r *rand.Rand) []byte { return requests[r.IntN(len(requests))] }, nil
}

// single compares one busy organization's entries with a transaction each.
func single(ctx context.Context, b *Bench, result *report.Result) (failed error) {
	const clients = 64
	database, drop, err := b.scratch(ctx, "scratch_single")
	if err != nil {
		return err
	}
	defer func() {
		if err := drop(); failed == nil {
			failed = err
		}
	}()
	ours, err := b.service(ctx, database)
	if err != nil {
		return err
	}
	naive, err := b.naive(ctx, database)
	if err != nil {
		return err
	}
	latencies := map[string]*measure.Series{}
	side := func(name string, s *Service, path string) (measure.Side, error) {
		target, err := s.target(dataset.Large)
		if err != nil {
			return measure.Side{}, err
		}
		next, err := singles(target, path)
		latencies[name] = &measure.Series{Name: name + ", p99", Unit: "ms"}
		return measure.Side{Name: name, Run: func(ctx context.Context) (float64, error) {
			r, err := load.Closed(ctx, target.Address, clients, b.Round, next)
			latencies[name].Rounds = append(latencies[name].Rounds, r.Percentile(99))
			return r.Rate(), err
		}}, err
	}
	var sides []measure.Side
	for _, one := range []struct {
		name    string
		service *Service
		path    string
	}{
		{"service", ours, lists},
		{"a transaction an entry", naive, "/audit-logs"},
		{"a transaction an entry, without an order", naive, "/audit-logs/unordered"},
	} {
		s, err := side(one.name, one.service, one.path)
		if err != nil {
			return err
		}
		sides = append(sides, s)
	}
	series, err := measure.Interleave(ctx, b.Rounds, "entries/s", sides...)
	if err != nil {
		return err
	}
	p99 := make([]measure.Series, len(sides))
	for i, s := range sides {
		p99[i] = *latencies[s.Name]
		p99[i].Rounds = p99[i].Rounds[1:] // the first warmed up
	}
	result.Series = slices.Concat(series, p99)
	result.Checks = []report.Check{
		{What: "the rate of a transaction an entry", Value: measure.Ratio(series[0], series[1]), Unit: "×", Target: 6},
		{What: "of its 99th percentile", Value: measure.Ratio(p99[0], p99[1]), Unit: "×", Target: 0.2, AtMost: true},
	}
	result.Note("%d clients. The other side gives positions too: it locks the trail's head, in one statement with the insert. Entries that nothing orders reach %.1f times that rate.",
		clients, measure.Ratio(series[2], series[1]))
	return nil
}
