package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Counter counts the buffers that a login's statements touch, whatever they are: the same
// count that EXPLAIN (ANALYZE, BUFFERS) gives, of the statements that really ran.
type Counter struct {
	conn            *pgx.Conn
	login, database string
}

// Touched is what a call of a statement touched on average.
type Touched struct {
	Statement string  `json:"statement"`
	Calls     float64 `json:"calls"`
	Buffers   float64 `json:"buffers"`
}

// NewCounter counts for a login in a database. url is of a superuser in the database that
// has pg_stat_statements; close it when done, since counting costs everybody a little.
func NewCounter(ctx context.Context, url, login, database string) (*Counter, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	c := &Counter{conn, login, database}
	return c, c.track(ctx, "top")
}

func (c *Counter) track(ctx context.Context, what string) error {
	if _, err := c.conn.Exec(ctx, "ALTER SYSTEM SET pg_stat_statements.track = '"+what+"'"); err != nil {
		return err
	}
	if _, err := c.conn.Exec(ctx, "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	time.Sleep(200 * time.Millisecond) // backends learn of it between statements
	return nil
}

// Close stops counting.
func (c *Counter) Close(ctx context.Context) error {
	defer c.conn.Close(ctx)
	return c.track(ctx, "none")
}

// Count runs work, which makes so many requests, and returns buffers and calls for each.
func (c *Counter) Count(ctx context.Context, requests int, work func() error) (float64, []Touched, error) {
	if _, err := c.conn.Exec(ctx, "SELECT pg_stat_statements_reset()"); err != nil {
		return 0, nil, err
	}
	if err := work(); err != nil {
		return 0, nil, err
	}
	rows, err := c.conn.Query(ctx, `SELECT regexp_replace(query, '\s+', ' ', 'g'), calls::float8 / $1, (shared_blks_hit + shared_blks_read)::float8 / $1
		FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid JOIN pg_database d ON d.oid = s.dbid
		WHERE rolname = $2 AND datname = $3 ORDER BY 3 DESC`, requests, c.login, c.database)
	if err != nil {
		return 0, nil, err
	}
	touched, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Touched])
	if err == nil && len(touched) == 0 {
		err = fmt.Errorf("no statement of %s was seen in %s", c.login, c.database)
	}
	var sum float64
	for _, t := range touched {
		sum += t.Buffers
	}
	return sum, touched, err
}
