package postgres

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/metrics"
	"ocore.dev/audit/internal/tracing"
)

// WorkerOptions are what a Worker needs to know. Zero values take the defaults.
type WorkerOptions struct {
	URL       string        // the worker's login
	Pause     time.Duration // between looks for work; default 2 s
	PostFrom  int64         // entries of a value from which on it gets postings; default 4,096
	Log       *slog.Logger
	Statement time.Duration    // time-out of any one statement; default 30 s
	Metrics   *metrics.Metrics // nil: nobody counts
	Tracing   *tracing.Tracing // nil: nobody traces
}

// Worker builds postings from history that is complete, and keeps what is signed of
// trails. Any number may work on one database: each takes trails that no other is at.
// Without one, answers are right and slower, and no entry can be proved.
type Worker struct {
	pool     *pgxpool.Pool
	log      *slog.Logger
	pause    time.Duration
	postFrom int64
	traces   *tracing.Tracing
	unposted atomic.Int64 // positions in whole ranges without postings, when it last looked
}

// OpenWorker connects as the worker role. It doesn't wait for the database.
func OpenWorker(ctx context.Context, o WorkerOptions) (*Worker, error) {
	options := Options{URL: o.URL, StatementTimeout: o.Statement, Log: o.Log, Tracing: o.Tracing}.withDefaults()
	pool, err := options.pool(ctx, "ocore-audit worker", workerConnections)
	if err != nil {
		return nil, err
	}
	w := &Worker{pool: pool, log: options.Log, pause: o.Pause, postFrom: o.PostFrom, traces: o.Tracing}
	if w.pause == 0 {
		w.pause = 2 * time.Second
	}
	if w.postFrom == 0 {
		w.postFrom = 4096
	}
	watchPool(o.Metrics, "worker", pool)
	o.Metrics.Watch("unposted_positions", "Positions whose ranges are whole and have no postings yet.", func() float64 { return float64(w.unposted.Load()) })
	return w, nil
}

// workerConnections are one for the builder, one for the signer's round and one for
// checkpoints that somebody waits for.
const workerConnections = 3

// Close disconnects.
func (w *Worker) Close() { w.pool.Close() }

// Run builds what there is to build until ctx ends. Faults are logged and tried again.
func (w *Worker) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := w.Build(ctx); err != nil && ctx.Err() == nil {
			w.log.LogAttrs(ctx, slog.LevelWarn, "postings were not built; answers are right and slower meanwhile", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(w.pause):
		}
	}
}

// Build builds every range that is complete, and returns how many it built.
func (w *Worker) Build(ctx context.Context) (ranges int, err error) {
	looking, stop := context.WithTimeout(ctx, runTimeout)
	defer stop()
	trails, err := queries.TrailsToPost(looking, w.pool)
	if err != nil {
		return 0, translate("look for ranges to build", err)
	}
	w.unposted.Store(0)
	for _, t := range trails {
		w.unposted.Add(rangeSize * t.Missing)
	}
	for _, t := range trails {
		for {
			built, err := w.buildSome(ctx, t.Organization)
			ranges += built
			w.unposted.Add(-rangeSize * int64(built))
			if err != nil {
				return ranges, err
			}
			if built < rangesPerTransaction {
				break
			}
		}
	}
	return ranges, nil
}

// rangesPerTransaction bounds what a fault undoes.
const rangesPerTransaction = 16

// buildTimeout bounds one transaction, so that an answer that was lost on its way doesn't end
// the work for ever.
const buildTimeout = 5 * time.Minute

// buildSome builds up to so many ranges of a trail in one transaction; none while another
// worker is at that trail.
func (w *Worker) buildSome(ctx context.Context, organization string) (built int, err error) {
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	ctx, span := w.traces.Work(ctx, "build postings")
	defer func() {
		span.Count("ranges", built)
		endWork(span, err)
	}()
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		b := &builder{tx: tx, organization: organization, postFrom: w.postFrom}
		from, to, err := b.lock(ctx)
		if err != nil {
			return err
		}
		for at := from; at < min(to, from+rangesPerTransaction); at++ {
			if err := b.build(ctx, at); err != nil {
				return err
			}
			built++
		}
		if built == 0 {
			return nil
		}
		var p pipeline
		exec(&p, queries.ProgressAdvance(ctx, &p, []db.ProgressAdvanceParams{{Organization: organization, Ranges: from + int64(built)}}).Exec)
		return p.run(ctx, tx)
	})
	if err != nil {
		return 0, translate("build postings of "+organization, err)
	}
	return built, nil
}

// endWork ends what the worker did.
func endWork(span tracing.Span, err error) {
	if err != nil {
		span.Fail(faultOf(err))
	}
	span.End()
}
