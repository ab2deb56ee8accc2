package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
	"ocore.dev/audit/internal/importer"
	"ocore.dev/audit/internal/postgres"
)

func newRun() *cobra.Command {
	var flags runFlags
	c := &cobra.Command{
		Use:   "run",
		Short: "Run everything on this machine: a PostgreSQL of its own, migrations, the API",
		Long: `Run everything on this machine. Without --database-url a PostgreSQL of the service's own
is started in the data folder, from the binaries that the machine has, and is stopped at
the end; what was recorded stays. A token and a call to paste are printed.

With --database-url and --migrate-database-url those are used instead.

Traces go by OTLP over HTTP where OTEL_EXPORTER_OTLP_ENDPOINT says, as with serve.`,
		Example: "  ocore-audit run --demo\n  ocore-audit run --listen 127.0.0.1:9000 --data-dir /tmp/audit",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return flags.run(c.Context()) },
	}
	flags.server.add(c)
	f := c.Flags()
	f.StringVar(&flags.migrateURL, "migrate-database-url", "", "PostgreSQL URL of the owner's login, beside --database-url")
	f.StringVar(&flags.dataDir, "data-dir", ".data", "folder of the own PostgreSQL and of development secrets")
	f.BoolVar(&flags.demo, "demo", false, `fill the organization "`+ownOrganization+`" with a believable month, if it is empty`)
	f.Int64Var(&flags.seed, "demo-seed", 1, "seed of the demonstration's story")
	return c
}

type runFlags struct {
	server     serverFlags
	migrateURL string
	dataDir    string
	demo       bool
	seed       int64
}

func (r *runFlags) run(ctx context.Context) error {
	log, err := r.server.log.logger()
	if err != nil {
		return err
	}
	if (r.server.databaseURL == "") != (r.migrateURL == "") {
		return usage("--database-url and --migrate-database-url go together: the serving login's and the owner's")
	}
	if r.migrateURL != "" {
		if _, err := postgres.Migrate(ctx, r.migrateURL); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	db, err := openDatabase(ctx, r.server.databaseURL, r.dataDir, log)
	if err != nil {
		return err
	}
	if db.done != nil {
		go func() {
			<-db.done
			cancel(errors.New("PostgreSQL has ended"))
		}()
	}
	s := &service{
		listen: r.server.listen, metricsListen: r.server.metrics, workerURL: cmp.Or(r.server.workerURL, db.work),
		callers: r.server.callers, log: log, prepare: r.fill,
	}
	if err := errors.Join(r.trust(s), r.sign(s)); err != nil {
		return errors.Join(err, db.stop())
	}
	err = s.serve(ctx, db.url)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return errors.Join(err, db.stop())
}

// trust accepts the configured issuers or, without any, development tokens, of which it
// prints one.
func (r *runFlags) trust(s *service) error {
	if r.server.trust.given() {
		var err error
		s.verifier, err = r.server.trust.verifier(s.log)
		return err
	}
	secret, err := own{r.dataDir}.makeDevelopmentSecret()
	if err != nil {
		return err
	}
	if s.verifier, err = developmentVerifier(secret); err != nil {
		return err
	}
	s.started = func(address string) error { return printWelcome(address, secret) }
	return nil
}

// sign signs with the configured key or, without one, with one of the data folder's own.
func (r *runFlags) sign(s *service) (err error) {
	flags := r.server.signing
	if flags.keyFile == "" {
		if flags.keyFile, err = (own{r.dataDir}).makeSigningKey(); err != nil {
			return err
		}
	}
	if flags.folder == "" {
		flags.folder = filepath.Join(r.dataDir, checkpointFolder)
	}
	s.signing, err = flags.open()
	return err
}

// fill imports the demonstration into an empty trail, whole or not at all.
func (r *runFlags) fill(ctx context.Context, trails *audit.Service) error {
	if !r.demo {
		return nil
	}
	list, err := trails.List(ctx, ownOrganization, audit.Filter{}, audit.PageRequest{}, func(audit.Row) {})
	if err != nil || list.Total > 0 {
		return err
	}
	const days = 30
	load := &load{service: trails, organization: ownOrganization, by: audit.Principal{Subject: "demo"}}
	return load.commit(ctx, importer.Demo(r.seed, time.Now(), days))
}

func printWelcome(address string, secret []byte) error {
	token, err := auth.NewDevelopmentToken(secret, developer(ownOrganization), time.Now(), 12*time.Hour)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stdout, `
oCore Audit is ready at http://%[1]s/api (document: http://%[1]s/openapi.yaml).
Look at the trail at http://%[1]s/ui/.
Read about it and try each call at http://%[1]s/docs.
This token is for the organization %[2]q, for 12 hours:

export TOKEN=%[3]s

Record an entry, then list the trail:

curl -sS -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
  -d '{"action":"server.created","resourceType":"server","resourceId":"web-01","userId":"ada"}' \
  "http://%[1]s/api/audit-logs"

curl -sS -H "Authorization: Bearer %[3]s" "http://%[1]s/api/audit-logs"

`, address, ownOrganization, token)
	return err
}
