package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/singleflight"

	"ocore.dev/audit/gen/api"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/metrics"
	"ocore.dev/audit/internal/proof"
	"ocore.dev/audit/internal/tracing"
)

// Options are what the handler is made of; none may be missing but those that say so.
type Options struct {
	Service       *audit.Service
	Keys          *audit.Keys
	Authenticator Authenticator
	Ready         func(context.Context) error             // nil error: requests can be served
	Prover        *proof.Prover                           // nil: nothing can be proved
	Drain         <-chan struct{}                         // closed when answers without an end of their own must end; nil for never
	Docs          func(missing http.Handler) http.Handler // answers from /docs on what it can, and hands on the rest
	Viewer        func(missing http.Handler) http.Handler // the same from /ui on; nil: there is no page
	Log           *slog.Logger
	Metrics       *metrics.Metrics // nil: nobody counts
	Tracing       *tracing.Tracing // nil: nobody traces
	ChunkTimeout  time.Duration    // of a part of an export that nobody takes; 0: 30 s
	RefusalLines  int              // of one status that the log may hold at once; 0: 100

	// What operators may set. None of it is limited, allowed or believed without.
	CredentialLimit   Limit          // of calls by one credential
	OrganizationLimit Limit          // of calls in one organization
	Origins           []string       // whose pages may call, as [CheckOrigin] takes them
	StrictTransport   time.Duration  // how long browsers shall remember to come by TLS only
	TrustedProxies    []netip.Prefix // whose X-Forwarded-For is believed, for the log
}

// New makes the handler of everything the service answers. It fails when the document
// has an operation without a permission, or an origin isn't one.
func New(o Options) (http.Handler, error) {
	document, err := loadDocument(documentYAML)
	if err != nil {
		return nil, err
	}
	e := echo.New()
	e.HTTPErrorHandler = handleEchoError
	e.JSONSerializer = binder{}
	admission := newAdmission(o.Metrics)
	strict := api.NewStrictHandler(&handlers{o.Service, o.Keys, o.Prover, cmp.Or(o.ChunkTimeout, defaultChunkTimeout), o.Drain}, []api.StrictMiddlewareFunc{admission.admit})
	api.RegisterHandlersWithBaseURL(e, strict, BasePath)
	quotas := newQuotas(o.CredentialLimit, o.OrganizationLimit, o.Metrics)
	operations := (&gate{document: document, authenticator: o.Authenticator, admission: admission, quotas: quotas}).wrap(e)

	routes := http.NewServeMux()
	routes.Handle("/", operations)
	routes.Handle(tilesPath, &tiles{o.Service, o.Prover, o.Authenticator, quotas, admission.reads})
	for at, pages := range map[string]func(http.Handler) http.Handler{"/docs": o.Docs, "/ui": o.Viewer} {
		if pages == nil {
			continue
		}
		handler := pages(http.HandlerFunc(refusePage))
		routes.Handle(at, handler)
		routes.Handle(at+"/", handler)
	}
	for at, show := range map[string]http.HandlerFunc{
		"/healthz":          func(w http.ResponseWriter, _ *http.Request) { writeStatus(w, "ok") },
		"/readyz":           ready(o.Ready),
		"/openapi.yaml":     serveBytes("application/yaml", documentYAML),
		"/openapi-3.1.yaml": serveBytes("application/yaml", document31YAML),
		"/openapi.json":     serveBytes("application/json", document.json),
		"/{$}":              start(o.Viewer != nil),
	} {
		routes.HandleFunc("GET "+at, show)
		routes.HandleFunc(at, refuseMethod)
	}
	shared, err := shareWith(o.Origins, document.allMethods(), recovered(keepPaths(routes, operations)))
	if err != nil {
		return nil, err
	}
	observed := &observer{
		log: newRequestLog(o), metrics: o.Metrics, traces: o.Tracing, strictTransport: strictTransport(o.StrictTransport),
	}
	return observed.wrap(shared), nil
}

// NewServer gives the handler a server with bounds on everything a peer can hold up.
// Exports extend the write deadline chunk by chunk.
func NewServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		// OPTIONS * is a request like others: logged, counted, and answered by a problem.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// keepPaths hands API calls past ServeMux, which would redirect resource ids that hold
// dots and double slashes to cleaned paths. So it does with paths that are unclean
// elsewhere, or none at all (CONNECT, OPTIONS *): ServeMux has no problem document for them.
func keepPaths(routes, operations http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		clean := path.Clean(r.URL.Path)
		if underBase(r) || r.RequestURI == "*" || clean != r.URL.Path && (clean == "/" || clean+"/" != r.URL.Path) {
			operations.ServeHTTP(w, r)
			return
		}
		routes.ServeHTTP(w, r)
	})
}

// refuseMethod answers what isn't the GET or HEAD that a path outside the document takes.
func refuseMethod(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", "GET, HEAD")
	writeProblem(w, r, errMethodNotAllowed)
}

// refusePage answers for the pages under /docs and /ui what is not a GET or HEAD of one.
func refusePage(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuseMethod(w, r)
		return
	}
	writeProblem(w, r, errNoSuchPath)
}

// start leads whoever opens the bare address to the page for people, or to the reference
// where there is none. Relative: only the caller's side knows the prefix that a proxy puts
// before our paths. Not for ever: another build may have the page.
func start(hasViewer bool) http.HandlerFunc {
	at := "docs"
	if hasViewer {
		at = "ui/"
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", at)
		w.WriteHeader(http.StatusFound)
	}
}

// ready answers everybody who asks at the same time by one look: it is open to all, and a
// storm of strangers must not keep the balancer from hearing that all is well.
func ready(check func(context.Context) error) http.HandlerFunc {
	var together singleflight.Group
	return func(w http.ResponseWriter, r *http.Request) {
		_, err, _ := together.Do("", func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 2*time.Second)
			defer cancel()
			return nil, check(ctx)
		})
		if err != nil {
			writeProblem(w, r, fmt.Errorf("%w: %w", audit.ErrNotReady, err))
			return
		}
		writeStatus(w, "ready")
	}
}

// writeStatus answers a probe; one that has gone needs no answer.
func writeStatus(w http.ResponseWriter, word string) {
	_ = writeJSON(w, http.StatusOK, []byte(`{"status":"`+word+`"}`))
}

func serveBytes(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Write(body)
	}
}
