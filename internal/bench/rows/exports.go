package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
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

// exports compares the newest 10,000 entries over HTTP, to the last byte, with draining
// the same rows from the database.
func exports(ctx context.Context, b *Bench, result *report.Result) error {
	s, err := b.service(ctx, b.Data.Whole)
	if err != nil {
		return err
	}
	target, err := s.target(dataset.Large)
	if err != nil {
		return err
	}
	drained, err := pgx.Connect(ctx, b.Data.Whole.SuperuserURL())
	if err != nil {
		return err
	}
	defer drained.Close(ctx)
	high := size(b.Data.Whole)
	statement := fmt.Sprintf("COPY (SELECT position, created_at, entry FROM entries WHERE organization = '%s' AND position >= %d AND position < %d ORDER BY position DESC) TO STDOUT (FORMAT binary)",
		dataset.Large, max(high-audit.MaxExport, 0), high)
	series, err := measure.Interleave(ctx, b.Rounds, "ms",
		b.middle("JSON", func(ctx context.Context) error { return s.export(ctx, target, "json", io.Discard) }),
		b.middle("CSV", func(ctx context.Context) error { return s.export(ctx, target, "csv", io.Discard) }),
		b.middle("COPY, binary", func(ctx context.Context) error {
			_, err := drained.PgConn().CopyTo(ctx, io.Discard, statement)
			return err
		}))
	if err != nil {
		return err
	}
	memory, err := b.exportMemory(ctx)
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

func (s *Service) export(ctx context.Context, target load.Target, format string, into io.Writer) error {
	conn, err := load.Dial(ctx, s.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Do(target.Get(lists+"/export", query("format", format)), into)
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
func (b *Bench) exportMemory(ctx context.Context) (measure.Series, error) {
	series := measure.Series{Name: "live memory of a stream", Unit: "MB"}
	address, stop, err := b.inside(ctx, b.Data.Whole)
	if err != nil {
		return series, err
	}
	defer stop()
	token, err := b.token(dataset.Large)
	if err != nil {
		return series, err
	}
	const streams = 4
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
