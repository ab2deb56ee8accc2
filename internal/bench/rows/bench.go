// Package rows measures: one function for each row of the table of targets.
//
// A row speaks to the service over HTTP, as anybody would, and to the real binary, which
// runs as a process of its own; so rows stay as they are when the service's insides
// change. What it is compared with stands in the row. To add a row: write its function,
// and add it to [All].
package rows

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/bench/dataset"
	"ocore.dev/audit/internal/bench/load"
	"ocore.dev/audit/internal/bench/measure"
	"ocore.dev/audit/internal/bench/report"
)

// Row is one line of the table.
type Row struct {
	Name  string
	Title string
	run   func(context.Context, *Bench, *report.Result) error
}

// All are the rows, in the order of the table.
var All = []Row{
	{"list", "list, 50 items with states, exact total, nothing cached", list},
	{"repeated", "the same, repeated reads", repeated},
	{"deep", "a page in the depth of the largest trail", deep},
	{"totals", "total of the largest trail: none, one filter, filter and month", totals},
	{"combinations", "total of two and three filters, and with dates, asked for the first time", combinations},
	{"filtered", "filtered list with exact total, random page", filtered},
	{"rls", "row-level security", rowLevelSecurity},
	{"batches", "batches of 100 and 1,000", batches},
	{"single", "single entries, one busy organization, 64 clients", single},
	{"export", "export of 10,000", exports},
	{"search", "admin search", search},
	{"shapes", "every filter shape against a tenth of the size", shapes},
	{"footprint", "memory, allocations, disk", footprint},
	{"proof", "inclusion proof of an entry", proofs},
	{"verify", "verify trail --deep", verification},
	{"tree", "leaf and tree", provability},
	{"open", "open load at half the maximum", open},
}

// Bench is what the rows share.
type Bench struct {
	Data       *dataset.Dataset
	Binary     string // of the service
	Naive      func(ctx context.Context, address, databaseURL, keySet string) *exec.Cmd
	Client     func(ctx context.Context, address, token string, requests int) *exec.Cmd
	Rounds     int
	Round      time.Duration
	Folder     string // for keys and logs
	Log        *slog.Logger
	statements measure.Statements
	key        ed25519.PrivateKey
	keySet     string
	services   map[string]*Service
}

// Prepare makes keys and reads the service's statements.
func (b *Bench) Prepare(queries string) error {
	var err error
	if b.statements, err = measure.ReadStatements(queries); err != nil {
		return err
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	b.key, b.keySet, b.services = private, filepath.Join(b.Folder, "keys.json"), map[string]*Service{}
	text := fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"bench","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
	return os.WriteFile(b.keySet, []byte(text), 0o600)
}

// Run measures one row.
func (b *Bench) Run(ctx context.Context, row Row) (report.Result, error) {
	begun := time.Now()
	result := report.Result{Name: row.Name, Title: row.Title}
	err := row.run(ctx, b, &result)
	if err != nil {
		err = fmt.Errorf("%s: %w", row.Name, err)
	}
	result.Took = time.Since(begun).Round(100 * time.Millisecond).String()
	return result, err
}

// token is signed by Ed25519, the dearest to verify of what the service takes.
func (b *Bench) token(organization string) (string, error) {
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{
		"iss": "bench", "sub": "bench", "name": "Benchmark", "iat": now, "exp": now + 23*3600, "org_id": organization,
		"permissions": []string{"manage:audit_logs", "view:admin_audit_logs", "create:admin_audit_logs"},
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"EdDSA","typ":"JWT","kid":"bench"}`)) + "." + encode(claims)
	return signed + "." + encode(ed25519.Sign(b.key, []byte(signed))), nil
}

// Service is a running process that answers HTTP.
type Service struct {
	Address  string
	Database dataset.Database
	bench    *Bench
	command  *exec.Cmd
	ended    chan struct{} // closed once it has
	log      *os.File
}

// service is the one that serves a database; it is started once.
func (b *Bench) service(ctx context.Context, database dataset.Database) (*Service, error) {
	return b.start(ctx, "service "+database.Name, database, func(address string) *exec.Cmd {
		return exec.CommandContext(ctx, b.Binary, "serve", "--database-url", database.ServingURL(), "--worker-database-url", database.WorkerURL(), "--listen", address,
			"--auth-key-set-file", b.keySet, "--log-level", "warn")
	})
}

// fresh is a service that remembers nothing.
func (b *Bench) fresh(ctx context.Context, database dataset.Database) (*Service, error) {
	if s := b.services["service "+database.Name]; s != nil {
		if err := b.stop("service " + database.Name); err != nil {
			return nil, err
		}
	}
	return b.service(ctx, database)
}

func (b *Bench) naive(ctx context.Context, database dataset.Database) (*Service, error) {
	return b.start(ctx, "naive "+database.Name, database, func(address string) *exec.Cmd {
		return b.Naive(ctx, address, database.NaiveURL(), b.keySet)
	})
}

func (b *Bench) start(ctx context.Context, name string, database dataset.Database, command func(address string) *exec.Cmd) (*Service, error) {
	if s := b.services[name]; s != nil {
		return s, nil
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(b.Folder, name+".log"))
	if err != nil {
		return nil, err
	}
	s := &Service{Address: address, Database: database, bench: b, command: command(address), ended: make(chan struct{}), log: log}
	s.command.Stdout, s.command.Stderr = log, log
	s.command.SysProcAttr = dieWithParent()
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.command.Wait() // how it ended is in its log
		close(s.ended)
	}()
	if err := s.ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s isn't ready, see %s: %w", name, log.Name(), err), s.command.Process.Kill())
	}
	b.services[name] = s
	return s, nil
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *Service) ready(ctx context.Context) error {
	for range 200 {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Address+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("it took over ten seconds")
}

func (b *Bench) stop(name string) error {
	s := b.services[name]
	delete(b.services, name)
	defer s.log.Close()
	if err := s.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.ended
	return nil
}

// With runs a command against a service on the whole dataset that was just started. It finds
// in its environment OCORE_AUDIT_URL (without /api) and TOKEN, of the largest trail's organization.
func (b *Bench) With(ctx context.Context, command []string) error {
	s, err := b.fresh(ctx, b.Data.Whole)
	if err != nil {
		return err
	}
	token, err := b.token(dataset.Large)
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Env = append(os.Environ(), "OCORE_AUDIT_URL=http://"+s.Address, "TOKEN="+token)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = dieWithParent()
	return c.Run()
}

// Close ends every service.
func (b *Bench) Close() error {
	var failed error
	for name := range b.services {
		failed = errors.Join(failed, b.stop(name))
	}
	return failed
}

// scratch clones a database for a row that writes; drop ends what serves it and removes it.
func (b *Bench) scratch(ctx context.Context, name string) (database dataset.Database, drop func() error, err error) {
	for _, kind := range []string{"service ", "naive "} { // a database in use can't be cloned
		if used := kind + b.Data.Tenth.Name; b.services[used] != nil {
			if err := b.stop(used); err != nil {
				return database, nil, err
			}
		}
	}
	database, err = b.Data.Scratch(ctx, name)
	return database, func() error {
		var failed error
		for _, kind := range []string{"service ", "naive "} {
			if b.services[kind+name] != nil {
				failed = errors.Join(failed, b.stop(kind+name))
			}
		}
		return errors.Join(failed, b.Data.Drop(context.WithoutCancel(ctx), database))
	}, err
}

// PID is the process that serves.
func (s *Service) PID() int { return s.command.Process.Pid }

// target is the service as an organization calls it.
func (s *Service) target(organization string) (load.Target, error) {
	token, err := s.bench.token(organization)
	return load.Target{Address: s.Address, Token: token}, err
}

const lists = "/api/audit-logs"

// query makes the parameters of a request.
func query(pairs ...any) url.Values {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i].(string), fmt.Sprint(pairs[i+1]))
	}
	return values
}

// rate is a side that keeps connections busy and counts requests a second.
func (b *Bench) rate(name string, target load.Target, next load.Requests) measure.Side {
	return measure.Side{Name: name, Run: func(ctx context.Context) (float64, error) {
		result, err := load.Closed(ctx, target.Address, connections, b.Round, next)
		return result.Rate(), err
	}}
}

// pgbench is a side that runs a script by pgbench.
func (b *Bench) pgbench(name, databaseURL, script string, variables map[string]string) measure.Side {
	p := measure.Pgbench{BinDir: b.Data.Server.BinDir(), URL: databaseURL, Script: script, Variables: variables, Clients: 4}
	return measure.Side{Name: name, Run: func(ctx context.Context) (float64, error) { return p.Run(ctx, b.Round) }}
}

// connections are how many clients reads are measured with.
const connections = 8

func (b *Bench) superuser(ctx context.Context, database dataset.Database) (*pgx.Conn, error) {
	return pgx.Connect(ctx, database.SuperuserURL())
}

// size is of the largest trail.
func size(d dataset.Database) int { return d.Entries / 2 }

// popular are the commonest values of a column in the largest trail, with their numbers.
type popular struct {
	Value   string
	Entries int64
}

func popularOf(ctx context.Context, d dataset.Database, column string) ([]popular, error) {
	conn, err := pgx.Connect(ctx, d.SuperuserURL())
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT value, entries FROM bench.popular WHERE name = $1 ORDER BY entries DESC, value", column)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[popular])
}

func itoa[T ~int | ~int64](n T) string { return strconv.FormatInt(int64(n), 10) }
