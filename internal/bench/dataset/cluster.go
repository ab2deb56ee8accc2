package dataset

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/embedded"
)

// tuning is what an administrator sets on a machine that the database shares with the
// service. Durability stays as it comes: fsync, full_page_writes and synchronous_commit
// are on. Planning is kept predictable: compiling and parallel plans would only trade the
// second core, which clients and service use, for single statements' times.
func tuning() map[string]string {
	shared := min(memoryMB()/5, 4096)
	return map[string]string{
		"shared_buffers":                  fmt.Sprintf("%dMB", max(shared, 128)),
		"effective_cache_size":            fmt.Sprintf("%dMB", max(memoryMB()/2, 256)),
		"maintenance_work_mem":            "512MB",
		"work_mem":                        "32MB",
		"random_page_cost":                "1.1",
		"jit":                             "off",
		"max_parallel_workers_per_gather": "0",
		"shared_preload_libraries":        "pg_stat_statements",
		"pg_stat_statements.track":        "none", // until buffers are counted
	}
}

// memoryMB is the machine's, or a guess where it can't be read.
func memoryMB() int {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 4096
	}
	var kilobytes int
	if _, err := fmt.Sscanf(strings.TrimPrefix(string(text), "MemTotal:"), "%d", &kilobytes); err != nil {
		return 4096
	}
	return kilobytes / 1024
}

// startTuned starts PostgreSQL, and again if its settings weren't the tuned ones yet.
func startTuned(ctx context.Context, folder string, log *slog.Logger) (*embedded.Server, error) {
	options := embedded.Options{Dir: folder, Log: log}
	server, err := embedded.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	changed, err := tune(ctx, server)
	if err == nil && !changed {
		return server, nil
	}
	if err = errors.Join(err, server.Stop()); err != nil {
		return nil, err
	}
	return embedded.Start(ctx, options)
}

func tune(ctx context.Context, server *embedded.Server) (changed bool, err error) {
	conn, err := pgx.Connect(ctx, server.SuperuserURL("postgres"))
	if err != nil {
		return false, err
	}
	defer conn.Close(ctx)
	for name, value := range tuning() {
		var old *string
		err := conn.QueryRow(ctx, "SELECT setting FROM pg_file_settings WHERE name = $1 AND sourcefile LIKE '%postgresql.auto.conf' ORDER BY seqno DESC LIMIT 1", name).Scan(&old)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return false, err
		}
		if old != nil && *old == value {
			continue
		}
		changed = true
		if _, err := conn.Exec(ctx, "ALTER SYSTEM SET "+name+" = '"+value+"'"); err != nil && !strings.Contains(name, ".") {
			return false, err
		}
	}
	return changed, nil
}
