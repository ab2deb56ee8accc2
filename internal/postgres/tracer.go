package postgres

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"ocore.dev/audit/internal/tracing"
)

// tracer makes a span of each round trip, named by its queries and never by what they were
// asked with, and of each wait for a connection that took long.
type tracer struct{}

type acquiring struct{}

// TraceAcquireStart implements pgxpool's AcquireTracer.
func (tracer) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	if !tracing.Of(ctx).Recorded() {
		return ctx
	}
	return context.WithValue(ctx, acquiring{}, time.Now())
}

// TraceAcquireEnd implements pgxpool's AcquireTracer.
func (tracer) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	if since, ok := ctx.Value(acquiring{}).(time.Time); ok {
		tracing.Waited(ctx, "wait for a connection", since)
	}
}

// TraceBatchStart implements pgx's BatchTracer.
func (tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	ctx, _ = tracing.StartStatements(ctx, func() (string, int) {
		return namesOf(data.Batch.QueuedQueries), len(data.Batch.QueuedQueries)
	})
	return ctx
}

// TraceBatchQuery implements pgx's BatchTracer.
func (tracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx's BatchTracer.
func (tracer) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	endStatements(ctx, data.Err)
}

// TraceQueryStart implements pgx's QueryTracer.
func (tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	ctx, _ = tracing.StartStatements(ctx, func() (string, int) { return nameOf(data.SQL), 1 })
	return ctx
}

// TraceQueryEnd implements pgx's QueryTracer.
func (tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	endStatements(ctx, data.Err)
}

// endStatements ends the span that the start of the statements put into ctx; where that made
// none, nothing is recorded.
func endStatements(ctx context.Context, err error) {
	span := tracing.Of(ctx)
	if err != nil {
		span.Fail(faultOf(err))
	}
	span.End()
}

// faultOf names an error without its text, which may hold values: by SQLSTATE.
func faultOf(err error) string {
	var told *pgconn.PgError
	switch {
	case errors.As(err, &told):
		return told.Code
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "_OTHER"
}

// maxNames bounds a summary: a commit for many organizations repeats its queries for each.
const maxNames = 8

// namesOf is the names of the queries, each once, in their order.
func namesOf(queries []*pgx.QueuedQuery) string {
	var names []string
	seen := map[string]bool{}
	for _, q := range queries {
		name := nameOf(q.SQL)
		if seen[name] {
			continue
		}
		if seen[name] = true; len(names) == maxNames {
			return strings.Join(names, ", ") + ", …"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// nameOf is the name that sqlc wrote above a query, else its first word.
func nameOf(sql string) string {
	named, generated := strings.CutPrefix(sql, "-- name: ")
	if !generated {
		named = strings.TrimSpace(sql)
	}
	if end := strings.IndexFunc(named, func(r rune) bool { return r == ' ' || r == '\n' || r == '\t' || r == ';' }); end >= 0 {
		named = named[:end]
	}
	return named
}
