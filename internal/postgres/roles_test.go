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
	"api_keys":         "INSERT INTO api_keys (organization, id, name, hash, permissions, created_by, expires_at) VALUES ('%s', 'inserted', '', sha256(''), '{}', '', now())",
	"checkpoints":      "INSERT INTO checkpoints (organization, number, size, root, note, signed_at) VALUES ('%s', 0, 1, sha256(''), '', now())",
	"signing_progress": "INSERT INTO signing_progress (organization) VALUES ('%s')",
	"postings":         "INSERT INTO postings (organization, field, value, range, before, count, positions) VALUES ('%s', 1, 'inserted', 0, 0, 1, '\\x0000')",
}

// conflicts are the columns of a table's key.
var conflicts = map[string]string{
	"entries": "organization, position", "entry_ids": "organization, id", "tiles": "organization, level, index",
	"posting_progress": "organization", "posting_values": "organization, field, value", "postings": "organization, field, value, range",
	"checkpoints": "organization, number", "api_keys": "organization, id", "signing_progress": "organization",
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
	stored := map[string]int{"heads": 1, "entries": 300, "entry_ids": 300, "tiles": 1, "posting_progress": 1, "posting_values": 1, "postings": 1, "checkpoints": 1, "api_keys": 1}
	for _, organization := range []string{"acme", "globex"} {
		for _, table := range []string{"posting_progress", "posting_values", "postings", "checkpoints", "api_keys"} {
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
		if updatable[table] == nil && table != "heads" {
			refused = append(refused, "SELECT FROM "+table+" FOR UPDATE")
		}
		if table != "heads" {
			refused = append(refused, "UPDATE "+table+" SET organization = organization", fmt.Sprintf(inserts[table], "acme")+" ON CONFLICT ("+conflicts[table]+
				") DO UPDATE SET organization = 'acme'")
		}
	}
	refused = append(refused,
		"UPDATE api_keys SET permissions = '{manage:audit_logs}'", "UPDATE api_keys SET expires_at = now()", "UPDATE api_keys SET hash = hash",
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
		{"files of the server", "", "GRANT ocore_audit_serving, pg_read_server_files TO %[1]s", "pg_read_server_files"},
		{"the worker's role too", "", "GRANT ocore_audit_serving, ocore_audit_worker TO %[1]s", "ocore_audit_worker"},
		{"INSERT of postings", "", "GRANT ocore_audit_serving TO %[1]s; GRANT INSERT ON postings TO %[1]s", "INSERT postings"},
		{"REFERENCES of a column", "", "GRANT ocore_audit_serving TO %[1]s; GRANT REFERENCES (position) ON entries TO %[1]s", "REFERENCES entries"},
		{"UPDATE that another role has", "NOINHERIT", "GRANT ocore_audit_serving TO %[1]s; CREATE ROLE %[1]s_group; GRANT %[1]s_group TO %[1]s; GRANT UPDATE ON entries TO %[1]s_group", "UPDATE entries"},
		{"TRIGGER on entries", "", "GRANT ocore_audit_serving TO %[1]s; GRANT TRIGGER ON entries TO %[1]s", "TRIGGER entries"},
		// What follows changes the database; the next line takes it back.
		{"the database's owner", "", "GRANT ocore_audit_serving TO %[1]s; ALTER DATABASE %[2]s OWNER TO %[1]s", "owner of, the database"},
		{"the schema's owner", "", "GRANT ocore_audit_serving TO %[1]s; ALTER DATABASE %[2]s OWNER TO owner; ALTER SCHEMA public OWNER TO %[1]s", "the schema public"},
		{"a table without forced row-level security", "", "GRANT ocore_audit_serving TO %[1]s; ALTER SCHEMA public OWNER TO pg_database_owner; ALTER TABLE entries NO FORCE ROW LEVEL SECURITY", "off for entries"},
		{"a table without a policy", "", "GRANT ocore_audit_serving TO %[1]s; ALTER TABLE entries FORCE ROW LEVEL SECURITY; DROP POLICY one_organization ON tiles", "no policy for tiles"},
		{"a policy more", "", "GRANT ocore_audit_serving TO %[1]s; CREATE POLICY one_organization ON tiles USING (organization = nullif(current_setting('ocore_audit.organization', true), '')); CREATE POLICY all_of_them ON heads FOR SELECT TO ocore_audit_serving USING (true)", "all_of_them shows it more of heads"},
		{"tomorrow's table", "", "GRANT ocore_audit_serving TO %[1]s; DROP POLICY all_of_them ON heads; CREATE TABLE notes (organization text); ALTER TABLE notes OWNER TO owner; GRANT SELECT ON notes TO %[1]s", "off for notes"},
		{"a table that inherits", "", "GRANT ocore_audit_serving TO %[1]s; DROP TABLE notes; CREATE TABLE child () INHERITS (entries); GRANT SELECT ON child TO PUBLIC", "off for child"},
		{"a materialized view", "", "GRANT ocore_audit_serving TO %[1]s; DROP TABLE child; CREATE MATERIALIZED VIEW seen AS SELECT entry FROM entries; GRANT SELECT ON seen TO %[1]s", "through seen"},
		{"a view of a view", "", "GRANT ocore_audit_serving TO %[1]s; DROP MATERIALIZED VIEW seen; CREATE VIEW inner_view AS SELECT entry FROM entries; CREATE VIEW seen AS SELECT * FROM inner_view; GRANT SELECT ON seen TO %[1]s", "through seen"},
		{"a function of the owner's", "", "GRANT ocore_audit_serving TO %[1]s; DROP VIEW seen, inner_view; CREATE FUNCTION act() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT 1::bigint'; ALTER FUNCTION act OWNER TO owner", "the function act"},
		{"a schema that anybody fills", "", "GRANT ocore_audit_serving TO %[1]s; DROP FUNCTION act; GRANT CREATE ON SCHEMA public TO PUBLIC", "make things in the schema public"},
		{"none of these any more", "", "GRANT ocore_audit_serving TO %[1]s; REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE VIEW seen WITH (security_invoker = on) AS SELECT entry FROM entries; GRANT SELECT ON seen TO %[1]s", ""},
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

func TestCheckWorkingRefusesWhoeverCouldDoMore(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	conn := testkit.Connect(t, d.SuperuserURL)
	check := func(url string) error {
		t.Helper()
		worker, err := postgres.OpenWorker(t.Context(), postgres.WorkerOptions{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		defer worker.Close()
		return worker.CheckWorking(t.Context())
	}
	for url, reason := range map[string]string{d.WorkerURL: "", d.ServingURL: "may not INSERT postings", d.OwnerURL: "owner of, entries", d.SuperuserURL: "superuser"} {
		if err := check(url); reason == "" && err != nil || reason != "" && (err == nil || !strings.Contains(err.Error(), reason)) {
			t.Errorf("%s: %v, want something about %q", url, err, reason)
		}
	}
	for i, c := range []struct{ grants, reason string }{
		{"GRANT ocore_audit_worker TO %[1]s", ""},
		{"GRANT ocore_audit_worker, ocore_audit_serving TO %[1]s", "a member of ocore_audit_serving"},
		{"GRANT ocore_audit_worker, owner TO %[1]s", "owner of, entries"},
		{"GRANT ocore_audit_worker TO %[1]s; GRANT DELETE ON entries TO %[1]s", "DELETE entries"},
		{"GRANT ocore_audit_worker TO %[1]s; GRANT INSERT ON heads TO %[1]s", "INSERT heads"},
		{"GRANT ocore_audit_worker TO %[1]s; CREATE POLICY all_of_them ON entries USING (true)", "all_of_them shows it more of entries"},
	} {
		login := fmt.Sprintf("%s_worker_%d", d.Name, i)
		mustExec(t, conn, "CREATE ROLE "+login+" LOGIN PASSWORD 'secret'")
		t.Cleanup(func() { dropRoles(t, d.SuperuserURL, login) })
		if _, err := conn.PgConn().Exec(t.Context(), fmt.Sprintf(c.grants, login)).ReadAll(); err != nil {
			t.Fatalf("%s: %v", c.grants, err)
		}
		err := check(strings.Replace(d.WorkerURL, "worker:worker@", login+":secret@", 1))
		if c.reason == "" && err != nil || c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)) {
			t.Errorf("%s: %v, want something about %q", c.grants, err, c.reason)
		}
	}
}
