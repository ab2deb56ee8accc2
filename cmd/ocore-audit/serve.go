package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
	"ocore.dev/audit/internal/docs"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/metrics"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/proof"
	"ocore.dev/audit/internal/tracing"
	"ocore.dev/audit/internal/viewer"
)

// drainTimeout is how long requests may go on after the signal to stop, and drainNotice
// how long readiness already says no while new ones are still served.
const (
	drainTimeout = 20 * time.Second
	drainNotice  = 2 * time.Second
)

// serverFlags are the settings of `serve` and `run`.
type serverFlags struct {
	databaseURL string
	workerURL   string
	listen      string
	metrics     string
	trust       trustFlags
	signing     signingFlags
	callers     callerFlags
	log         logFlags
}

func (s *serverFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&s.databaseURL, "database-url", "", "PostgreSQL URL of the serving login")
	c.Flags().StringVar(&s.workerURL, "worker-database-url", "", "PostgreSQL URL of the worker's login; without it this instance does no background work")
	c.Flags().StringVar(&s.listen, "listen", "127.0.0.1:8080", "address to serve on")
	c.Flags().StringVar(&s.metrics, "metrics-listen", "", "address to serve Prometheus metrics and pprof on, to whoever reaches it; without it neither is served")
	s.trust.add(c)
	s.signing.add(c)
	s.callers.add(c)
	s.log.add(c, "info")
}

// callerFlags are what callers may do, and what is believed of them.
type callerFlags struct {
	limitCredential   string
	limitOrganization string
	origins           []string
	strictTransport   time.Duration
	proxies           []string
}

func (f *callerFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.limitCredential, "limit-credential", "", "requests a second that one credential may send to this instance, and how many at once, such as 50:200; without it there is no limit")
	c.Flags().StringVar(&f.limitOrganization, "limit-organization", "", "the same for all calls in one organization")
	c.Flags().StringSliceVar(&f.origins, "cors-origin", nil, "origin whose pages may call the API from browsers, such as https://app.example.com; can be given more than once")
	c.Flags().DurationVar(&f.strictTransport, "hsts-max-age", 0, "how long browsers shall remember to come by TLS only (Strict-Transport-Security); only with TLS in front")
	c.Flags().StringSliceVar(&f.proxies, "trusted-proxy", nil, "network whose X-Forwarded-For is believed in the log, such as 10.0.0.0/8; can be given more than once")
}

// apply checks the flags and sets the options that they mean.
func (f *callerFlags) apply(o *httpapi.Options) error {
	for _, l := range []struct {
		flag, text string
		into       *httpapi.Limit
	}{{"limit-credential", f.limitCredential, &o.CredentialLimit}, {"limit-organization", f.limitOrganization, &o.OrganizationLimit}} {
		if l.text == "" {
			continue
		}
		var err error
		if *l.into, err = httpapi.ParseLimit(l.text); err != nil {
			return usage("--%s: %s", l.flag, err)
		}
	}
	for _, origin := range f.origins {
		if err := httpapi.CheckOrigin(origin); err != nil {
			return usage("--cors-origin: %s", err)
		}
	}
	for _, network := range f.proxies {
		prefix, err := netip.ParsePrefix(network)
		if err != nil {
			return usage("--trusted-proxy: %q is not a network such as 10.0.0.0/8", network)
		}
		o.TrustedProxies = append(o.TrustedProxies, prefix)
	}
	if f.strictTransport < 0 {
		return usage("--hsts-max-age can't be less than 0")
	}
	o.Origins, o.StrictTransport = f.origins, f.strictTransport
	return nil
}

func newServe() *cobra.Command {
	var flags serverFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the API from an existing database",
		Long: `Serve the API from a database that "ocore-audit migrate" prepared.

The login of --database-url must be a plain member of the role ocore_audit_serving:
serve refuses to start as one that could alter history. Several instances may serve one
database.

With --worker-database-url, a login that is a plain member of ocore_audit_worker, this
instance also works in the background: it builds the postings that keep totals and pages
of long trails fast and, with --signing-key-file, signs a checkpoint of every trail that has
grown, within a second. One instance is enough, several share the work; without any,
answers are right and slower, and new entries can't be proved.

The signing key never goes into the database. With --checkpoint-dir the newest checkpoints
are kept outside of it too, so that restoring an old copy is noticed. A trail that
contradicts what was signed of it is not signed any more: the log says TAMPERING, and why.

Traces go by OTLP over HTTP where OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT) says; the
other OTEL_* variables of the OpenTelemetry specification hold too.

GET /healthz says that the process lives, GET /readyz that the database answers and has
this version's schema, and that every issuer's published keys were there once.
SIGTERM makes /readyz say no for 2 s, then tells those who follow a trail to connect again and lets
requests finish (at most 20 s); a second one ends at once.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if flags.databaseURL == "" {
				return usage("--database-url is missing; to look around without a database: ocore-audit run")
			}
			log, err := flags.log.logger()
			if err != nil {
				return err
			}
			verifier, err := flags.trust.verifier(log)
			if err != nil {
				return err
			}
			signing, err := flags.signing.open()
			if err != nil {
				return err
			}
			s := &service{
				listen: flags.listen, metricsListen: flags.metrics, workerURL: flags.workerURL,
				verifier: verifier, signing: signing, callers: flags.callers, log: log, notice: drainNotice,
			}
			return s.serve(c.Context(), flags.databaseURL)
		},
	}
	flags.add(c)
	return c
}

// service is one running instance.
type service struct {
	listen        string
	metricsListen string // "" for no metrics
	workerURL     string // "" for no background work
	verifier      *auth.Verifier
	signing       signing
	callers       callerFlags
	log           *slog.Logger
	notice        time.Duration                               // between saying that it drains and refusing connections
	prepare       func(context.Context, *audit.Service) error // if set, called before requests are accepted
	started       func(address string) error                  // if set, called once they are
	draining      atomic.Bool
}

// serve runs until ctx ends, then drains.
func (s *service) serve(ctx context.Context, databaseURL string) error {
	holdHeap()
	options := httpapi.Options{Docs: docs.Handler, Viewer: viewer.Handler, Log: s.log}
	if err := s.callers.apply(&options); err != nil {
		return err
	}
	counts, stopCounts, err := s.serveMetrics(ctx)
	if err != nil {
		return err
	}
	defer stopCounts()
	traces, err := openTraces(ctx, s.log)
	if err != nil {
		return err
	}
	defer traces.Close()
	store, err := postgres.Open(ctx, postgres.Options{URL: databaseURL, Log: s.log, Metrics: counts, Tracing: traces})
	if err != nil {
		return usage("%s", err)
	}
	defer store.Close()
	if err := store.CheckServing(ctx); err != nil {
		return err
	}
	s.signing.warn(s.log)
	worker, err := s.worker(ctx, counts, traces)
	if err != nil {
		return err
	}
	prover, signer := s.signing.prover(store, worker, s.log)
	if signer != nil {
		begun := time.Now()
		counts.CheckpointAge(func() time.Duration { return time.Since(later(begun, signer.Signed())) })
		counts.Watch("checkpoints_refused", "Trails whose database contradicts what was signed.", func() float64 { return float64(signer.Refused()) })
	}
	s.watchKeys(counts)
	defer work(ctx, worker, signer)()
	defer s.keepKeys(ctx)()
	trails := audit.NewService(store)
	if s.prepare != nil {
		if err := s.prepare(ctx, trails); err != nil {
			return err
		}
	}
	options.Service, options.Keys, options.Prover = trails, audit.NewKeys(store, trails), prover
	options.Authenticator = auth.NewDoor(s.verifier, options.Keys, time.Now, s.log)
	options.Ready, options.Metrics, options.Tracing = s.ready(store), counts, traces
	drain := make(chan struct{})
	options.Drain = drain
	handler, err := httpapi.New(options)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return fmt.Errorf("%w (choose another address with --listen)", err)
	}
	server := httpapi.NewServer(handler, s.log)
	server.RegisterOnShutdown(func() { close(drain) })
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	s.log.LogAttrs(ctx, slog.LevelInfo, "serving", slog.String("address", listener.Addr().String()), slog.String("version", version))
	if s.started != nil {
		if err := s.started(listener.Addr().String()); err != nil {
			return errors.Join(err, server.Close())
		}
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return s.drain(server)
	}
}

// serveMetrics serves metrics and profiles, until stop, on a listener of their own.
func (s *service) serveMetrics(ctx context.Context) (counts *metrics.Metrics, stop func(), err error) {
	if s.metricsListen == "" {
		return nil, func() {}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.metricsListen)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (choose another address with --metrics-listen)", err)
	}
	counts = metrics.New(version)
	server := &http.Server{Handler: counts.Handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends by stop alone
	s.log.LogAttrs(ctx, slog.LevelInfo, "serving metrics", slog.String("address", listener.Addr().String()))
	return counts, func() { _ = server.Close() }, nil
}

// worker connects as the worker's login; nil when there is none.
func (s *service) worker(ctx context.Context, counts *metrics.Metrics, traces *tracing.Tracing) (*postgres.Worker, error) {
	if s.workerURL == "" {
		return nil, nil
	}
	worker, err := postgres.OpenWorker(ctx, postgres.WorkerOptions{URL: s.workerURL, Log: s.log, Metrics: counts, Tracing: traces})
	if err != nil {
		return nil, usage("%s", err)
	}
	if err := worker.CheckWorking(ctx); err != nil {
		worker.Close()
		return nil, err
	}
	return worker, nil
}

// work begins what is done in the background; stop ends it.
func work(ctx context.Context, worker *postgres.Worker, signer *proof.Signer) (stop func()) {
	if worker == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	working.Go(func() { worker.Run(ctx) })
	if signer != nil {
		working.Go(func() { signer.Run(ctx) })
	}
	return func() {
		cancel()
		working.Wait()
		worker.Close()
	}
}

// keepKeys begins to ask issuers for their keys; stop ends it. Draining still needs them.
func (s *service) keepKeys(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { s.verifier.Run(ctx, s.log) })
	return func() {
		cancel()
		running.Wait()
	}
}

// watchKeys counts from the start where there are no keys yet.
func (s *service) watchKeys(counts *metrics.Metrics) {
	begun := time.Now()
	if _, published := s.verifier.KeysFrom(); published {
		counts.Watch("issuer_keys_age_seconds", "Time since the keys were had of the issuer that was asked least lately.", func() float64 {
			from, _ := s.verifier.KeysFrom()
			return time.Since(later(begun, from)).Seconds()
		})
	}
}

func (s *service) ready(store *postgres.Store) func(context.Context) error {
	return func(ctx context.Context) error {
		if s.draining.Load() {
			return errors.New("draining")
		}
		if err := s.verifier.Ready(); err != nil {
			return err
		}
		return store.Ready(ctx)
	}
}

// drain lets requests finish. Those that don't in time are cut, so that their callers
// see a failure rather than a clean end.
func (s *service) drain(server *http.Server) error {
	s.draining.Store(true)
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "draining")
	time.Sleep(s.notice)
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(errors.New("requests were cut after 20 s of draining"), server.Close())
	}
	return err
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
