package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/docs"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/testkit"
)

// outside is the service as seen from its host's root, for paths beside the base path.
func outside(s *testkit.Service) *testkit.Service {
	host := *s
	host.URL = strings.TrimSuffix(s.URL, httpapi.BasePath)
	return &host
}

func TestAPathThatIsNotThereIsAProblem(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for _, path := range []string{
		"/favicon.ico", "/api", "/api/", "/api/nothing", "/audit-logs", "/API/audit-logs", "/%61pi/audit-logs", "/api//audit-logs", "/api/audit-logs/",
		"/api/audit-logs/entries", "/api/audit-logs/entries/", "/api/audit-logs/entries/a/b", "/api/Audit-Logs", "/api/audit-logs/export/", "/api/healthz", "/healthz/x",
		"//api/audit-logs", "//healthz", "/healthz//", "/docs/../healthz", "/./healthz",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			send(t, outside(s), ada, method, path, "").problem(t, http.StatusNotFound)
		}
	}
	// No path at all, which is what CONNECT has, and that of the server as a whole.
	raw(t, s, "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").problem(t, http.StatusNotFound)
	raw(t, s, "CONNECT audit.example:443 HTTP/1.1\r\nHost: audit.example:443\r\nConnection: close\r\n\r\n").problem(t, http.StatusNotFound)
	for _, id := range []string{"missing", "..", ".", "a b", "a%2Fb", "%2e%2e", "%F0%9F%A6%86", "export", strings.Repeat("x", 128)} {
		get(t, s, ada, "/audit-logs/entries/"+id).problem(t, http.StatusNotFound)
	}
	for _, id := range []string{strings.Repeat("x", 129), "%00", "%FF"} {
		get(t, s, ada, "/audit-logs/entries/"+id).problem(t, http.StatusBadRequest)
	}
}

func TestAMethodThatAPathDoesNotHaveIsAProblemThatNamesThose(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	s.Drain()
	allowed := map[string][]string{}
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		at := httpapi.BasePath + sampleOf(t, method, path, o).path
		allowed[at] = append(allowed[at], method)
	})
	for _, path := range []string{"/healthz", "/readyz", "/openapi.yaml", "/openapi-3.1.yaml", "/openapi.json"} {
		allowed[path] = []string{http.MethodGet, http.MethodHead}
	}
	for path, methods := range allowed {
		slices.Sort(methods)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "get"} {
			if slices.Contains(methods, method) {
				continue
			}
			a := send(t, outside(s), ada, method, path, "")
			if got := a.header.Get("Allow"); got != strings.Join(methods, ", ") {
				t.Errorf("%s %s: Allow: %s, want %v", method, path, got, methods)
			}
			if method != http.MethodHead {
				a.problem(t, http.StatusMethodNotAllowed)
			} else if a.status != http.StatusMethodNotAllowed || a.body != "" {
				t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
			}
		}
	}
}

func TestARequestIDIsKeptIfItIsHarmless(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for sent, kept := range map[string]bool{
		"abc-123_x.y": true, strings.Repeat("x", 64): true,
		strings.Repeat("x", 65): false, "a b": false, "<script>": false, "é": false, "a\tb": false,
	} {
		for _, path := range []string{"/audit-logs", "/nowhere", "/audit-logs?page=-1"} {
			a := send(t, s, ada, http.MethodGet, path, "", "X-Request-Id", sent)
			if got := a.header.Get("X-Request-Id"); got == "" || (got == sent) != kept {
				t.Errorf("%s: %q became %q", path, sent, got)
			}
			if a.status >= 400 {
				a.problem(t, a.status)
			}
		}
	}
}

func TestWithoutItsDatabaseTheServiceSaysSoAndRecovers(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	s.Drain()
	post(t, s, ada, "/audit-logs", whole)
	takeAway(t, s)
	both := ada
	both.Permissions = append(slices.Clone(ada.Permissions), grace.Permissions...)
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		call := sampleOf(t, method, path, o)
		a := send(t, s, both, method, call.path, call.body)
		if (o.OperationID == "listAuditLogKeys" || o.OperationID == "listAdminAuditLogKeys") && a.status == http.StatusOK {
			return // keys aren't in the database
		}
		if a.problem(t, http.StatusServiceUnavailable); a.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", o.OperationID)
		}
		// What needs no database is decided without it.
		send(t, s, audit.Principal{}, method, call.path, call.body).problem(t, http.StatusUnauthorized)
		send(t, s, both, method, with(call.path, "nonsense=1"), call.body).problem(t, http.StatusBadRequest)
	})
	if a := get(t, outside(s), audit.Principal{}, "/healthz"); a.status != http.StatusOK || a.body != `{"status":"ok"}` {
		t.Errorf("healthz: %d %s", a.status, a.body)
	}
	if a := get(t, outside(s), audit.Principal{}, "/readyz"); a.header.Get("Retry-After") == "" {
		t.Errorf("readyz: %v", a.header)
	} else {
		a.problem(t, http.StatusServiceUnavailable)
	}
	administer(t, s, "ALTER DATABASE "+s.Database.Name+" ALLOW_CONNECTIONS true")
	if a := get(t, outside(s), audit.Principal{}, "/readyz"); a.status != http.StatusOK || a.body != `{"status":"ready"}` {
		t.Errorf("readyz again: %d %s", a.status, a.body)
	}
	if a := post(t, s, ada, "/audit-logs", whole); a.status != http.StatusCreated || a.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the same again: %d %s", a.status, a.body)
	}
	if total := list(t, s, ada, "/audit-logs").Total; total != 1 {
		t.Errorf("%d entries, where each other write was answered by a 503", total)
	}
}

// brittle is a store that fails as it is told.
type brittle struct {
	audit.Store
	find func() error // before a reading begins
	rows func() error // before each chunk of rows
}

func (b *brittle) Find(ctx context.Context, organization string, f audit.Filter, w audit.Window) (audit.Found, error) {
	if err := b.find(); err != nil {
		return audit.Found{}, err
	}
	return b.Store.Find(ctx, organization, f, w)
}

func (b *brittle) Newest(ctx context.Context, organization string, w audit.Window, visit func(audit.Row)) (audit.Found, error) {
	if err := b.find(); err != nil {
		return audit.Found{}, err
	}
	return b.Store.Newest(ctx, organization, w, visit)
}

func (b *brittle) Rows(ctx context.Context, organization string, positions []int64, visit func(audit.Row)) error {
	if err := b.rows(); err != nil {
		return err
	}
	return b.Store.Rows(ctx, organization, positions, visit)
}

// lines is a log that is read while it is written.
type lines struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.Write(line)
}

func (l *lines) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.String()
}

// logTo makes a service write its log there.
func logTo(w io.Writer) func(*httpapi.Options) {
	return func(o *httpapi.Options) { o.Log = slog.New(slog.NewJSONHandler(w, nil)) }
}

// trusting takes anybody for ada.
type trusting struct{}

func (trusting) Authenticate(context.Context, []string) (audit.Principal, error) { return ada, nil }

// serve runs the handler over a store of the test's own, without the checker.
func serve(t *testing.T, store audit.Store, log io.Writer) *testkit.Service {
	t.Helper()
	return serveLog(t, store, slog.New(slog.NewJSONHandler(log, nil)))
}

func serveLog(t *testing.T, store audit.Store, logger *slog.Logger) *testkit.Service {
	t.Helper()
	handler, err := httpapi.New(httpapi.Options{
		Service: audit.NewService(store), Authenticator: trusting{}, Docs: docs.Handler, Log: logger,
		Ready: func(context.Context) error { panic("not ready: pgx") },
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config = httpapi.NewServer(handler, logger)
	server.Start()
	t.Cleanup(server.Close)
	return &testkit.Service{URL: server.URL + httpapi.BasePath, HTTP: server.Client()}
}

func TestWhatBreaksInsideIsNotToldOutside(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail   func() error
		status int
	}{
		"an unknown error": {func() error { return errors.New(`relation "entries" does not exist (SQLSTATE 42P01)`) }, 500},
		"a panic":          {func() error { panic("runtime error: nil pointer at store.go:12") }, 500},
		"an abort":         {func() error { return fmt.Errorf("dial 127.0.0.1: %w", audit.ErrUnavailable) }, 503},
		"too much":         {func() error { return fmt.Errorf("pgxpool: %w", audit.ErrOverloaded) }, 503},
		"an impatient one": {func() error { return fmt.Errorf("pgx: %w", context.DeadlineExceeded) }, 500},
		"a told secret": {func() error {
			return fmt.Errorf("pgx: %w", &audit.Rejection{Kind: audit.ErrUnavailable, Detail: "postgres://secret"})
		}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log lines
			s := serve(t, &brittle{find: c.fail}, &log)
			var bodies []string
			for _, path := range []string{"/audit-logs", "/audit-logs/export"} {
				a := get(t, s, ada, path)
				if a.problem(t, c.status); (a.header.Get("Retry-After") != "") != (c.status == 503) {
					t.Errorf("%v", a.header)
				}
				bodies = append(bodies, a.anonymous())
				if !strings.Contains(log.String(), a.header.Get("X-Request-Id")) {
					t.Errorf("the log doesn't name the request: %s", log.String())
				}
			}
			if bodies[0] != bodies[1] || strings.Contains(bodies[0], "secret") {
				t.Errorf("%q", bodies)
			}
		})
	}
	s := outside(serve(t, &brittle{}, io.Discard))
	get(t, s, ada, "/readyz").problem(t, http.StatusInternalServerError)
}

func TestAnAnswerThatFailsHalfwayIsCut(t *testing.T) {
	t.Parallel()
	whole := testkit.NewService(t)
	seed(t, whole, numbered(1200)...)
	for name, fail := range map[string]func() error{
		"an error": func() error { return errors.New("gone") },
		"a panic":  func() error { panic("gone") },
	} {
		for _, format := range []string{"json", "csv"} {
			chunks := 0
			s := serve(t, &brittle{Store: whole.Store, find: func() error { return nil }, rows: func() error {
				if chunks++; chunks == 3 {
					return fail()
				}
				return nil
			}}, io.Discard)
			response, err := s.HTTP.Get(s.URL + "/audit-logs/export?format=" + format)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode != http.StatusOK || !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(string(body), "srv-1199") || strings.Contains(string(body), "srv-100,") {
				t.Errorf("%s as %s: %d, %d bytes, then %v", name, format, response.StatusCode, len(body), err)
			}
		}
	}
}

func TestAChunkThatCannotBeReadAtFirstIsAProblem(t *testing.T) {
	t.Parallel()
	whole := testkit.NewService(t)
	seed(t, whole, numbered(1)...)
	s := serve(t, &brittle{Store: whole.Store, find: func() error { return nil }, rows: func() error { return audit.ErrUnavailable }}, io.Discard)
	for _, format := range []string{"json", "csv"} {
		a := get(t, s, ada, "/audit-logs/export?format="+format)
		if a.problem(t, http.StatusServiceUnavailable); a.header.Get("X-Total-Count")+a.header.Get("Content-Disposition") != "" {
			t.Errorf("%v", a.header)
		}
	}
}

func TestTheLogHoldsNoTokensAndNoFilters(t *testing.T) {
	t.Parallel()
	var log lines
	s := serve(t, &brittle{find: func() error { return errors.New("broken inside") }}, &log)
	token := testkit.Token(t, ada)
	a := get(t, s, ada, "/audit-logs?user_id="+url.QueryEscape("somebody@acme.example")+"&nonsense=sensitive")
	b := get(t, s, ada, "/audit-logs?user_id="+url.QueryEscape("somebody@acme.example"))
	text := log.String()
	for _, secret := range []string{"somebody", "sensitive", token} {
		if strings.Contains(text, secret) {
			t.Errorf("the log holds %q: %s", secret, text)
		}
	}
	for _, wanted := range []string{a.header.Get("X-Request-Id"), b.header.Get("X-Request-Id"), "broken inside", `"operation":"listAuditLogs"`, `"organization":"acme"`} {
		if !strings.Contains(text, wanted) {
			t.Errorf("the log lacks %q: %s", wanted, text)
		}
	}
}

func TestAServerBoundsWhatAPeerCanHoldUp(t *testing.T) {
	t.Parallel()
	server := httpapi.NewServer(nil, slog.New(slog.DiscardHandler))
	for name, bound := range map[string]time.Duration{
		"headers": server.ReadHeaderTimeout, "bodies": server.ReadTimeout, "answers": server.WriteTimeout, "idleness": server.IdleTimeout,
	} {
		if bound <= 0 || bound > 5*time.Minute {
			t.Errorf("%s: %v", name, bound)
		}
	}
}
