package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"ocore.dev/audit/gen/db"
)

var queries = db.New()

// sender is a pool, or a transaction.
type sender interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// pipeline gathers generated queries and sends them in one round trip. Outside a
// transaction it is one by itself, which is what keeps the organization's setting to
// its statements. The generated batch methods hand their statements to SendBatch and
// read their results later; pipeline stands between, so that many of them share one
// batch. Queries are added by [exec], [one] and [many], and have results after run.
type pipeline struct {
	db.DBTX // nil: generated batch queries call SendBatch alone
	batch   pgx.Batch
	results pgx.BatchResults
	reads   []func() error
}

// SendBatch queues; it implements db.DBTX.
func (p *pipeline) SendBatch(_ context.Context, b *pgx.Batch) pgx.BatchResults {
	p.grow()
	p.batch.QueuedQueries = append(p.batch.QueuedQueries, b.QueuedQueries...)
	return sharedResults{p}
}

// in sets the organization for the statements that follow.
func (p *pipeline) in(_ context.Context, organization string) {
	p.ask(func() error { _, err := p.results.Exec(); return err }, db.OrganizationSet, organization)
}

// ask queues one statement, whose result read reads: for those of most requests, as what is
// generated makes a batch and a list of arguments for each.
func (p *pipeline) ask(read func() error, statement string, arguments ...any) {
	p.grow()
	p.batch.Queue(statement, arguments...)
	p.reads = append(p.reads, read)
}

func (p *pipeline) grow() {
	if p.batch.QueuedQueries == nil {
		p.batch.QueuedQueries = make([]*pgx.QueuedQuery, 0, 8)
		p.reads = make([]func() error, 0, 8)
	}
}

// control queues BEGIN or COMMIT. A COMMIT that PostgreSQL turned into a ROLLBACK fails.
func (p *pipeline) control(statement string) {
	p.batch.Queue(statement)
	p.reads = append(p.reads, func() error {
		tag, err := p.results.Exec()
		if err == nil && tag.String() != statement {
			err = fmt.Errorf("%s ended in %s", statement, tag)
		}
		return err
	})
}

// runTimeout is beyond what the time-out of statements lets pass: an answer that takes longer
// was lost on its way.
const runTimeout = 40 * time.Second

// run sends what was gathered and reads every result; it returns the first error. What a pool
// runs ends after runTimeout; a transaction has the bound of whoever began it. Its connection
// goes back whatever happens: who visits rows may panic over one that was tampered with.
func (p *pipeline) run(ctx context.Context, to sender) (failed error) {
	if _, alone := to.(*pgxpool.Pool); alone {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, runTimeout)
		defer cancel()
	}
	p.results = to.SendBatch(ctx, &p.batch)
	defer func() {
		if err := p.results.Close(); failed == nil {
			failed = err
		}
	}()
	for _, read := range p.reads {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

// sharedResults reads the next result of the pipeline that a generated query is part of.
type sharedResults struct{ p *pipeline }

func (s sharedResults) Exec() (pgconn.CommandTag, error) { return s.p.results.Exec() }
func (s sharedResults) Query() (pgx.Rows, error)         { return s.p.results.Query() }
func (s sharedResults) QueryRow() pgx.Row                { return s.p.results.QueryRow() }

// Close does nothing: the pipeline closes the batch once all its queries were read.
func (s sharedResults) Close() error { return nil }

// Tx is never begun by a pipeline.
func (s sharedResults) Tx() pgx.Tx { return nil }

func exec(p *pipeline, read func(func(int, error))) {
	p.reads = append(p.reads, func() (failed error) {
		read(func(_ int, err error) { failed = err })
		return failed
	})
}

func one[T any](p *pipeline, read func(func(int, T, error))) *T {
	var row T
	p.reads = append(p.reads, func() (failed error) {
		read(func(_ int, r T, err error) { row, failed = r, err })
		return failed
	})
	return &row
}

func many[T any](p *pipeline, read func(func(int, []T, error))) *[]T {
	var rows []T
	p.reads = append(p.reads, func() (failed error) {
		read(func(_ int, r []T, err error) { rows, failed = r, err })
		return failed
	})
	return &rows
}
