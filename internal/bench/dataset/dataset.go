// Package dataset makes what is measured: a PostgreSQL of its own, with durability on,
// that holds trails of realistic skew in three sizes, and the naive form beside each.
//
// A dataset is made once and kept in a folder whose name follows from everything that it
// depends on: the schema, the number of entries, the seed and [version]. Change what the
// generator makes, and version goes up. Each database is loaded under another name and
// renamed when it is whole, so that one whose making was interrupted is never used, and
// the others needn't be made again.
//
// Entries go past the service: as superuser, by COPY, in the order of their arrival. What
// they hold is what the service would have stored: they pass the domain's admission, and
// leaves, tiles and heads are real.
package dataset

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"ocore.dev/audit/internal/embedded"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/sql/migrations"
)

// version is of what the generator makes and how it is loaded.
const version = 1

// Options say which dataset is wanted.
type Options struct {
	Dir     string // for all datasets
	Entries int    // of the whole; the admin trail has a tenth as many more
	Seed    uint64
	Log     *slog.Logger
}

// Dataset is a running PostgreSQL with everything in it.
type Dataset struct {
	Options
	Server                  *embedded.Server
	Whole, Tenth, Hundredth Database
	Postgres                string // its version
}

// Database is one size of the same distribution. Whole's secondary indexes were built
// when everything was loaded; those of the smaller ones grew entry by entry, as a
// service's do.
type Database struct {
	server  *embedded.Server
	Name    string
	Entries int
}

// The logins that every database has.
const (
	owner    = "bench_owner"
	serving  = "bench_serving"
	worker   = "bench_worker"
	naive    = "bench_naive"
	password = "bench"
)

// ServingURL is the service's own login: row-level security holds for it.
func (d Database) ServingURL() string { return d.server.URL(serving, password, d.Name) }

// WorkerURL is the login of the service's background work.
func (d Database) WorkerURL() string { return d.server.URL(worker, password, d.Name) }

// NaiveURL is the login of the naive form.
func (d Database) NaiveURL() string { return d.server.URL(naive, password, d.Name) }

// SuperuserURL is for measuring: row-level security doesn't hold for it.
func (d Database) SuperuserURL() string { return d.server.SuperuserURL(d.Name) }

// Login is the serving login's name, as statistics know it.
func (d Database) Login() string { return serving }

// BinDir is where PostgreSQL's programs are.
func (d Database) BinDir() string { return d.server.BinDir() }

func (o Options) folder() (string, error) {
	made := fmt.Appendf(nil, "%d %d %d\n%s", version, o.Entries, o.Seed, naiveSchema)
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		return "", err
	}
	for _, name := range names {
		text, err := migrations.Files.ReadFile(name)
		if err != nil {
			return "", err
		}
		made = fmt.Appendf(made, "%s %d\n%s", name, len(text), text)
	}
	return filepath.Join(o.Dir, fmt.Sprintf("%d-%.6x", o.Entries, sha256.Sum256(made))), nil
}

// Open starts the dataset, after making what of it there isn't yet.
func Open(ctx context.Context, o Options) (*Dataset, error) {
	folder, err := o.folder()
	if err != nil {
		return nil, err
	}
	if err := o.discardOthers(folder); err != nil {
		return nil, err
	}
	server, err := startTuned(ctx, folder, o.Log)
	if err != nil {
		return nil, err
	}
	d := &Dataset{
		Options: o, Server: server,
		Whole:     Database{server, "whole", o.Entries},
		Tenth:     Database{server, "tenth", o.Entries / 10},
		Hundredth: Database{server, "hundredth", o.Entries / 100},
	}
	if err := d.prepare(ctx); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return d, nil
}

// discardOthers removes datasets of the same size that another schema or generator made:
// nothing will ever use them again, and they are large.
func (o Options) discardOthers(folder string) error {
	others, err := filepath.Glob(filepath.Join(o.Dir, fmt.Sprintf("%d-*", o.Entries)))
	if err != nil {
		return err
	}
	for _, other := range others {
		if other == folder {
			continue
		}
		if server, err := embedded.Attach(other); err == nil {
			return fmt.Errorf("an outdated dataset is in use, by process %d in %s", server.PID(), other)
		}
		o.Log.LogAttrs(context.Background(), slog.LevelInfo, "an outdated dataset is removed", slog.String("dir", other))
		if err := os.RemoveAll(other); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dataset) prepare(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, d.Server.SuperuserURL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, statement := range []string{
		"CREATE EXTENSION IF NOT EXISTS pg_stat_statements",
		"DO $$ BEGIN CREATE ROLE " + naive + " LOGIN PASSWORD '" + password + "'; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version')").Scan(&d.Postgres); err != nil {
		return err
	}
	d.Postgres, _, _ = strings.Cut(d.Postgres, " ")
	for _, database := range []Database{d.Hundredth, d.Tenth, d.Whole} {
		if err := d.ensure(ctx, conn, database); err != nil {
			return fmt.Errorf("make the database %s: %w", database.Name, err)
		}
	}
	return nil
}

// ensure makes the database unless it is there. Only a whole one has its name.
func (d *Dataset) ensure(ctx context.Context, conn *pgx.Conn, database Database) error {
	var exists bool
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database.Name).Scan(&exists)
	if err != nil || exists {
		return err
	}
	begun := time.Now()
	draft := database
	draft.Name += "_draft"
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+draft.Name+" WITH (FORCE)"); err != nil {
		return err
	}
	err = postgres.Provision(ctx, d.Server.SuperuserURL("postgres"), d.Server.URL(owner, password, draft.Name), postgres.Own{
		Name: draft.Name, Owner: owner, OwnerPassword: password, Serving: serving, ServingPassword: password,
		Worker: worker, WorkerPassword: password,
	})
	if err != nil {
		return err
	}
	if err := d.load(ctx, draft, database.Name == d.Whole.Name); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+draft.Name+" RENAME TO "+database.Name); err != nil {
		return err
	}
	d.Log.LogAttrs(ctx, slog.LevelInfo, "made", slog.String("database", database.Name),
		slog.Int("entries", database.Entries), slog.Duration("took", time.Since(begun).Round(time.Second)))
	return nil
}

// Scratch clones the tenth, for measurements that write. It replaces an earlier clone;
// drop it with [Dataset.Drop].
func (d *Dataset) Scratch(ctx context.Context, name string) (Database, error) {
	clone := Database{d.Server, name, d.Tenth.Entries}
	if err := d.Drop(ctx, clone); err != nil {
		return clone, err
	}
	var err error
	for range 20 { // somebody who has just left, or autovacuum, may still be in the tenth
		err = d.administer(ctx, "CREATE DATABASE "+name+" TEMPLATE "+d.Tenth.Name+" OWNER "+owner+" STRATEGY file_copy")
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "55006" {
			break
		}
		time.Sleep(250 * time.Millisecond)
	}
	return clone, err
}

// Drop removes a database that [Dataset.Scratch] made.
func (d *Dataset) Drop(ctx context.Context, clone Database) error {
	return d.administer(ctx, "DROP DATABASE IF EXISTS "+clone.Name+" WITH (FORCE)")
}

func (d *Dataset) administer(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, d.Server.SuperuserURL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// Close stops PostgreSQL.
func (d *Dataset) Close() error { return d.Server.Stop() }
