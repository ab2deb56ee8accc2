package measure

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// CPU is what a process has run so far, on all its threads. The scheduler counts it in
// nanoseconds, without the time that it waited for a core.
func CPU(pid int) (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("process %d has no schedstat: CPU time is measured on Linux alone (%w)", pid, os.ErrNotExist)
	}
	var sum time.Duration
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // a thread that has ended
		}
		run, _, _ := strings.Cut(string(text), " ")
		nanoseconds, err := strconv.ParseInt(run, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(nanoseconds)
	}
	return sum, nil
}

// EndedCPU is what children of a process have run that ended, such as a PostgreSQL's backends:
// to a hundredth of a second, and including the time of children of theirs.
func EndedCPU(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // a name may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0, fmt.Errorf("process %d: %s is no statistic", pid, text)
	}
	var ticks [2]int64 // of a hundredth of a second each, proc_pid_stat(5): cutime and cstime
	for i, field := range fields[13:15] {
		if ticks[i], err = strconv.ParseInt(field, 10, 64); err != nil {
			return 0, err
		}
	}
	return time.Duration(ticks[0]+ticks[1]) * 10 * time.Millisecond, nil
}

// Backends are the processes that serve a login in a database. Ask before what is
// measured: a connection that comes and goes leaves the caches cold.
func Backends(ctx context.Context, conn *pgx.Conn, login, database string) ([]int, error) {
	rows, err := conn.Query(ctx, "SELECT pid FROM pg_stat_activity WHERE usename = $1 AND datname = $2 ORDER BY pid", login, database)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int])
}

// CPUOf is what processes have run so far.
func CPUOf(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		used, err := CPU(pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// Statement runs one statement on a connection of its own.
type Statement struct {
	conn *pgx.Conn
	pid  int
}

// Connect opens a connection whose statements are measured.
func Connect(ctx context.Context, url string) (*Statement, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	return &Statement{conn, int(conn.PgConn().PID())}, nil
}

// Close ends the connection.
func (s *Statement) Close(ctx context.Context) { s.conn.Close(ctx) }

// CPU runs a statement to its last row and returns the microseconds that its backend ran.
func (s *Statement) CPU(ctx context.Context, statement string, args ...any) (float64, error) {
	before, err := CPU(s.pid)
	if err != nil {
		return 0, err
	}
	rows, err := s.conn.Query(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	for rows.Next() {
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	after, err := CPU(s.pid)
	return float64(after-before) / float64(time.Microsecond), err
}
