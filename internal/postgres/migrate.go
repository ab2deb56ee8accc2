package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"ocore.dev/audit/sql/migrations"
)

// Migrate brings the schema to this version's, as the owner, and returns the names of
// the migrations that it applied. Several may run at once; one of them works.
func Migrate(ctx context.Context, ownerURL string) ([]string, error) {
	config, err := pgx.ParseConfig(ownerURL)
	if err := badURL(config, err); err != nil {
		return nil, err
	}
	fixNames(config.RuntimeParams)
	database := stdlib.OpenDB(*config)
	defer database.Close()
	provider, err := newProvider(database)
	if err != nil {
		return nil, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	var applied []string
	for _, r := range results {
		applied = append(applied, r.Source.Path)
	}
	if _, err = database.ExecContext(ctx, grantVersion); err != nil {
		return applied, fmt.Errorf("migrate: %w", err)
	}
	return applied, nil
}

// grantVersion lets the service read which version is applied before it says that it is
// ready. PostgreSQL refuses two grants on one table at once, hence the lock.
const grantVersion = `DO $$
BEGIN
  LOCK TABLE goose_db_version IN SHARE ROW EXCLUSIVE MODE;
  GRANT SELECT ON goose_db_version TO ocore_audit_serving, ocore_audit_worker;
END
$$`

func newProvider(database *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // asks every second, for five minutes
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, database, migrations.Files, goose.WithSessionLocker(locker))
}

// errSchema is what everything says before `migrate` has run.
var errSchema = errors.New("the schema is not this version's: run `ocore-audit migrate`")

func schemaCurrent(ctx context.Context, pool *pgxpool.Pool) error {
	files, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		return err
	}
	var applied int
	err = pool.QueryRow(ctx, "SELECT count(DISTINCT version_id) FROM goose_db_version WHERE is_applied AND version_id > 0").Scan(&applied)
	if err != nil {
		return translate("read the schema's version", err)
	}
	if applied < len(files) {
		return errSchema
	}
	return nil
}
