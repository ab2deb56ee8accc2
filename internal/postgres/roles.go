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

// alterable lists why a login could change history: each row is a reason to refuse it.
const alterable = `
SELECT 'it is a superuser' FROM pg_roles WHERE rolname = current_user AND rolsuper
UNION ALL SELECT 'it bypasses row-level security' FROM pg_roles WHERE rolname = current_user AND rolbypassrls
UNION ALL SELECT 'it owns, or may become the owner of, ' || c.relname FROM pg_class c
  WHERE c.oid = ANY (ARRAY['heads', 'entries', 'entry_ids', 'tiles', 'admin_search']::regclass[])
    AND pg_has_role(c.relowner, 'MEMBER')
UNION ALL SELECT 'it may ' || privilege || ' ' || c.relname FROM pg_class c, unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS privilege
  WHERE c.oid = ANY (ARRAY['entries', 'entry_ids', 'tiles', 'admin_search']::regclass[])
    AND has_table_privilege(c.oid, privilege)`

// CheckServing fails unless the login can serve and can't alter history. The error says
// what it could do that it must not.
func (s *Store) CheckServing(ctx context.Context) error {
	rows, err := s.reads.Query(ctx, alterable)
	if err != nil {
		return translate("check the serving role", err)
	}
	reasons, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return translate("check the serving role", err)
	}
	if len(reasons) > 0 {
		return fmt.Errorf("the login of DATABASE_URL could alter history (%s): use one that is only a member of %s",
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
}

// Provision makes the database, its owner and, after migrating, the serving login. What
// exists already is kept. superuserURL connects to a maintenance database, ownerURL as
// the owner to the new one.
func Provision(ctx context.Context, superuserURL, ownerURL string, o Own) error {
	conn, err := pgx.Connect(ctx, superuserURL)
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
	if err := makeLogin(ctx, conn, o.Serving, o.ServingPassword, ""); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "GRANT "+ServingRole+" TO "+pgx.Identifier{o.Serving}.Sanitize())
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
