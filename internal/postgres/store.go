package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/metrics"
	"ocore.dev/audit/internal/tracing"
)

// Options are what a Store needs to know. Zero values take the defaults.
type Options struct {
	URL              string        // the serving login
	ReadConnections  int32         // default 8
	Writers          int           // connections that append; each owns some of the organizations; default 4
	StatementTimeout time.Duration // of any one statement; default 30 s
	Log              *slog.Logger
	Metrics          *metrics.Metrics // nil: nobody counts
	Tracing          *tracing.Tracing // nil: nobody traces
	Now              func() time.Time // the clock here, [time.Now] but for tests

	patience time.Duration // half of it for a lock, a third of it idle while holding one; default StatementTimeout
}

// Store is an [audit.Store]. Reads and writes have pools of their own, so that neither
// can starve the other.
type Store struct {
	reads   *pgxpool.Pool
	appends *pgxpool.Pool
	probes  *pgxpool.Pool // one connection, so that readiness doesn't wait behind reads
	batcher *batcher
	heads   *headReader

	clock    *clock
	blocks   *blocks
	counts   *counts
	postings *keptPostings
	forget   *time.Timer
}

// rememberFor bounds how long something is shown that isn't stored any more, because somebody
// changed the database or mended it.
const rememberFor = 10 * time.Minute

// Forget drops all that was kept of what was read: the database is not what it was.
func (s *Store) Forget() {
	s.blocks.forget()
	s.counts.forget()
	s.postings.forget()
}

// Open connects as the serving role. It doesn't wait for the database: see [Store.Ready].
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	s := &Store{clock: newClock(o), blocks: newBlocks(), counts: newCounts(), postings: newKeptPostings()}
	appending := o
	appending.StatementTimeout = min(o.StatementTimeout, commitTimeout+maxWaitingBytes/commitRate*time.Second)
	appending.patience = min(o.StatementTimeout, 2*commitTimeout)
	for _, p := range []struct {
		name        string
		options     Options
		connections int32
		into        **pgxpool.Pool
	}{{"read", o, o.ReadConnections, &s.reads}, {"append", appending, int32(o.Writers), &s.appends}, {"probe", o, 1, &s.probes}} {
		pool, err := p.options.pool(ctx, "ocore-audit "+p.name, p.connections)
		if err != nil {
			return nil, err // of the URL, which the first pool finds: none is open yet
		}
		*p.into = pool
	}
	s.heads = newHeadReader(s.reads)
	s.batcher = newBatcher(o.Writers, &committer{pool: s.appends, log: o.Log, metrics: o.Metrics})
	s.watch(o.Metrics)
	s.forget = time.AfterFunc(rememberFor, func() {
		s.Forget()
		s.forget.Reset(rememberFor)
	})
	return s, nil
}

func (s *Store) watch(m *metrics.Metrics) {
	watchPool(m, "read", s.reads)
	watchPool(m, "append", s.appends)
	watchPool(m, "probe", s.probes)
	m.Watch("clock_offset_seconds", "How far the clock here was ahead of the database's when readiness was last asked for.", s.clock.seconds)
	m.Watch("waiting_bytes", "Estimated size of the entries that wait to be committed.", func() float64 { return float64(s.batcher.bytes.Load()) })
	m.Watch("waiting_bytes_limit", "From here on entries that come are refused.", func() float64 { return maxWaitingBytes })
}

func watchPool(m *metrics.Metrics, name string, pool *pgxpool.Pool) {
	m.WatchPool(name, func() metrics.Pool {
		stat := pool.Stat()
		return metrics.Pool{
			Max: stat.MaxConns(), InUse: stat.AcquiredConns(), Idle: stat.IdleConns(),
			Acquired: stat.AcquireCount(), Waited: stat.EmptyAcquireCount(), WaitTime: stat.EmptyAcquireWaitTime(),
		}
	})
}

func (o Options) withDefaults() Options {
	if o.ReadConnections == 0 {
		o.ReadConnections = 8
	}
	if o.Writers == 0 {
		o.Writers = 4
	}
	if o.StatementTimeout == 0 {
		o.StatementTimeout = 30 * time.Second
	}
	if o.patience == 0 {
		o.patience = o.StatementTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) pool(ctx context.Context, name string, connections int32) (*pgxpool.Pool, error) {
	config, err := o.config(name)
	if err != nil {
		return nil, err
	}
	config.MaxConns = connections
	if o.Tracing != nil {
		config.ConnConfig.Tracer = tracer{}
	}
	config.PingTimeout = pingTimeout
	var pool *pgxpool.Pool
	config.BeforeClose = func(conn *pgx.Conn) {
		if silent(conn) {
			pool.Reset() // what swallowed one connection's answer swallowed others', which would take as long each
		}
	}
	pool, err = pgxpool.NewWithConfig(ctx, config)
	return pool, err
}

// config is what every connection of ours is made with.
func (o Options) config(name string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, badURL(nil, err)
	}
	if err := badURL(config.ConnConfig, nil); err != nil {
		return nil, err
	}
	if mode := config.ConnConfig.DefaultQueryExecMode; mode == pgx.QueryExecModeSimpleProtocol || mode == pgx.QueryExecModeExec {
		return nil, errors.New("the database URL asks for a protocol whose answers are text; leave default_query_exec_mode out")
	}
	config.ConnConfig.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(bufio.NewReaderSize(r, readBuffer), w)
	}
	reach(config.ConnConfig)
	parameters := config.ConnConfig.RuntimeParams
	parameters["application_name"] = name
	fixNames(parameters)
	parameters["timezone"] = "UTC"
	parameters["synchronous_commit"] = "on"                        // 201 means committed, whatever the login's defaults
	parameters["default_transaction_isolation"] = "read committed" // what is known is looked up after the lock
	// Each statement is made for one plan, whatever its arguments: the tests hold it. Without
	// this a connection plans its first five executions anew, and may change its mind later.
	parameters["plan_cache_mode"] = "force_generic_plan"
	parameters["jit"] = "off" // would compile for longer than any of them runs
	parameters["statement_timeout"] = milliseconds(o.StatementTimeout)
	parameters["lock_timeout"] = milliseconds(o.patience / 2)
	// An instance that stands still, or whose connection was lost without a word, gives up its
	// locks before others give up waiting for them.
	parameters["idle_in_transaction_session_timeout"] = milliseconds(o.patience / 3)
	// The same where PostgreSQL is in the midst of statements of one round trip, for which it has
	// no time-out: a host that has gone is noticed by what it doesn't acknowledge.
	parameters["tcp_keepalives_idle"], parameters["tcp_keepalives_interval"], parameters["tcp_keepalives_count"] = "5", "2", "3"
	parameters["tcp_user_timeout"] = milliseconds(lostAfter)
	return config, nil
}

// readBuffer takes a page of entries in few reads. PostgreSQL writes 8 KB at a time, and the
// driver would read as much.
const readBuffer = 64 << 10

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }

// Ready reports whether the database answers and holds this version's schema. It compares the
// clocks, too, but is ready whatever they say: tokens that are refused for it are one caller's
// trouble, and no instance that answers is everybody's.
func (s *Store) Ready(ctx context.Context) error {
	if err := schemaCurrent(ctx, s.probes); err != nil {
		return err
	}
	return s.clock.compare(ctx, s.probes)
}

// Close lets appends that wait finish, then disconnects. Later appends are refused.
func (s *Store) Close() {
	s.forget.Stop()
	s.batcher.close()
	s.appends.Close()
	s.reads.Close()
	s.probes.Close()
}

// Append implements [audit.Store].
func (s *Store) Append(ctx context.Context, submission audit.Submission) ([]audit.Receipt, error) {
	ctx, span := tracing.Start(ctx, "append")
	defer span.End()
	return s.batcher.append(ctx, submission)
}
