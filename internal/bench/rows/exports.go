package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
	"ocore.dev/audit/internal/bench/dataset"
	"ocore.dev/audit/internal/bench/load"
	"ocore.dev/audit/internal/bench/measure"
	"ocore.dev/audit/internal/bench/report"
	"ocore.dev/audit/internal/docs"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/postgres"
)

// exports compares 10,000 entries over HTTP, to the last byte, with draining the same rows
// from the database: the newest before one of 16 times, so that the service has more of them
// to read than it keeps in memory. It asks a clone, since an export is recorded.
func exports(ctx context.Context, b *Bench, result *report.Result) (failed error) {
	database, drop, err := b.scratch(ctx, "scratch_export")
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
	target, err := s.target(dataset.Large)
	if err != nil {
		return err
	}
	drained, err := pgx.Connect(ctx, database.SuperuserURL())
	if err != nil {
		return err
	}
	defer drained.Close(ctx)
	ends, err := exportEnds(ctx, drained, size(database))
	if err != nil {
		return err
	}
	turn := 0
	export := func(format string) func(context.Context) error {
		return func(ctx context.Context) error {
			turn++
			return s.export(ctx, target, query("format", format, "end_date", ends[turn%len(ends)].at.Format(time.RFC3339Nano)))
		}
	}
	series, err := measure.Interleave(ctx, b.Rounds, "ms",
		b.middle("JSON", export("json")),
		b.middle("CSV", export("csv")),
		b.middle("COPY, binary", func(ctx context.Context) error {
			turn++
			high := ends[turn%len(ends)].position + 1
			_, err := drained.PgConn().CopyTo(ctx, io.Discard, fmt.Sprintf(
				"COPY (SELECT position, created_at, entry FROM entries WHERE organization = '%s' AND position >= %d AND position < %d ORDER BY position DESC) TO STDOUT (FORMAT binary)",
				dataset.Large, max(high-audit.MaxExport, 0), high))
			return err
		}))
	if err != nil {
		return err
	}
	memory, err := b.exportMemory(ctx, database)
	if err != nil {
		return err
	}
	result.Series = slices.Concat(series, []measure.Series{memory})
	result.Checks = []report.Check{
		{What: "JSON: of the time of draining COPY (FORMAT binary)", Value: measure.Ratio(series[0], series[2]), Unit: "×", Target: 1.3, AtMost: true},
		{What: "CSV: of the same", Value: measure.Ratio(series[1], series[2]), Unit: "×", Target: 2.5, AtMost: true},
		{What: "live memory of a stream", Value: memory.Median(), Unit: "MB", Target: 2, AtMost: true},
	}
	return nil
}

// middle is the median time of as many turns as a round holds, in milliseconds.
func (b *Bench) middle(name string, turn func(context.Context) error) measure.Side {
	return measure.Side{Name: name, Run: func(ctx context.Context) (float64, error) {
		var times []float64
		for begun := time.Now(); len(times) < 3 || time.Since(begun) < b.Round; {
			start := time.Now()
			if err := turn(ctx); err != nil {
				return 0, err
			}
			times = append(times, float64(time.Since(start).Microseconds())/1000)
		}
		return measure.Median(times), nil
	}}
}

// end is where an export begins, which goes back from there.
type end struct {
	position int64
	at       time.Time
}

func exportEnds(ctx context.Context, conn *pgx.Conn, size int) ([]end, error) {
	rows, err := conn.Query(ctx, `SELECT max(position), created_at FROM entries
		WHERE organization = $1 AND created_at IN (SELECT created_at FROM entries WHERE organization = $1 AND position IN (SELECT $2 - 1 - n * $2 / 20 FROM generate_series(0, 15) n))
		GROUP BY created_at`, dataset.Large, int64(size))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e end, err error) { return e, row.Scan(&e.position, &e.at) })
}

func (s *Service) export(ctx context.Context, target load.Target, parameters url.Values) error {
	conn, err := load.Dial(ctx, s.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Do(target.Get(lists+"/export", parameters), io.Discard)
	return err
}

// inside serves a database from this process, where memory can be looked at.
func (b *Bench) inside(ctx context.Context, d dataset.Database) (address string, stop func(), err error) {
	store, err := postgres.Open(ctx, postgres.Options{URL: d.ServingURL()})
	if err != nil {
		return "", nil, err
	}
	verifier, err := auth.NewVerifier([]auth.Issuer{{KeySetFile: b.keySet, Algorithms: []string{"EdDSA"}}}, time.Now)
	if err != nil {
		return "", nil, err
	}
	log := slog.New(slog.DiscardHandler) // readers break off on purpose
	handler, err := httpapi.New(httpapi.Options{Service: audit.NewService(store), Authenticator: verifier, Ready: store.Ready, Docs: docs.Handler, Log: log})
	if err != nil {
		return "", nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := httpapi.NewServer(handler, log)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			b.Log.LogAttrs(ctx, slog.LevelError, "the service in this process ended", slog.Any("error", err))
		}
	}()
	return listener.Addr().String(), func() {
		_ = server.Close()
		store.Close()
	}, nil
}

// exportMemory is what streams that are under way keep alive, each: readers stop in the
// middle, and everything that nobody holds is collected.
func (b *Bench) exportMemory(ctx context.Context, d dataset.Database) (measure.Series, error) {
	series := measure.Series{Name: "live memory of a stream", Unit: "MB"}
	address, stop, err := b.inside(ctx, d)
	if err != nil {
		return series, err
	}
	defer stop()
	token, err := b.token(dataset.Large)
	if err != nil {
		return series, err
	}
	const streams = 3 // all that one organization may have at once
	request := load.Target{Address: address, Token: token}.Get(lists+"/export", nil)
	for range b.Rounds + 1 {
		before := live()
		var conns []net.Conn
		for range streams {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err != nil {
				return series, err
			}
			conns = append(conns, conn)
			if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
				return series, err
			}
			if _, err := conn.Write(request); err != nil {
				return series, err
			}
			if _, err := io.CopyN(io.Discard, conn, 64<<10); err != nil {
				return series, fmt.Errorf("an export broke off: %w", err)
			}
		}
		time.Sleep(300 * time.Millisecond)
		series.Rounds = append(series.Rounds, float64(int64(live())-int64(before))/streams/(1<<20))
		for _, conn := range conns {
			_ = conn.Close()
		}
		time.Sleep(200 * time.Millisecond) // until the service has noticed
	}
	series.Rounds = series.Rounds[1:] // pools and plans come with the first
	return series, nil
}

func live() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
