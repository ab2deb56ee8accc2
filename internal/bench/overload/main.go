// Command overload asks five times more of the service than it can do, and looks at what
// becomes of the rest. Between service and PostgreSQL stands a proxy that delays, so that
// the service's capacity is bounded while the machine's isn't. It prints what was measured
// and fails unless all of this holds: under the storm at least 0.9 of the capacity is done,
// what is refused is refused within 50 ms (p99), all is well again within 10 s, and
// another organization's reads are less than twice as slow (p99) as when the same storm
// goes to a server that does nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
	"ocore.dev/audit/internal/embedded"
	"ocore.dev/audit/internal/postgres"
)

var (
	delay   = flag.Duration("delay", 37*time.Millisecond, "of everything that is sent to PostgreSQL")
	seconds = flag.Int("seconds", 10, "of each storm")
	binary  = flag.String("binary", "bin/ocore-audit", "the service")
	verbose = flag.Bool("v", false, "show the service's log")
	null    = flag.String("null", "", "be the server that does nothing, at this address")
)

const (
	connections = 1000
	readRate    = 60 // of the other organization
)

func main() {
	flag.Parse()
	if *null != "" {
		serveNothing()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "overload:", err)
		os.Exit(1)
	}
}

// serveNothing refuses everything.
func serveNothing() {
	server := &http.Server{Addr: *null, ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
}

func run(ctx context.Context) (failed error) {
	dir, err := os.MkdirTemp("", "ocore-audit-overload-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // as root PostgreSQL runs under another user
		return err
	}
	cluster, err := embedded.Start(ctx, embedded.Options{Dir: filepath.Join(dir, "postgres")})
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, cluster.Stop()) }()
	own := postgres.Own{Name: "audit", Owner: "owner", OwnerPassword: "owner", Serving: "serving", ServingPassword: "serving", Worker: "worker", WorkerPassword: "worker"}
	if err := postgres.Provision(ctx, cluster.SuperuserURL("postgres"), cluster.URL(own.Owner, own.OwnerPassword, own.Name), own); err != nil {
		return err
	}
	direct := cluster.URL(own.Serving, own.ServingPassword, own.Name)
	_, rest, _ := strings.Cut(direct, "@")
	host, _, _ := strings.Cut(rest, "/")
	proxy, err := delayed(ctx, host, *delay)
	if err != nil {
		return err
	}
	secret := filepath.Join(dir, "secret")
	text := []byte("a secret of the overload test's own, which nobody else has")
	if err := os.WriteFile(secret, text, 0o600); err != nil {
		return err
	}
	service, ended, err := start(ctx, *binary, "serve", "--listen", free(ctx), "--auth-secret-file", secret, "--log-level", "warn",
		"--database-url", strings.Replace(direct, host, proxy, 1))
	if err != nil {
		return err
	}
	defer ended()
	nothing, ended, err := start(ctx, os.Args[0], "-null", free(ctx))
	if err != nil {
		return err
	}
	defer ended()
	return measure(ctx, service, nothing, text)
}

// free is an address that nobody listens at just now.
func free(ctx context.Context) string {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = listener.Close()
	return listener.Addr().String()
}

// start runs a server until ended is called; its address is the argument that has a port.
func start(ctx context.Context, program string, args ...string) (address string, ended func(), err error) {
	c := exec.CommandContext(ctx, program, args...)
	if *verbose {
		c.Stderr = os.Stderr
	}
	for _, a := range args {
		if strings.HasPrefix(a, "127.0.0.1:") {
			address = a
		}
	}
	if err := c.Start(); err != nil {
		return "", nil, err
	}
	ended = func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
	}
	for range 200 {
		if conn := dial(ctx, address); conn != nil {
			return address, ended, conn.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	ended()
	return "", nil, fmt.Errorf("%s doesn't listen", program)
}

// caller makes requests of a member of the organization.
func caller(secret []byte, organization string) func(method, path, body string) []byte {
	token, err := auth.NewDevelopmentToken(secret, audit.Principal{
		Issuer: "overload", Subject: organization, Organizations: []string{organization}, Permissions: []audit.Permission{audit.ManageAuditLogs},
	}, time.Now(), time.Hour)
	if err != nil {
		panic(err)
	}
	return func(method, path, body string) []byte {
		return fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			method, path, token, len(body), body)
	}
}

func measure(ctx context.Context, service, nothing string, secret []byte) error {
	busy, calm := caller(secret, "busy"), caller(secret, "calm")
	write := busy(http.MethodPost, "/api/audit-logs", `{"action":"server.updated","resourceType":"server","resourceId":"web-01","userId":"ada","afterState":{"memoryGiB":8}}`)
	page := calm(http.MethodGet, "/api/audit-logs", "")
	writes := func(int64) []byte { return write }
	reads := func(int64) []byte { return page }
	d := time.Duration(*seconds) * time.Second
	// Connections are opened and statements planned before anything is measured.
	open(ctx, service, 50, 200, 2*time.Second, func(int64) []byte {
		return calm(http.MethodPost, "/api/audit-logs", `{"action":"a","resourceType":"t"}`)
	})

	// Capacity: as much as it can, asked by as many as may be at work.
	peak := open(ctx, service, 192, 1e5, d/2, writes)
	capacity := float64(len(of(peak, good))) / spread(peak).Seconds()
	fmt.Printf("capacity              %6.0f writes/s (each statement delayed by %s)\n", capacity, *delay)

	storm := func(at string) (all, other []seen) {
		done := make(chan []seen, 1)
		go func() { done <- open(ctx, at, connections, 5*capacity, d, writes) }()
		time.Sleep(time.Second)
		other = open(ctx, service, 40, readRate, d-2*time.Second, reads)
		return <-done, other
	}
	storm(nothing) // the first opens what is left of connections, and isn't measured
	_, alone := storm(nothing)
	all, beside := storm(service)
	after := open(ctx, service, connections, 0.8*capacity, 10*time.Second, writes)

	stored, not := of(all, good), of(all, refused)
	goodput := float64(len(stored)) / spread(all).Seconds()
	recovery := time.Duration(0)
	for _, s := range after {
		if !good(s) || s.took > time.Second {
			recovery = max(recovery, s.due.Sub(after[0].due))
		}
	}
	fmt.Printf("offered               %6.0f writes/s of %.0f for %s: %d stored, %d refused, %d neither\n", float64(len(all))/d.Seconds(), 5*capacity, d, len(stored), len(not), len(all)-len(stored)-len(not))
	fmt.Printf("goodput               %6.0f writes/s, %.2f of the capacity\n", goodput, goodput/capacity)
	fmt.Printf("refused in            p50 %s, p99 %s, p99.9 %s\n", percentile(not, 50), percentile(not, 99), percentile(not, 99.9))
	fmt.Printf("stored in             p50 %s, p99 %s\n", percentile(stored, 50), percentile(stored, 99))
	fmt.Printf("recovered after       %s\n", recovery.Round(time.Millisecond))
	fmt.Printf("another's reads       p50 %s, p99 %s beside the storm; p50 %s, p99 %s with it elsewhere (%d and %d of them)\n",
		percentile(beside, 50), percentile(beside, 99), percentile(alone, 50), percentile(alone, 99), len(beside), len(alone))
	return errors.Join(
		fault(goodput >= 0.9*capacity, "the goodput is less than 0.9 of the capacity"),
		fault(len(stored)+len(not) == len(all), "some were neither stored nor refused"),
		fault(percentile(not, 99) < 50*time.Millisecond, "refusals take 50 ms or longer"),
		fault(recovery <= 10*time.Second && good(after[len(after)-1]), "it did not recover in 10 s"),
		fault(len(of(beside, good)) == len(beside), "another organization's reads failed"),
		fault(percentile(beside, 99) < 2*percentile(alone, 99), "another organization's reads take twice as long or longer"),
	)
}

func fault(holds bool, otherwise string) error {
	if holds {
		return nil
	}
	return errors.New(otherwise)
}

// spread is how long it took from the first request to the last answer.
func spread(all []seen) time.Duration {
	var first, last time.Time
	for _, s := range all {
		if first.IsZero() || s.due.Before(first) {
			first = s.due
		}
		if end := s.due.Add(s.took); end.After(last) {
			last = end
		}
	}
	return last.Sub(first)
}
