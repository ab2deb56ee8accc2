package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The roles that the migrations make and logins become members of.
const (
	ServingRole = "ocore_audit_serving"
	WorkerRole  = "ocore_audit_worker"
)

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// unfit lists why a login must not serve: it can't, or it could alter history, by what
// it is, what it was granted, or what it may become (SET ROLE, or RESET ROLE when the
// connection began as another).
const unfit = `
WITH roles AS (SELECT * FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')),
history AS (SELECT * FROM pg_class WHERE oid = ANY (ARRAY['heads', 'entries', 'entry_ids', 'tiles', 'admin_search', 'posting_progress', 'posting_values', 'postings', 'checkpoints', 'signing_progress']::regclass[]))
SELECT 'it is, or may become, a superuser' FROM roles WHERE rolsuper
UNION SELECT 'it bypasses row-level security, or may' FROM roles WHERE rolbypassrls
UNION SELECT 'it owns, or may become the owner of, ' || relname FROM history JOIN roles ON roles.oid = relowner
UNION SELECT 'it may make roles, and so become any' FROM roles WHERE rolcreaterole
UNION SELECT 'it may replicate, and so copy every row' FROM roles WHERE rolreplication
UNION SELECT 'it owns, or may become the owner of, the database' FROM pg_database JOIN roles ON roles.oid = datdba
  WHERE datname = current_database()
UNION SELECT 'it owns, or may become the owner of, the schema ' || nspname FROM pg_namespace JOIN roles ON roles.oid = nspowner
  WHERE pg_namespace.oid IN (SELECT relnamespace FROM history)
UNION SELECT 'it is a member of ' || rolname FROM roles
  WHERE rolname IN ('ocore_audit_worker', 'pg_execute_server_program', 'pg_write_server_files', 'pg_write_all_data')
UNION SELECT 'row-level security is off for ' || relname FROM history
  WHERE relname <> 'admin_search' AND NOT (relrowsecurity AND relforcerowsecurity)
UNION SELECT 'row-level security has no policy for ' || relname FROM history
  WHERE relname <> 'admin_search' AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = history.oid AND polcmd = '*')
UNION SELECT 'it may ' || privilege || ' ' || relname FROM roles, history, unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES']) AS privilege
  WHERE has_table_privilege(roles.oid, history.oid, privilege)
UNION SELECT 'it may UPDATE ' || relname FROM roles, history
  WHERE relname <> 'heads' AND has_any_column_privilege(roles.oid, history.oid, 'UPDATE')
UNION SELECT 'it may INSERT into ' || relname FROM roles, history
  WHERE (relname LIKE 'posting%' OR relname IN ('checkpoints', 'signing_progress')) AND has_any_column_privilege(roles.oid, history.oid, 'INSERT')
UNION SELECT 'it may not INSERT into entries' WHERE NOT has_table_privilege('entries', 'INSERT')
ORDER BY 1`

// CheckServing fails unless the login can serve and can't alter history. The error says
// what is wrong with it.
func (s *Store) CheckServing(ctx context.Context) error {
	rows, err := s.reads.Query(ctx, unfit)
	if err != nil {
		return translate("check the serving role", err)
	}
	reasons, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return translate("check the serving role", err)
	}
	if len(reasons) > 0 {
		return fmt.Errorf("the login of DATABASE_URL is not fit to serve (%s): use one that is only a member of %s",
			strings.Join(reasons, "; "), ServingRole)
	}
	return nil
}

// Own is a database of the service's own, on a PostgreSQL that the caller administers.
type Own struct {
	Name            string // of the database
	Owner           string // login that migrates
	OwnerPassword   string
	Serving         string // login that serves
	ServingPassword string
	Worker          string // login that works in the background
	WorkerPassword  string
}

// Provision makes the database, its owner and, after migrating, the other logins. What
// exists already is kept. superuserURL connects to a maintenance database, ownerURL as
// the owner to the new one.
func Provision(ctx context.Context, superuserURL, ownerURL string, o Own) error {
	config, err := pgx.ParseConfig(superuserURL)
	if err := badURL(config, err); err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("make the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := makeLogin(ctx, conn, o.Owner, o.OwnerPassword, "CREATEROLE"); err != nil {
		return err
	}
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", o.Name).Scan(&exists); err != nil {
		return fmt.Errorf("make the database: %w", err)
	}
	if !exists {
		statement := "CREATE DATABASE " + pgx.Identifier{o.Name}.Sanitize() + " OWNER " + pgx.Identifier{o.Owner}.Sanitize()
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("make the database: %w", err)
		}
	}
	if _, err := Migrate(ctx, ownerURL); err != nil {
		return err
	}
	if err := makeMember(ctx, conn, o.Serving, o.ServingPassword, ServingRole); err != nil {
		return err
	}
	return makeMember(ctx, conn, o.Worker, o.WorkerPassword, WorkerRole)
}

// makeMember makes a login that is a member of a role and nothing else.
func makeMember(ctx context.Context, conn *pgx.Conn, login, password, role string) error {
	if err := makeLogin(ctx, conn, login, password, ""); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "GRANT "+role+" TO "+pgx.Identifier{login}.Sanitize())
	return err
}

// makeLogin makes a login, or gives the one that exists its password and attributes.
func makeLogin(ctx context.Context, conn *pgx.Conn, login, password, attributes string) error {
	name := pgx.Identifier{login}.Sanitize()
	_, err := conn.Exec(ctx, "DO $$ BEGIN CREATE ROLE "+name+"; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
	if err == nil {
		_, err = conn.Exec(ctx, "ALTER ROLE "+name+" LOGIN "+attributes+" PASSWORD "+quote(password))
	}
	if err != nil {
		return fmt.Errorf("make the login %s: %w", login, err)
	}
	return nil
}
