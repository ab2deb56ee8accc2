package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
	"ocore.dev/audit/internal/embedded"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/proof"
)

// origins begins the origin of every trail of the storm.
const origins = "storm.example/trails"

const issuer = "storm"

var own = postgres.Own{
	Name: "storm", Owner: "storm_owner", OwnerPassword: "owner", Serving: "storm_serving", ServingPassword: "serving",
	Worker: "storm_worker", WorkerPassword: "worker",
}

// rig is a PostgreSQL and two instances of the service, each behind a proxy of its own to it.
type rig struct {
	dir       string
	binary    string
	verifier  string // the binary that verifies, which no bite breaks
	emitter   string // the binary of applications that emit
	emitting  int    // rounds of those
	load      time.Duration
	small     bool // the cluster is on a disk of its own, that can be filled
	secret    []byte
	keys      *proof.SigningKeys
	server    *embedded.Server
	instances []*instance
	history   *history
	witness   witness
	verifying time.Duration // what the verifier took in this round
	trails    []string      // that are written now
	begun     int
	asked     *http.Client // by which the oracle asks; nil for the default one
	mu        sync.Mutex   // of server
}

func newRig(ctx context.Context, o options, small bool) (_ *rig, err error) {
	dir, err := os.MkdirTemp("", "ocore-audit-storm-")
	if err != nil {
		return nil, err
	}
	r := &rig{dir: dir, binary: o.binary, verifier: o.verifier, emitter: o.emitter, load: o.load, small: small, secret: make([]byte, 32)}
	rand.Read(r.secret)
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close(true))
		}
	}()
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL runs as another user under root
		return nil, err
	}
	if small {
		if err := mountSmall(filepath.Join(dir, "disk")); err != nil {
			return nil, err
		}
	}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	r.history = newHistory()
	for n := range 2 {
		i, err := r.newInstance(n)
		if err != nil {
			return nil, err
		}
		r.instances = append(r.instances, i)
		if err := i.start(); err != nil {
			return nil, err
		}
	}
	_, err = r.awaitReady(ctx)
	return r, err
}

// prepare makes the database, and the secrets of the instances.
func (r *rig) prepare(ctx context.Context) error {
	if err := r.startPostgres(ctx); err != nil {
		return err
	}
	if err := postgres.Provision(ctx, r.server.SuperuserURL("postgres"), r.url(own.Owner, own.OwnerPassword), own); err != nil {
		return err
	}
	if err := r.prepareEmitters(ctx); err != nil {
		return err
	}
	key, err := proof.NewSigningKeyFile()
	if err != nil {
		return err
	}
	if r.keys, err = proof.ReadSigningKeys(origins, key); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(r.file("signing.key"), key, 0o600),
		os.WriteFile(r.file("secret"), []byte(hex.EncodeToString(r.secret)), 0o600))
}

func (r *rig) file(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) url(login, password string) string { return r.postgres().URL(login, password, own.Name) }

func (r *rig) postgres() *embedded.Server {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.server
}

// startPostgres starts the cluster, at the port that it had before. It is as durable as in
// production.
func (r *rig) startPostgres(ctx context.Context) error {
	port, folder := 0, r.file("postgres")
	if r.small {
		folder = r.file("disk/postgres")
	}
	if r.server != nil {
		port = portOf(r.server)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	server, err := embedded.Start(ctx, embedded.Options{Dir: folder, Port: port})
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.server = server
	r.mu.Unlock()
	return nil
}

func portOf(server *embedded.Server) int {
	config, err := pgx.ParseConfig(server.SuperuserURL("postgres"))
	if err != nil {
		return 0
	}
	return int(config.Port)
}

// awaitPostgresGone waits until a signal that was sent to it has done its work.
func (r *rig) awaitPostgresGone(ctx context.Context) error {
	select {
	case <-r.postgres().Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(30 * time.Second):
		return errors.New("PostgreSQL didn't end within 30 s of the signal")
	}
}

// sql runs statements as the superuser, past the proxies.
func (r *rig) sql(ctx context.Context, statements ...string) error {
	conn, err := pgx.Connect(ctx, r.postgres().SuperuserURL(own.Name))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// beginTrails writes new trails from here on, so that what the oracle reads each time stays
// bounded.
func (r *rig) beginTrails() {
	r.begun++
	r.trails = []string{fmt.Sprintf("acme-%d", r.begun), fmt.Sprintf("globex-%d", r.begun)}
	r.history.begin()
}

// token is a caller's who may do everything in all trails.
func (r *rig) token(organization string) (string, error) {
	return auth.NewDevelopmentToken([]byte(hex.EncodeToString(r.secret)), audit.Principal{
		Issuer: issuer, Subject: "storm", Organizations: []string{organization},
		Permissions: []audit.Permission{audit.ManageAuditLogs, audit.ViewAdminAuditLogs, audit.CreateAdminAuditLogs},
	}, time.Now(), 12*time.Hour)
}

// close ends everything; clean also takes the folder away.
func (r *rig) close(clean bool) error {
	var failed []error
	for _, i := range r.instances {
		i.kill()
		i.proxy.close()
	}
	if r.server != nil {
		failed = append(failed, r.server.Stop())
	}
	if !clean {
		fmt.Printf("the logs and the cluster are kept in %s\n", r.dir)
		return errors.Join(failed...)
	}
	if r.small {
		unmountSmall(r.file("disk"))
	}
	return errors.Join(append(failed, os.RemoveAll(r.dir))...)
}

// awaitReady waits until every instance says that it is ready, and returns how long that took.
func (r *rig) awaitReady(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	for _, i := range r.instances { // all at once, before one is waited for
		if err := i.restart(); err != nil {
			return 0, err
		}
	}
	for _, i := range r.instances {
		for !i.ready(ctx) {
			if time.Since(begun) > maxRecovery {
				return 0, fmt.Errorf("instance %d isn't ready %s after everything was healed: %s", i.number, maxRecovery, i.notReady)
			}
			if err := r.heal(ctx); err != nil { // PostgreSQL may still have been on its way down
				return 0, err
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return time.Since(begun), nil
}

// maxRecovery is how long readiness may take to return once a fault has healed.
const maxRecovery = 10 * time.Second

// instance is one process of the service.
type instance struct {
	number   int
	rig      *rig
	proxy    *proxy
	address  string
	mu       sync.Mutex
	cmd      *exec.Cmd
	exited   chan struct{}
	notReady string
}

func (r *rig) newInstance(number int) (*instance, error) {
	p, err := newProxy(func() string { return fmt.Sprintf("127.0.0.1:%d", portOf(r.postgres())) })
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	return &instance{number: number, rig: r, proxy: p, address: address}, err
}

func freeAddress() (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String(), nil
}

func (i *instance) url() string { return "http://" + i.address + "/api" }

// through is a database URL that leads through the instance's proxy.
func (i *instance) through(login, password string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", login, password, i.proxy.address(), own.Name)
}

// start starts the process; it doesn't wait until it is ready. A service that finds no
// database when it starts ends, and is started again by [instance.restart].
func (i *instance) start() error {
	log, err := os.OpenFile(i.rig.file(fmt.Sprintf("instance-%d.log", i.number)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(context.Background(), i.rig.binary, "serve", "--listen", i.address, "--log-level", "warn",
		"--auth-secret-file", i.rig.file("secret"), "--auth-issuer", issuer, "--signing-key-file", i.rig.file("signing.key"),
		"--trail-origins", origins, "--checkpoint-dir", i.checkpointDir())
	cmd.Env = append(os.Environ(), "DATABASE_URL="+i.through(own.Serving, own.ServingPassword), "WORKER_DATABASE_URL="+i.through(own.Worker, own.WorkerPassword))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	i.mu.Lock()
	i.cmd, i.exited = cmd, exited
	i.mu.Unlock()
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(exited)
	}()
	return nil
}

func (i *instance) signal(s os.Signal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cmd != nil {
		_ = i.cmd.Process.Signal(s) // fails only when it has gone
	}
}

// kill ends the process at once and waits until it has gone.
func (i *instance) kill() {
	if i.cmd == nil {
		return
	}
	i.signal(syscall.SIGKILL)
	i.signal(syscall.SIGCONT)
	<-i.exited
}

func (i *instance) gone() bool {
	select {
	case <-i.exited:
		return true
	default:
		return false
	}
}

// restart starts a process again that has ended, as whatever runs it in production does.
func (i *instance) restart() error {
	if !i.gone() {
		return nil
	}
	return i.start()
}

// ready asks as a load balancer does.
func (i *instance) ready(ctx context.Context) bool {
	if i.gone() {
		time.Sleep(100 * time.Millisecond) // what restarts processes doesn't spin
	}
	if err := i.restart(); err != nil {
		i.notReady = err.Error()
		return false
	}
	return i.answersReady(ctx)
}

func (i *instance) answersReady(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.address+"/readyz", nil)
	if err != nil {
		i.notReady = err.Error()
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		i.notReady = err.Error()
		return false
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	i.notReady = strings.TrimSpace(string(body))
	return response.StatusCode == http.StatusOK
}
