package testkit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/embedded"
	"ocore.dev/audit/internal/postgres"
)

// The one PostgreSQL of a test binary, started when the first test asks for a database.
var (
	clusterOnce sync.Once
	cluster     *embedded.Server
	clusterDir  string
	errCluster  error
	databases   atomic.Int64
)

// template is the migrated database that every test's own is cloned from, which takes
// about 30 ms where migrating takes ten times as long.
var template = postgres.Own{
	Name: "template", Owner: "owner", OwnerPassword: "owner", Serving: "serving", ServingPassword: "serving",
	Worker: "worker", WorkerPassword: "worker",
}

// Main runs the tests and stops the PostgreSQL that they used.
func Main(m *testing.M) {
	code := m.Run()
	if cluster != nil {
		if err := cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "testkit: stop PostgreSQL:", err)
			code = max(code, 1)
		}
	}
	if clusterDir != "" {
		os.RemoveAll(clusterDir)
	}
	os.Exit(code)
}

// Database is a migrated, empty database of a test's own, with its logins' URLs.
type Database struct {
	Name         string
	ServingURL   string
	WorkerURL    string
	OwnerURL     string
	SuperuserURL string
}

// NewDatabase clones the template. The database goes when the test ends.
func NewDatabase(tb testing.TB) Database {
	tb.Helper()
	clusterOnce.Do(startCluster)
	if errCluster != nil {
		tb.Fatal(errCluster)
	}
	return clone(tb, template.Name)
}

// Clone makes another database of the same content. Nobody may be connected to this one.
func (d Database) Clone(tb testing.TB) Database {
	tb.Helper()
	return clone(tb, d.Name)
}

func clone(tb testing.TB, from string) Database {
	tb.Helper()
	ctx := tb.Context()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	administer(ctx, tb, "CREATE DATABASE "+name+" TEMPLATE "+from+" OWNER "+template.Owner+" STRATEGY file_copy")
	tb.Cleanup(func() {
		administer(context.WithoutCancel(ctx), tb, "DROP DATABASE "+name+" WITH (FORCE)")
	})
	return Database{
		Name:         name,
		ServingURL:   cluster.URL(template.Serving, template.ServingPassword, name),
		WorkerURL:    cluster.URL(template.Worker, template.WorkerPassword, name),
		OwnerURL:     cluster.URL(template.Owner, template.OwnerPassword, name),
		SuperuserURL: cluster.SuperuserURL(name),
	}
}

func startCluster() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if clusterDir, errCluster = os.MkdirTemp("", "ocore-audit-test-"); errCluster != nil {
		return
	}
	// As root PostgreSQL runs under another user, who must be able to come by here.
	if errCluster = os.Chmod(clusterDir, 0o755); errCluster != nil {
		return
	}
	cluster, errCluster = embedded.Start(ctx, embedded.Options{Dir: filepath.Join(clusterDir, "postgres"), Fast: true})
	if errCluster != nil {
		return
	}
	ownerURL := cluster.URL(template.Owner, template.OwnerPassword, template.Name)
	errCluster = postgres.Provision(ctx, cluster.SuperuserURL("postgres"), ownerURL, template)
}

// creating keeps clones apart: PostgreSQL refuses a template that is in use.
var creating sync.Mutex

func administer(ctx context.Context, tb testing.TB, statement string) {
	tb.Helper()
	creating.Lock()
	defer creating.Unlock()
	conn, err := pgx.Connect(ctx, cluster.SuperuserURL("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

// Connect opens a connection that closes when the test ends.
func Connect(tb testing.TB, url string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// NewStore opens a store on the database; it closes when the test ends.
func NewStore(tb testing.TB, d Database) *postgres.Store {
	tb.Helper()
	return openStore(tb, postgres.Options{URL: d.ServingURL})
}

func openStore(tb testing.TB, o postgres.Options) *postgres.Store {
	tb.Helper()
	store, err := postgres.Open(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(store.Close)
	return store
}
