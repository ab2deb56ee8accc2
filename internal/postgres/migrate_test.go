package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

// newEmptyDatabase makes a database beside d that no migration has seen; both go together.
func newEmptyDatabase(t testing.TB, d testkit.Database, owner string) testkit.Database {
	t.Helper()
	name := d.Name + "_empty"
	conn := testkit.Connect(t, d.SuperuserURL)
	mustExec(t, conn, "CREATE DATABASE "+name+" OWNER "+owner+" TEMPLATE template0 STRATEGY file_copy")
	t.Cleanup(func() {
		ctx := context.Background()
		conn, err := pgx.Connect(ctx, d.SuperuserURL)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	in := func(url string) string { return strings.Replace(url, "/"+d.Name+"?", "/"+name+"?", 1) }
	return testkit.Database{Name: name, ServingURL: in(d.ServingURL), OwnerURL: in(d.OwnerURL), SuperuserURL: in(d.SuperuserURL)}
}

func mustMigrate(t testing.TB, url string) []string {
	t.Helper()
	applied, err := postgres.Migrate(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return applied
}

func TestMigratingTwiceIsOnce(t *testing.T) {
	t.Parallel()
	d := newEmptyDatabase(t, testkit.NewDatabase(t), "owner")
	if applied := mustMigrate(t, d.OwnerURL); len(applied) == 0 || !strings.HasSuffix(applied[0], "00001_trails.sql") {
		t.Errorf("the first applied %v", applied)
	}
	if applied := mustMigrate(t, d.OwnerURL); len(applied) != 0 {
		t.Errorf("the second applied %v", applied)
	}
	store := testkit.NewStore(t, d)
	mustAppend(t, store, "acme", plain(t, "entry", 3)...)
	mustMigrate(t, d.OwnerURL)
	if stored := checkTrail(t, d, "acme"); len(stored) != 3 {
		t.Errorf("%d entries are left", len(stored))
	}
}

func TestReadyTellsToMigrate(t *testing.T) {
	t.Parallel()
	d := newEmptyDatabase(t, testkit.NewDatabase(t), "owner")
	store := testkit.NewStore(t, d)
	for what, err := range map[string]error{"Ready": store.Ready(t.Context()), "CheckServing": store.CheckServing(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "run `ocore-audit migrate`") {
			t.Errorf("%s before migrating: %v", what, err)
		}
	}
	mustMigrate(t, d.OwnerURL)
	for what, err := range map[string]error{"Ready": store.Ready(t.Context()), "CheckServing": store.CheckServing(t.Context())} {
		if err != nil {
			t.Errorf("%s after migrating: %v", what, err)
		}
	}
	mustExec(t, testkit.Connect(t, d.SuperuserURL), "UPDATE goose_db_version SET is_applied = false WHERE version_id > 0")
	if err := store.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "run `ocore-audit migrate`") {
		t.Errorf("Ready when a migration is missing: %v", err)
	}
}

func TestSeveralMayMigrateAtOnce(t *testing.T) {
	t.Parallel()
	d := newEmptyDatabase(t, testkit.NewDatabase(t), "owner")
	for round := range 6 { // the first makes the schema, the others find it
		var several sync.WaitGroup
		var mu sync.Mutex
		var applied []string
		began := time.Now()
		for range 4 {
			several.Go(func() {
				names, err := postgres.Migrate(t.Context(), d.OwnerURL)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				applied = append(applied, names...)
			})
		}
		several.Wait()
		if (len(applied) > 0) != (round == 0) {
			t.Errorf("round %d applied %v", round, applied)
		}
		t.Logf("round %d took %v", round, time.Since(began))
	}
	if err := testkit.NewStore(t, d).Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnOwnerThatMayNotMakeRolesMigratesWhenTheyExist(t *testing.T) {
	t.Parallel()
	beside := testkit.NewDatabase(t)
	conn := testkit.Connect(t, beside.SuperuserURL)
	owner := beside.Name + "_owner"
	mustExec(t, conn, "CREATE ROLE "+owner+" LOGIN PASSWORD 'secret'")
	t.Cleanup(func() { dropRoles(t, beside.SuperuserURL, owner) })
	d := newEmptyDatabase(t, beside, owner)
	mustMigrate(t, strings.Replace(d.OwnerURL, "owner:owner@", owner+":secret@", 1))
	store := testkit.NewStore(t, d)
	if err := store.CheckServing(t.Context()); err != nil {
		t.Error(err)
	}
	mustAppend(t, store, "acme", plain(t, "entry", 3)...)
	checkTrail(t, d, "acme")
}

// Provision runs at every start of `run`, also on what it provisioned before.
func TestProvisioningAgainKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	beside := testkit.NewDatabase(t)
	names := postgres.Own{
		Name: beside.Name + "_own", Owner: beside.Name + "_owner", OwnerPassword: `it's "\ secret`,
		Serving: beside.Name + "_serving", ServingPassword: `$$'; DROP TABLE heads; --`,
		Worker: beside.Name + "_worker", WorkerPassword: `%s'`,
	}
	url := func(user, password string) string {
		config := testkit.Connect(t, beside.SuperuserURL).Config()
		return fmt.Sprintf("host=%s port=%d dbname=%s sslmode=disable user='%s' password='%s'", config.Host, config.Port, names.Name, user,
			strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(password))
	}
	t.Cleanup(func() {
		ctx := context.Background()
		conn, err := pgx.Connect(ctx, beside.SuperuserURL)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+names.Name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
		dropRoles(t, beside.SuperuserURL, names.Serving, names.Worker, names.Owner)
	})
	for i := range 2 {
		if err := postgres.Provision(t.Context(), beside.SuperuserURL, url(names.Owner, names.OwnerPassword), names); err != nil {
			t.Fatal(err)
		}
		store := openStore(t, postgres.Options{URL: url(names.Serving, names.ServingPassword)})
		if err := store.CheckServing(t.Context()); err != nil {
			t.Error(err)
		}
		if r := mustAppend(t, store, "acme", plain(t, "entry", 2)...); r[1].Existing != (i == 1) {
			t.Errorf("time %d: %+v", i, r[1])
		}
		worker, err := postgres.OpenWorker(t.Context(), postgres.WorkerOptions{URL: url(names.Worker, names.WorkerPassword)})
		if err != nil {
			t.Fatal(err)
		}
		if err := worker.CheckWorking(t.Context()); err != nil {
			t.Error(err)
		}
		worker.Close()
		store.Close()
		names.ServingPassword += " changed"
	}
}
