package postgres_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

// documented is every table with the privileges that each role has on it. A new table
// belongs here before it can pass.
var documented = map[string]struct{ serving, worker string }{
	"admin_search":     {serving: "INSERT, SELECT"},
	"api_keys":         {serving: "INSERT, SELECT, UPDATE"}, // of three columns: updatable
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

// updatable are the columns that the serving role may update where it isn't the whole table.
var updatable = map[string][]string{"api_keys": {"last_used_at", "revoked_at", "revoked_by"}}

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

// ours is what isn't PostgreSQL's own nor an extension's.
const ours = `nspname !~ '^pg_' AND nspname <> 'information_schema'
	AND NOT EXISTS (SELECT FROM pg_depend WHERE pg_depend.objid = c.oid AND deptype = 'e')`

// relations are all that hold or show rows: partitions and views too.
const relations = `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
	WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND ` + ours

// behindTheOnePolicy are those of the relations of which a row is seen and added under its
// organization's setting alone.
const behindTheOnePolicy = relations + ` AND relrowsecurity AND relforcerowsecurity AND EXISTS (
	SELECT FROM pg_policy p WHERE polrelid = c.oid AND polcmd = '*' AND polpermissive AND polroles = '{0}'
	AND pg_get_expr(polqual, polrelid) = $$(organization = NULLIF(current_setting('ocore_audit.organization'::text, true), ''::text))$$
	AND (polwithcheck IS NULL OR pg_get_expr(polwithcheck, polrelid) = pg_get_expr(polqual, polrelid)))`

// ofOrganizations are those with a column that may name one.
const ofOrganizations = relations + ` AND EXISTS (SELECT FROM pg_attribute
	WHERE attrelid = c.oid AND NOT attisdropped AND attname ~ 'organi[sz]ation|org_|tenant')`

// none are queries that must find nothing.
var none = map[string]string{
	"neither a table nor documented as anything else": `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE (relkind IN ('p', 'v', 'm', 'f') OR relispartition OR EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid)) AND ` + ours,
	"outside of the schema": `SELECT nspname FROM pg_namespace c WHERE nspname <> 'public' AND ` + ours,
	"not the owner's": `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE relowner <> 'owner'::regrole AND ` + ours,
	"a database or schema of somebody else's": `SELECT datname FROM pg_database WHERE datname = current_database() AND datdba <> 'owner'::regrole
		UNION ALL SELECT nspname FROM pg_namespace WHERE nspname = 'public' AND nspowner <> 'pg_database_owner'::regrole`,
	"a privilege of somebody else's, or one to hand on": `SELECT c.oid::regclass || ': ' || grantee::regrole || ' ' || privilege_type
		FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace, aclexplode(relacl)
		WHERE grantee <> relowner AND (is_grantable OR grantee NOT IN ('ocore_audit_serving'::regrole, 'ocore_audit_worker'::regrole)) AND ` + ours,
	"a privilege on a column that isn't updatable": `SELECT attrelid::regclass || '.' || attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
		WHERE attacl IS NOT NULL AND NOT (attrelid::regclass::text = 'api_keys' AND attname IN ('last_used_at', 'revoked_at', 'revoked_by')
			AND array_length(attacl, 1) = 1 AND attacl[1]::text LIKE 'ocore\_audit\_serving=w/%') AND ` + ours,
	"a privilege on a sequence": `SELECT c.oid::regclass || ': ' || rolname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace, pg_roles
		WHERE CASE WHEN relkind = 'S' THEN has_sequence_privilege(rolname, c.oid, 'USAGE, SELECT, UPDATE') END
		AND rolname IN ('serving', 'worker', 'ocore_audit_serving', 'ocore_audit_worker') AND ` + ours,
	"a default privilege":       `SELECT defaclacl::text FROM pg_default_acl`,
	"a function":                `SELECT c.oid::regprocedure::text FROM pg_proc c JOIN pg_namespace n ON n.oid = pronamespace WHERE ` + ours,
	"a trigger":                 `SELECT tgname FROM pg_trigger WHERE NOT tgisinternal UNION ALL SELECT evtname FROM pg_event_trigger`,
	"a rule":                    `SELECT c.oid::regclass::text FROM pg_rewrite JOIN pg_class c ON c.oid = ev_class JOIN pg_namespace n ON n.oid = relnamespace WHERE ` + ours,
	"a way out of the database": `SELECT pubname FROM pg_publication UNION ALL SELECT srvname FROM pg_foreign_server`,
	"may make or own something": `SELECT rolname FROM pg_roles WHERE rolname IN ('serving', 'worker', 'ocore_audit_serving', 'ocore_audit_worker') AND (
		rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication
		OR has_database_privilege(rolname, current_database(), 'CREATE') OR has_schema_privilege(rolname, 'public', 'CREATE')
		OR EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = pg_roles.oid AND deptype = 'o'))`,
	"is a member of more than its role": `SELECT member::regrole || ' of ' || roleid::regrole FROM pg_auth_members
		WHERE member IN ('serving'::regrole, 'worker'::regrole, 'ocore_audit_serving'::regrole, 'ocore_audit_worker'::regrole)
		AND (member, roleid) NOT IN (('serving'::regrole, 'ocore_audit_serving'::regrole), ('worker'::regrole, 'ocore_audit_worker'::regrole))`,
}

// otherPolicies are all beside the one.
var otherPolicies = []string{
	"heads.every_head for SELECT to {ocore_audit_worker}", "posting_progress.every_progress for SELECT to {ocore_audit_worker}",
	"signing_progress.every_progress for SELECT to {ocore_audit_worker}",
}

// catalogueFaults holds all that the database holds against what is written above. Nothing
// is looked for by name, so that what a later migration makes is held too.
func catalogueFaults(t testing.TB, conn *pgx.Conn) []string {
	t.Helper()
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	tables := collect(t, conn, relations+" ORDER BY 1")
	if want := slices.Sorted(maps.Keys(documented)); !slices.Equal(tables, want) {
		fault("tables %v, documented %v", tables, want)
	}
	behind, organizations := collect(t, conn, behindTheOnePolicy), collect(t, conn, ofOrganizations)
	for _, table := range tables {
		exempt := slices.Contains(ofNoOrganization, table)
		if slices.Contains(organizations, table) == exempt || slices.Contains(behind, table) == exempt {
			fault("%s: with organizations: %v, behind row-level security: %v", table, slices.Contains(organizations, table), slices.Contains(behind, table))
		}
	}
	others := collect(t, conn, "SELECT tablename || '.' || policyname || ' for ' || cmd || ' to ' || roles::text FROM pg_policies WHERE policyname <> 'one_organization' ORDER BY 1")
	if !slices.Equal(others, otherPolicies) {
		fault("policies beside the one: %v, want %v", others, otherPolicies)
	}
	for _, table := range tables {
		want := documented[table]
		for role, want := range map[string]string{
			"serving": want.serving, postgres.ServingRole: want.serving, "worker": want.worker, postgres.WorkerRole: want.worker, "public": "",
		} {
			if got := strings.Join(collect(t, conn, privileges, role, table), ", "); got != want {
				fault("%s has %q on %s, want %q", role, got, table, want)
			}
		}
	}
	for what, query := range none {
		if found := collect(t, conn, query); len(found) > 0 {
			fault("%s: %v", what, found)
		}
	}
	return faults
}

// privileges counts any column as the whole table.
const privileges = `
	SELECT p FROM unnest(ARRAY['DELETE', 'TRIGGER', 'TRUNCATE']) AS p WHERE has_table_privilege($1, $2::regclass, p)
	UNION SELECT p FROM unnest(ARRAY['INSERT', 'REFERENCES', 'SELECT', 'UPDATE']) AS p WHERE has_any_column_privilege($1, $2::regclass, p)
	ORDER BY 1`

func TestTheCatalogueIsAsDocumented(t *testing.T) {
	t.Parallel()
	for _, fault := range catalogueFaults(t, testkit.Connect(t, testkit.NewDatabase(t).SuperuserURL)) {
		t.Error(fault)
	}
}

// What a migration, or an administrator, might do tomorrow is seen by the test above.
func TestTheCatalogueShowsWhatTomorrowMightBring(t *testing.T) {
	t.Parallel()
	conn := testkit.Connect(t, testkit.NewDatabase(t).SuperuserURL)
	for _, change := range []string{
		"CREATE TABLE notes (organization text)",
		"CREATE TABLE notes (a int)",
		"CREATE TABLE notes (organization text); ALTER TABLE notes ENABLE ROW LEVEL SECURITY",
		"CREATE SCHEMA other CREATE TABLE notes (organization text)",
		"CREATE TABLE parted (organization text) PARTITION BY LIST (organization)",
		"CREATE TABLE child () INHERITS (entries)",
		"CREATE VIEW seen AS SELECT * FROM entries",
		"CREATE VIEW seen WITH (security_invoker) AS SELECT * FROM entries",
		"CREATE MATERIALIZED VIEW seen AS SELECT * FROM entries",
		"CREATE FUNCTION act() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM entries'",
		"CREATE FUNCTION act() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM entries'",
		"CREATE RULE no_more AS ON INSERT TO entries DO INSTEAD NOTHING",
		"CREATE TRIGGER changed BEFORE INSERT ON entries FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
		"ALTER TABLE entries DISABLE ROW LEVEL SECURITY",
		"ALTER TABLE tiles NO FORCE ROW LEVEL SECURITY",
		"DROP POLICY one_organization ON heads",
		"ALTER POLICY one_organization ON heads USING (true)",
		"ALTER POLICY one_organization ON heads WITH CHECK (true)",
		"CREATE POLICY all_of_them ON entries USING (true)",
		"CREATE POLICY all_of_them ON entries FOR SELECT TO ocore_audit_serving USING (true)",
		"GRANT UPDATE ON entries TO ocore_audit_serving",
		"GRANT UPDATE (entry) ON entries TO serving",
		"GRANT REFERENCES (position) ON entries TO ocore_audit_serving",
		"GRANT SELECT ON entries TO PUBLIC",
		"GRANT SELECT ON entries TO pg_monitor",
		"GRANT SELECT ON entries TO ocore_audit_serving WITH GRANT OPTION",
		"GRANT TRUNCATE ON admin_search TO ocore_audit_worker",
		"GRANT USAGE ON SEQUENCE goose_db_version_id_seq TO ocore_audit_serving",
		"GRANT CREATE ON SCHEMA public TO PUBLIC",
		"ALTER TABLE entries OWNER TO ocore_audit_serving",
		"ALTER TABLE entries OWNER TO postgres",
		"ALTER SCHEMA public OWNER TO ocore_audit_worker",
		"ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT ALL ON TABLES TO ocore_audit_serving",
		"GRANT ocore_audit_worker TO serving",
		"GRANT pg_read_all_data TO ocore_audit_serving",
		"ALTER ROLE worker CREATEROLE",
		"CREATE PUBLICATION everything FOR ALL TABLES",
	} {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.PgConn().Exec(t.Context(), change).ReadAll(); err != nil {
			t.Fatalf("%s: %v", change, err)
		}
		if len(catalogueFaults(t, conn)) == 0 {
			t.Errorf("nobody sees: %s", change)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A name means the service's own table, whatever stands in front of it.
func TestNothingComesBeforeTheServicesTables(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	super := testkit.Connect(t, d.SuperuserURL)
	for _, schema := range []string{"serving", "owner", "worker", "front"} { // the first three are what "$user" means
		mustExec(t, super, "CREATE SCHEMA "+schema)
		for table := range documented {
			mustExec(t, super, "CREATE TABLE "+schema+"."+table+" (LIKE public."+table+" INCLUDING ALL)")
		}
		mustExec(t, super, "GRANT ALL ON SCHEMA "+schema+" TO PUBLIC")
		mustExec(t, super, "GRANT ALL ON ALL TABLES IN SCHEMA "+schema+" TO PUBLIC")
	}
	for _, login := range []string{"serving", "owner"} {
		mustExec(t, super, "ALTER ROLE "+login+" IN DATABASE "+d.Name+" SET search_path = front, public")
		mustExec(t, super, "ALTER ROLE "+login+" IN DATABASE "+d.Name+" SET ocore_audit.organization = 'globex'")
	}
	if applied, err := postgres.Migrate(t.Context(), d.OwnerURL); err != nil || len(applied) > 0 {
		t.Errorf("migrate takes another schema's tables for its own: %v, %v", applied, err)
	}
	store := openStore(t, postgres.Options{URL: d.ServingURL, ReadConnections: 1})
	for _, organization := range []string{"acme", "globex"} {
		mustAppend(t, store, organization, plain(t, "entry", 3)...)
	}
	for table, roles := range documented {
		if roles.serving == "" {
			continue
		}
		if _, err := store.Reads().Exec(t.Context(), "CREATE TEMPORARY TABLE "+table+" (LIKE public."+table+")"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Entry(t.Context(), "acme", "entry-1"); err != nil {
		t.Errorf("behind temporary tables: %v", err)
	}
	var seen int
	if err := store.Reads().QueryRow(t.Context(), "SELECT count(*) FROM entries").Scan(&seen); err != nil || seen != 0 {
		t.Errorf("a login's own setting shows %d entries: %v", seen, err)
	}
	if err := store.CheckServing(t.Context()); err != nil {
		t.Error(err)
	}
	checkTrail(t, d, "acme")
	for _, schema := range []string{"serving", "front"} {
		for table := range documented {
			if n := scan[int](t, super, "SELECT count(*) FROM "+schema+"."+table); n > 0 {
				t.Errorf("%d rows went into %s.%s", n, schema, table)
			}
		}
	}
}

// Conditions that tell by their errors, or by what they cost, see no row that the policy hides.
func TestErrorsTellNothingOfOtherOrganizations(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	mustAppend(t, store, "acme", admit(t, audit.Draft{ID: "own", ResourceID: "17"}))
	mustAppend(t, store, "globex", admit(t, audit.Draft{ID: "foreign", ResourceID: "swordfish", AfterState: []byte(`{"x":"swordfish"}`)}))
	conn := testkit.Connect(t, d.ServingURL)
	for _, query := range []string{
		"SELECT 1 / (CASE WHEN entry LIKE '%swordfish%' THEN 0 ELSE 1 END) FROM entries",
		"SELECT FROM entries WHERE 1 / (CASE WHEN resource_id ~ 'sword' THEN 0 ELSE 1 END) = 1",
		"SELECT FROM entries WHERE resource_id::int = 17",
		"SELECT FROM entries WHERE (entry::jsonb -> 'afterState' ->> 'x')::int > 0",
		"SELECT FROM entry_ids WHERE id::uuid IS NULL AND id <> 'own'",
		"SELECT sum(1 / (position - 17)) FROM entries WHERE organization = 'globex' OR convert_from(leaf_hash, 'utf8') = ''",
		"INSERT INTO entry_ids (organization, id, position) VALUES ('globex', 'foreign', 0)",
		"SELECT FROM entries e JOIN pg_stats s ON s.tablename = 'entries' AND s.most_common_vals::text LIKE '%swordfish%' WHERE 1 / (CASE WHEN s.attname IS NOT NULL THEN 0 ELSE 1 END) = 1",
	} {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "SELECT set_config('ocore_audit.organization', 'acme', true)"); err != nil {
			t.Fatal(err)
		}
		_, err = tx.Exec(t.Context(), query)
		if err != nil && (strings.Contains(fmt.Sprintf("%+v", err), "swordfish") || strings.Contains(err.Error(), "division") || strings.Contains(err.Error(), "duplicate")) {
			t.Errorf("%s: %v", query, err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
