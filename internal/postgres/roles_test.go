package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

// documented is every table with the privileges that each role has on it. A new table
// belongs here before it can pass.
var documented = map[string]struct{ serving, worker string }{
	"admin_search":     {serving: "INSERT, SELECT"},
	"checkpoints":      {serving: "SELECT", worker: "INSERT, SELECT"},
	"entries":          {serving: "INSERT, SELECT", worker: "SELECT"},
	"entry_ids":        {serving: "INSERT, SELECT"},
	"goose_db_version": {serving: "SELECT", worker: "SELECT"},
	"heads":            {serving: "INSERT, SELECT, UPDATE", worker: "SELECT"},
	"posting_progress": {serving: "SELECT", worker: "INSERT, SELECT, UPDATE"},
	"posting_values":   {serving: "SELECT", worker: "INSERT, SELECT"},
	"postings":         {serving: "SELECT", worker: "INSERT, SELECT"},
	"signing_progress": {worker: "INSERT, SELECT, UPDATE"},
	"tiles":            {serving: "INSERT, SELECT", worker: "SELECT"},
}

// ofNoOrganization are the tables that need no policy.
var ofNoOrganization = []string{"admin_search", "goose_db_version"}

func collect(t testing.TB, conn *pgx.Conn, query string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return found
}

// relations are all that hold rows and aren't PostgreSQL's own: partitions and views too.
const relations = `SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
	WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND nspname !~ '^pg_' AND nspname <> 'information_schema'`

func TestEveryTableIsDocumentedAndBehindAPolicy(t *testing.T) {
	t.Parallel()
	conn := testkit.Connect(t, testkit.NewDatabase(t).SuperuserURL)
	tables := collect(t, conn, relations+" ORDER BY relname")
	if want := slices.Sorted(maps.Keys(documented)); !slices.Equal(tables, want) {
		t.Errorf("tables %v, documented %v", tables, want)
	}
	behind := collect(t, conn, relations+` AND relrowsecurity AND relforcerowsecurity AND EXISTS (
		SELECT FROM pg_policy p WHERE polrelid = c.oid AND polcmd = '*' AND polpermissive AND polroles = '{0}'
		AND pg_get_expr(polqual, polrelid) = $$(organization = NULLIF(current_setting('ocore_audit.organization'::text, true), ''::text))$$
		AND (polwithcheck IS NULL OR pg_get_expr(polwithcheck, polrelid) = pg_get_expr(polqual, polrelid)))`)
	others := collect(t, conn, "SELECT tablename || '.' || policyname || ' for ' || cmd || ' to ' || roles::text FROM pg_policies WHERE policyname <> 'one_organization' ORDER BY 1")
	if want := []string{
		"heads.every_head for SELECT to {ocore_audit_worker}", "posting_progress.every_progress for SELECT to {ocore_audit_worker}",
		"signing_progress.every_progress for SELECT to {ocore_audit_worker}",
	}; !slices.Equal(others, want) {
		t.Errorf("policies beside the one: %v, want %v", others, want)
	}
	for _, table := range tables {
		if slices.Contains(behind, table) == slices.Contains(ofNoOrganization, table) {
			t.Errorf("%s: behind row-level security: %v", table, slices.Contains(behind, table))
		}
	}
}

func TestRolesHaveExactlyTheirDocumentedPrivileges(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	conn := testkit.Connect(t, d.SuperuserURL)
	// Any column counts as the whole table.
	privileges := func(role, table string) string {
		return strings.Join(collect(t, conn, `
			SELECT p FROM unnest(ARRAY['DELETE', 'REFERENCES', 'TRIGGER', 'TRUNCATE']) AS p WHERE has_table_privilege($1, $2::regclass, p)
			UNION SELECT p FROM unnest(ARRAY['INSERT', 'SELECT', 'UPDATE']) AS p WHERE has_any_column_privilege($1, $2::regclass, p)
			ORDER BY 1`, role, table), ", ")
	}
	for _, table := range collect(t, conn, relations) {
		want := documented[table]
		for role, want := range map[string]string{"serving": want.serving, postgres.ServingRole: want.serving, postgres.WorkerRole: want.worker, "public": ""} {
			if got := privileges(role, table); got != want {
				t.Errorf("%s has %q on %s, want %q", role, got, table, want)
			}
		}
	}
	for _, c := range []struct{ what, query string }{
		{"may make or own something", `SELECT rolname FROM pg_roles WHERE rolname IN ('serving', 'ocore_audit_serving', 'ocore_audit_worker') AND (
			rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication
			OR has_database_privilege(rolname, current_database(), 'CREATE') OR has_schema_privilege(rolname, 'public', 'CREATE')
			OR EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = pg_roles.oid AND deptype = 'o'))`},
		{"is more than a member of the serving role", `SELECT roleid::regrole::text FROM pg_auth_members
			WHERE member IN ('serving'::regrole, 'ocore_audit_serving'::regrole, 'ocore_audit_worker'::regrole) AND roleid <> 'ocore_audit_serving'::regrole`},
		{"runs as somebody else", `SELECT oid::regprocedure::text FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace`},
	} {
		if found := collect(t, conn, c.query); len(found) > 0 {
			t.Errorf("%s: %v", c.what, found)
		}
	}
}

// denied reports whether PostgreSQL refused for lack of a privilege or by a policy.
func denied(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "42501"
}

// inserts are a row of an organization for each table that has organizations.
var inserts = map[string]string{
	"heads":            "INSERT INTO heads (organization) VALUES ('%s')",
	"entries":          "INSERT INTO entries (organization, position, created_at, action, entry, salts, leaf_hash) VALUES ('%s', 1000, now(), 'a', '{}', '', '')",
	"entry_ids":        "INSERT INTO entry_ids (organization, id, position) VALUES ('%s', 'inserted', 1000)",
	"tiles":            "INSERT INTO tiles (organization, level, index, hashes, root) VALUES ('%s', 9, 9, decode(repeat('00', 8192), 'hex'), sha256(''))",
	"posting_progress": "INSERT INTO posting_progress (organization) VALUES ('%s')",
	"posting_values":   "INSERT INTO posting_values (organization, field, value) VALUES ('%s', 1, 'inserted')",
	"checkpoints":      "INSERT INTO checkpoints (organization, number, size, root, note, signed_at) VALUES ('%s', 0, 1, sha256(''), '', now())",
	"signing_progress": "INSERT INTO signing_progress (organization) VALUES ('%s')",
	"postings":         "INSERT INTO postings (organization, field, value, range, before, count, positions) VALUES ('%s', 1, 'inserted', 0, 0, 1, '\\x0000')",
}

// conflicts are the columns of a table's key.
var conflicts = map[string]string{
	"entries": "organization, position", "entry_ids": "organization, id", "tiles": "organization, level, index",
	"posting_progress": "organization", "posting_values": "organization, field, value", "postings": "organization, field, value, range",
	"checkpoints": "organization, number", "signing_progress": "organization",
}

func TestTheServingLoginSeesOneOrganizationAndOnlyAdds(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	for _, organization := range []string{"acme", "globex"} {
		mustAppend(t, store, organization, plain(t, "entry", 300)...)
	}
	conn := testkit.Connect(t, d.ServingURL)
	var tables []string
	for table, roles := range documented {
		if roles.serving != "" && !slices.Contains(ofNoOrganization, table) {
			tables = append(tables, table)
		}
	}
	visible := func(table string) map[string]int {
		t.Helper()
		rows, err := conn.Query(t.Context(), "SELECT organization, count(*) FROM "+table+" GROUP BY 1")
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		var organization string
		var n int
		if _, err = pgx.ForEachRow(rows, []any{&organization, &n}, func() error { seen[organization] = n; return nil }); err != nil {
			t.Fatal(err)
		}
		return seen
	}
	stored := map[string]int{"heads": 1, "entries": 300, "entry_ids": 300, "tiles": 1, "posting_progress": 1, "posting_values": 1, "postings": 1, "checkpoints": 1}
	for _, organization := range []string{"acme", "globex"} {
		for _, table := range []string{"posting_progress", "posting_values", "postings", "checkpoints"} {
			mustExec(t, testkit.Connect(t, d.SuperuserURL), fmt.Sprintf(inserts[table], organization))
		}
	}
	seesNothing := func(when string) {
		t.Helper()
		for _, table := range tables {
			if seen := visible(table); len(seen) > 0 {
				t.Errorf("%s %s shows %v", when, table, seen)
			}
		}
	}
	// within runs in a transaction of acme, which is rolled back.
	within := func(run func(tx pgx.Tx)) {
		t.Helper()
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(t.Context())
		if _, err := tx.Exec(t.Context(), "SELECT set_config('ocore_audit.organization', 'acme', true)"); err != nil {
			t.Fatal(err)
		}
		run(tx)
	}

	seesNothing("before any transaction")
	within(func(pgx.Tx) {
		for _, table := range tables {
			if seen := visible(table); !maps.Equal(seen, map[string]int{"acme": stored[table]}) {
				t.Errorf("%s shows acme %v", table, seen)
			}
		}
	})
	if setting := scan[*string](t, conn, "SELECT current_setting('ocore_audit.organization', true)"); setting == nil || *setting != "" {
		t.Errorf("after a transaction the setting is %v", setting)
	}
	seesNothing("after a transaction")
	mustExec(t, conn, "SELECT set_config('ocore_audit.organization', 'acme', true)")
	seesNothing("after a setting outside of a transaction")

	var refused []string
	for _, table := range tables {
		refused = append(refused, fmt.Sprintf(inserts[table], "globex"), "DELETE FROM "+table, "TRUNCATE "+table,
			"ALTER TABLE "+table+" DISABLE ROW LEVEL SECURITY", "DROP TABLE "+table, "DROP POLICY one_organization ON "+table,
			"CREATE POLICY all_of_them ON "+table+" USING (true)", "SET LOCAL row_security = off; SELECT FROM "+table)
		if table != "heads" {
			refused = append(refused, "UPDATE "+table+" SET organization = organization", "SELECT FROM "+table+" FOR UPDATE",
				fmt.Sprintf(inserts[table], "acme")+" ON CONFLICT ("+conflicts[table]+
					") DO UPDATE SET organization = 'acme'")
		}
	}
	refused = append(refused,
		"UPDATE heads SET organization = 'globex'", "UPDATE admin_search SET folded = ''", "DELETE FROM admin_search", "TRUNCATE admin_search",
		"UPDATE goose_db_version SET is_applied = true", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9, true)",
		"SET ROLE owner", "SET ROLE ocore_audit_worker", "CREATE TABLE public.mine (a int)", "CREATE SCHEMA mine")
	for _, statement := range refused {
		within(func(tx pgx.Tx) {
			if _, err := tx.Conn().PgConn().Exec(t.Context(), statement).ReadAll(); !denied(err) {
				t.Errorf("%s: %v", statement, err)
			}
		})
	}
	within(func(tx pgx.Tx) {
		if tag, err := tx.Exec(t.Context(), "UPDATE heads SET size = 0 WHERE organization = 'globex'"); err != nil || tag.RowsAffected() > 0 {
			t.Errorf("another organization's head: %v, %v", tag, err)
		}
	})
	for _, table := range tables {
		if _, err := conn.Exec(t.Context(), fmt.Sprintf(inserts[table], "acme")); !denied(err) {
			t.Errorf("an insert into %s without an organization set: %v", table, err)
		}
	}
	checkTrail(t, d, "acme")
	checkTrail(t, d, "globex")
}

// A unique key reaches across policies: a refusal would tell that another organization
// has the row.
func TestOrganizationsMayHaveTheSameIDs(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	for i, organization := range []string{"acme", "globex", "Acme", "ACME", "acme.", audit.AdminOrganization} {
		if r := mustAppend(t, store, organization, admit(t, audit.Draft{ID: "one", ResourceID: fmt.Sprint(i)}))[0]; r.Existing || r.Row.Position != 0 {
			t.Errorf("%s: %+v", organization, r)
		}
	}
	for table := range inserts {
		for _, key := range collect(t, testkit.Connect(t, d.SuperuserURL), "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indisunique AND indrelid = $1::regclass", table) {
			if !strings.Contains(key, "(organization") {
				t.Errorf("%s: the unique %s does not begin with the organization", table, key)
			}
		}
	}
}

// dropRoles is for cleaning up.
func dropRoles(t testing.TB, url string, roles ...string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, role := range roles {
		_, err := conn.PgConn().Exec(ctx, fmt.Sprintf(`DO $$ BEGIN
			IF EXISTS (SELECT FROM pg_roles WHERE rolname = '%[1]s') THEN DROP OWNED BY %[1]s; DROP ROLE %[1]s; END IF; END $$`, role)).ReadAll()
		if err != nil {
			t.Error(err)
		}
	}
}

func TestCheckServingRefusesWhoeverCouldAlterHistory(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	conn := testkit.Connect(t, d.SuperuserURL)
	check := func(url string) error {
		t.Helper()
		return openStore(t, postgres.Options{URL: url}).CheckServing(t.Context())
	}
	if err := check(d.ServingURL); err != nil {
		t.Errorf("the serving login: %v", err)
	}
	for name, c := range map[string]struct{ url, reason string }{
		"a superuser":                            {d.SuperuserURL, "superuser"},
		"the owner":                              {d.OwnerURL, "owner"},
		"a superuser that began as another role": {d.SuperuserURL + "&options=-c%20role%3D" + postgres.ServingRole, "superuser"},
	} {
		if err := check(c.url); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v, want something about %q", name, err, c.reason)
		}
	}
	// Roles are the cluster's, so each has this database's name in its own.
	for i, c := range []struct{ what, attributes, grants, reason string }{
		{"a member of the serving role alone", "", "GRANT ocore_audit_serving TO %[1]s", ""},
		{"nobody's member", "", "", "INSERT"},
		{"BYPASSRLS", "BYPASSRLS", "GRANT ocore_audit_serving TO %[1]s", "row-level security"},
		{"member of one with BYPASSRLS", "", "GRANT ocore_audit_serving TO %[1]s; CREATE ROLE %[1]s_group BYPASSRLS; GRANT %[1]s_group TO %[1]s", "row-level security"},
		{"member of a superuser", "", "GRANT ocore_audit_serving TO %[1]s; CREATE ROLE %[1]s_group SUPERUSER; GRANT %[1]s_group TO %[1]s", "superuser"},
		{"member of the owner", "", "GRANT ocore_audit_serving, owner TO %[1]s", "owner"},
		{"member of the owner without inheriting", "NOINHERIT", "GRANT ocore_audit_serving, owner TO %[1]s", "owner"},
		{"UPDATE of entries", "", "GRANT ocore_audit_serving TO %[1]s; GRANT UPDATE ON entries TO %[1]s", "UPDATE entries"},
		{"UPDATE of a column", "", "GRANT ocore_audit_serving TO %[1]s; GRANT UPDATE (entry) ON entries TO %[1]s", "UPDATE entries"},
		{"TRUNCATE of entries", "", "GRANT ocore_audit_serving TO %[1]s; GRANT TRUNCATE ON entries TO %[1]s", "TRUNCATE entries"},
		{"DELETE of ids", "", "GRANT ocore_audit_serving TO %[1]s; GRANT DELETE ON entry_ids TO %[1]s", "DELETE entry_ids"},
		{"DELETE of heads", "", "GRANT ocore_audit_serving TO %[1]s; GRANT DELETE ON heads TO %[1]s", "DELETE heads"},
		{"TRUNCATE of tiles that another role has", "NOINHERIT", "GRANT ocore_audit_serving TO %[1]s; CREATE ROLE %[1]s_group; GRANT %[1]s_group TO %[1]s; GRANT TRUNCATE ON tiles TO %[1]s_group", "TRUNCATE tiles"},
		{"pg_write_all_data", "", "GRANT ocore_audit_serving, pg_write_all_data TO %[1]s", "UPDATE entries"},
		{"CREATEROLE", "CREATEROLE", "GRANT ocore_audit_serving TO %[1]s", "make roles"},
		{"REPLICATION", "REPLICATION", "GRANT ocore_audit_serving TO %[1]s", "replicate"},
		{"programs of the server", "", "GRANT ocore_audit_serving, pg_execute_server_program TO %[1]s", "pg_execute_server_program"},
		{"TRIGGER on entries", "", "GRANT ocore_audit_serving TO %[1]s; GRANT TRIGGER ON entries TO %[1]s", "TRIGGER entries"},
		// What follows changes the database; the next line takes it back.
		{"the database's owner", "", "GRANT ocore_audit_serving TO %[1]s; ALTER DATABASE %[2]s OWNER TO %[1]s", "owner of, the database"},
		{"the schema's owner", "", "GRANT ocore_audit_serving TO %[1]s; ALTER DATABASE %[2]s OWNER TO owner; ALTER SCHEMA public OWNER TO %[1]s", "the schema public"},
		{"a table without forced row-level security", "", "GRANT ocore_audit_serving TO %[1]s; ALTER SCHEMA public OWNER TO pg_database_owner; ALTER TABLE entries NO FORCE ROW LEVEL SECURITY", "off for entries"},
		{"a table without a policy", "", "GRANT ocore_audit_serving TO %[1]s; ALTER TABLE entries FORCE ROW LEVEL SECURITY; DROP POLICY one_organization ON tiles", "no policy for tiles"},
	} {
		login := fmt.Sprintf("%s_login_%d", d.Name, i)
		mustExec(t, conn, "CREATE ROLE "+login+" LOGIN PASSWORD 'secret' "+c.attributes)
		t.Cleanup(func() { dropRoles(t, d.SuperuserURL, login+"_group", login) })
		if c.grants != "" {
			if _, err := conn.PgConn().Exec(t.Context(), fmt.Sprintf(c.grants, login, d.Name)).ReadAll(); err != nil {
				t.Fatalf("%s: %v", c.what, err)
			}
		}
		url := strings.Replace(d.ServingURL, "serving:serving@", login+":secret@", 1)
		err := check(url)
		if c.reason == "" && err != nil || c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)) {
			t.Errorf("%s: %v, want something about %q", c.what, err, c.reason)
		}
	}
}
