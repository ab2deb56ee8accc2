package rows

import (
	"context"

	"ocore.dev/audit/internal/bench/dataset"
	"ocore.dev/audit/internal/bench/load"
	"ocore.dev/audit/internal/bench/measure"
	"ocore.dev/audit/internal/bench/report"
)

// openClients are enough that a request's time hardly ever comes while all are busy.
const openClients = 64

// open sends lists and single entries at half the rate that the service can bear.
func open(ctx context.Context, b *Bench, result *report.Result) (failed error) {
	database, drop, err := b.scratch(ctx, "scratch_open")
	if err != nil {
		return err
	}
	defer func() {
		if err := drop(); failed == nil {
			failed = err
		}
	}()
	if err := b.cached(ctx, b.Data.Whole); err != nil {
		return err
	}
	reads, err := b.service(ctx, b.Data.Whole)
	if err != nil {
		return err
	}
	writes, err := b.service(ctx, database)
	if err != nil {
		return err
	}
	readTarget, err := reads.target(dataset.Large)
	if err != nil {
		return err
	}
	writeTarget, err := writes.target(dataset.Large)
	if err != nil {
		return err
	}
	posts, err := singles(writeTarget, lists)
	if err != nil {
		return err
	}
	for _, kind := range []struct {
		name string
		at   load.Target
		next load.Requests
	}{
		{"list with total", readTarget, pagesOf(readTarget, lists, 1, window(b.Data.Whole))},
		{"single POST", writeTarget, posts},
	} {
		if _, err := load.Closed(ctx, kind.at.Address, openClients, b.Round, kind.next); err != nil {
			return err
		}
		most, err := load.Closed(ctx, kind.at.Address, openClients, 2*b.Round, kind.next)
		if err != nil {
			return err
		}
		half, err := load.Open(ctx, kind.at.Address, openClients, most.Rate()/2, 5*b.Round, kind.next)
		if err != nil {
			return err
		}
		result.Series = append(result.Series,
			measure.Series{Name: kind.name + ", maximum", Unit: "requests/s", Rounds: []float64{most.Rate()}},
			measure.Series{Name: kind.name + ", sent", Unit: "requests/s", Rounds: []float64{half.Rate()}})
		curve := report.Curve{Plot: "latency", Name: kind.name}
		for _, p := range []float64{0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99} {
			curve.X, curve.Y = append(curve.X, p), append(curve.Y, half.Percentile(p))
		}
		result.Curves = append(result.Curves, curve)
		result.Note("%s at %.0f requests/s of at most %.0f: p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms.", kind.name, half.Rate(), most.Rate(),
			half.Percentile(50), half.Percentile(99), half.Percentile(99.9))
	}
	return nil
}
