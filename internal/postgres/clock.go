package postgres

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/time/rate"
)

// clock compares the clock here with the database's. Tokens are judged by the one, entries
// are dated by the other; tokens allow for 30 s.
type clock struct {
	now    func() time.Time
	log    *slog.Logger
	ahead  atomic.Int64 // nanoseconds, as last seen
	warned rate.Sometimes
}

// clockTolerance is half of what tokens allow for, so that somebody is told before they are refused.
const clockTolerance = 15 * time.Second

func newClock(o Options) *clock {
	return &clock{now: o.Now, log: o.Log, warned: rate.Sometimes{Interval: time.Minute}}
}

// compare takes the middle of the round trip for the moment at which the database looked.
func (c *clock) compare(ctx context.Context, pool *pgxpool.Pool) error {
	begun := c.now()
	var theirs time.Time
	if err := pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&theirs); err != nil {
		return translate("ask the database for the time", err)
	}
	ours := begun.Add(c.now().Sub(begun) / 2)
	ahead := ours.Sub(theirs)
	c.ahead.Store(int64(ahead))
	if ahead.Abs() > clockTolerance {
		c.warned.Do(func() {
			c.log.LogAttrs(ctx, slog.LevelWarn, "the clock here and the database's differ; tokens are judged by the one here, so good ones may be refused",
				slog.Duration("ahead", ahead.Round(time.Millisecond)))
		})
	}
	return nil
}

func (c *clock) seconds() float64 { return time.Duration(c.ahead.Load()).Seconds() }
