package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The roles that the migrations make and logins become members of.
const (
	ServingRole = "ocore_audit_serving"
	WorkerRole  = "ocore_audit_worker"
)

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// fitness is what a login must be able to write, and no more, to play a role.
type fitness struct {
	variable string // where its URL stands
	work     string
	role     string
	other    string   // the role that it must not be a member of as well
	writes   []string // privilege and table
	policies []string
}

var (
	fitToServe = fitness{
		variable: "DATABASE_URL", work: "serve", role: ServingRole, other: WorkerRole,
		writes: []string{
			"INSERT heads", "UPDATE heads", "INSERT entries", "INSERT entry_ids", "INSERT tiles", "INSERT admin_search",
			"INSERT api_keys", "UPDATE api_keys", // of three columns
		},
		policies: []string{"one_organization"},
	}
	fitToWork = fitness{
		variable: "WORKER_DATABASE_URL", work: "work", role: WorkerRole, other: ServingRole,
		writes: []string{
			"INSERT posting_progress", "UPDATE posting_progress", "INSERT posting_values", "INSERT postings",
			"INSERT checkpoints", "INSERT signing_progress", "UPDATE signing_progress",
		},
		policies: []string{"one_organization", "every_head", "every_progress"},
	}
)

// unfit lists why a login must not be used: it can't do its work, or it could alter
// history or see past row-level security, by what it is, what it was granted, or what it
// may become (SET ROLE, or RESET ROLE when the connection began as another). $1 are the
// writes that it needs, $2 the role that it must not have, $3 the policies that let it see.
// Tables of later versions may have privileges that this one doesn't know; what holds
// organizations must be behind forced row-level security in every version, in partitions
// and materialized views too.
const unfit = `
WITH RECURSIVE roles AS (SELECT * FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')),
history AS (SELECT * FROM pg_class WHERE oid = ANY (ARRAY['heads', 'entries', 'entry_ids', 'tiles', 'admin_search', 'posting_progress', 'posting_values', 'postings', 'checkpoints', 'signing_progress', 'api_keys']::regclass[])),
home AS (SELECT DISTINCT relnamespace, relowner FROM history),
readable AS (SELECT DISTINCT c.* FROM pg_class c, roles
  WHERE relkind IN ('r', 'p', 'f', 'm', 'v') AND has_any_column_privilege(roles.oid, c.oid, 'SELECT, INSERT, UPDATE')),
tenants AS (SELECT * FROM readable c
  WHERE EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'organization' AND NOT attisdropped)
  AND (relowner IN (SELECT relowner FROM home) OR oid IN (SELECT inhrelid FROM pg_inherits JOIN history ON history.oid = inhparent))),
views AS (
  SELECT oid FROM history
  UNION SELECT ev_class FROM views JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = views.oid
    JOIN pg_rewrite ON d.classid = 'pg_rewrite'::regclass AND pg_rewrite.oid = d.objid)
SELECT 'it is, or may become, a superuser' FROM roles WHERE rolsuper
UNION SELECT 'it bypasses row-level security, or may' FROM roles WHERE rolbypassrls
UNION SELECT 'it owns, or may become the owner of, ' || relname FROM history JOIN roles ON roles.oid = relowner
UNION SELECT 'it may make roles, and so become any' FROM roles WHERE rolcreaterole
UNION SELECT 'it may replicate, and so copy every row' FROM roles WHERE rolreplication
UNION SELECT 'it owns, or may become the owner of, the database' FROM pg_database JOIN roles ON roles.oid = datdba
  WHERE datname = current_database()
UNION SELECT 'it owns, or may become the owner of, the schema ' || nspname FROM pg_namespace JOIN roles ON roles.oid = nspowner
  WHERE pg_namespace.oid IN (SELECT relnamespace FROM home)
UNION SELECT 'it may make things in the schema ' || relnamespace::regnamespace FROM roles, home
  WHERE has_schema_privilege(roles.oid, relnamespace, 'CREATE')
UNION SELECT 'it is a member of ' || rolname FROM roles
  WHERE rolname IN ($2, 'pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files', 'pg_write_all_data')
UNION SELECT 'row-level security is off for ' || relname FROM (SELECT * FROM tenants UNION SELECT * FROM history WHERE relname <> 'admin_search') AS held
  WHERE relkind <> 'v' AND NOT (relrowsecurity AND relforcerowsecurity)
UNION SELECT 'row-level security has no policy for ' || relname FROM history
  WHERE relname <> 'admin_search' AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = history.oid AND polcmd = '*')
UNION SELECT 'the policy ' || polname || ' shows it more of ' || relname FROM history JOIN pg_policy ON polrelid = history.oid
  WHERE polpermissive AND polname <> ALL ($3::text[]) AND (0 = ANY (polroles) OR polroles && (SELECT array_agg(oid) FROM roles))
UNION SELECT 'it may look past row-level security through ' || relname FROM readable
  WHERE oid IN (SELECT oid FROM views) AND (relkind = 'm' OR relkind = 'v' AND NOT coalesce((SELECT option_value::boolean FROM pg_options_to_table(reloptions) WHERE option_name = 'security_invoker'), false))
UNION SELECT 'it may act as another through the function ' || proname FROM pg_proc, roles
  WHERE prosecdef AND has_function_privilege(roles.oid, pg_proc.oid, 'EXECUTE')
  AND (proowner IN (SELECT relowner FROM home) OR pronamespace IN (SELECT relnamespace FROM home))
UNION SELECT 'it may ' || privilege || ' ' || relname
  FROM roles, history, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES']) AS privilege
  WHERE privilege || ' ' || relname <> ALL ($1::text[]) AND CASE WHEN privilege IN ('INSERT', 'UPDATE', 'REFERENCES')
    THEN has_any_column_privilege(roles.oid, history.oid, privilege) ELSE has_table_privilege(roles.oid, history.oid, privilege) END
UNION SELECT 'it may not ' || needed FROM unnest($1::text[]) AS needed
  WHERE NOT has_any_column_privilege(split_part(needed, ' ', 2), split_part(needed, ' ', 1))
UNION SELECT 'it may UPDATE ' || attname || ' of api_keys' FROM roles, pg_attribute
  WHERE attrelid = 'api_keys'::regclass AND attnum > 0 AND NOT attisdropped
  AND attname NOT IN ('last_used_at', 'revoked_at', 'revoked_by') AND has_column_privilege(roles.oid, attrelid, attnum, 'UPDATE')
ORDER BY 1`

// CheckServing fails unless the login can serve and can't alter history. The error says
// what is wrong with it.
func (s *Store) CheckServing(ctx context.Context) error { return fitToServe.check(ctx, s.reads) }

// CheckWorking fails unless the login can do the worker's work, and nothing else.
func (w *Worker) CheckWorking(ctx context.Context) error { return fitToWork.check(ctx, w.pool) }

func (f fitness) check(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	rows, err := pool.Query(ctx, unfit, f.writes, f.other, f.policies)
	if err != nil {
		return translate("check the login of "+f.variable, err)
	}
	reasons, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return translate("check the login of "+f.variable, err)
	}
	if len(reasons) > 0 {
		return fmt.Errorf("the login of %s is not fit to %s (%s): use one that is only a member of %s",
			f.variable, f.work, strings.Join(reasons, "; "), f.role)
	}
	return nil
}

// schemaOnly is the search path of every connection whose URL sets none: neither a schema
// with the login's name nor a temporary table can come before the service's own tables.
const schemaOnly = "public, pg_temp"

// fixNames settles what a connection's names mean, whatever the defaults of the login and
// the database say: where tables are found, and that no organization is set.
func fixNames(parameters map[string]string) {
	if parameters["search_path"] == "" {
		parameters["search_path"] = schemaOnly
	}
	parameters["ocore_audit.organization"] = ""
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
