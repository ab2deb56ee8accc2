package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"ocore.dev/audit/internal/embedded"
	"ocore.dev/audit/internal/postgres"
)

// ownOrganization is the organization that development commands speak of unless told
// otherwise.
const ownOrganization = "acme"

// What the data folder's files and database are called.
const (
	ownDatabase      = "ocore_audit"
	signingKeyFile   = "signing.key"
	checkpointFolder = "checkpoints"
)

// own is what a data folder holds: a PostgreSQL of the service's own and its secrets.
type own struct{ dir string }

// secret reads a secret of the data folder, or makes it: 32 random bytes in hex,
// readable by its owner alone.
func (o own) secret(name string) (string, error) {
	path := filepath.Join(o.dir, name)
	if text, err := os.ReadFile(path); err == nil {
		return strings.TrimSpace(string(text)), nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return "", err
	}
	random := make([]byte, 32)
	rand.Read(random)
	text := hex.EncodeToString(random)
	return text, os.WriteFile(path, []byte(text+"\n"), 0o600)
}

const developmentSecret = "development.secret"

// makeDevelopmentSecret is for `run`, which trusts what is signed with it.
func (o own) makeDevelopmentSecret() ([]byte, error) {
	text, err := o.secret(developmentSecret)
	return []byte(text), err
}

// developmentSecret is for those who sign: in a folder that no service has used, a token
// would be made that nobody accepts.
func (o own) developmentSecret() ([]byte, error) {
	if _, err := os.Stat(filepath.Join(o.dir, developmentSecret)); err != nil {
		return nil, usage("no service has run in %s; start one there with ocore-audit run, or name its folder with --data-dir", o.dir)
	}
	return o.makeDevelopmentSecret()
}

// database is a PostgreSQL of our own, migrated, with its logins.
type database struct {
	url  string // of the serving login
	work string // URL of the worker's login; "" when there is none
	stop func() error
	done <-chan struct{} // closed when PostgreSQL ends by itself; nil when it isn't ours to watch
}

// open uses the PostgreSQL of the data folder: the running one, or one that it starts
// and that database.stop stops.
func (o own) open(ctx context.Context, log *slog.Logger) (*database, error) {
	dir := filepath.Join(o.dir, "postgres")
	server, err := embedded.Attach(dir)
	if errors.Is(err, embedded.ErrNotRunning) {
		server, err = embedded.Start(ctx, embedded.Options{Dir: dir, Log: log})
	}
	if err != nil {
		return nil, err
	}
	names, err := o.provision(ctx, server)
	if err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return &database{
		url:  server.URL(names.Serving, names.ServingPassword, names.Name),
		work: server.URL(names.Worker, names.WorkerPassword, names.Name),
		stop: server.Stop, done: server.Done(),
	}, nil
}

func (o own) provision(ctx context.Context, server *embedded.Server) (postgres.Own, error) {
	names := postgres.Own{
		Name: ownDatabase, Owner: "ocore_audit_owner", Serving: "ocore_audit_service", Worker: "ocore_audit_worker_login",
	}
	for file, password := range map[string]*string{
		"owner.password": &names.OwnerPassword, "service.password": &names.ServingPassword, "worker.password": &names.WorkerPassword,
	} {
		var err error
		if *password, err = o.secret(file); err != nil {
			return names, err
		}
	}
	ownerURL := server.URL(names.Owner, names.OwnerPassword, names.Name)
	return names, postgres.Provision(ctx, server.SuperuserURL("postgres"), ownerURL, names)
}

// openDatabase uses the given database, or the data folder's when there is none.
func openDatabase(ctx context.Context, databaseURL, dataDir string, log *slog.Logger) (*database, error) {
	if databaseURL != "" {
		return &database{url: databaseURL, stop: func() error { return nil }}, nil
	}
	db, err := own{dataDir}.open(ctx, log)
	if err != nil {
		return nil, fmt.Errorf("own PostgreSQL: %w", err)
	}
	return db, nil
}
