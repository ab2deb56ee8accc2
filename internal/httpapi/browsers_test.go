package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/testkit"
)

// everyAnswer calls each operation and page in ways that go well and that don't.
func everyAnswer(t *testing.T, s *testkit.Service, look func(name string, a answer), headers ...string) {
	t.Helper()
	s.Drain()
	both := ada
	both.Permissions = append(slices.Clone(ada.Permissions), grace.Permissions...)
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		call := sampleOf(t, method, path, o)
		look(o.OperationID, send(t, s, both, method, call.path, call.body, headers...))
		look(o.OperationID+" without a token", send(t, s, audit.Principal{}, method, call.path, call.body, headers...))
		look(o.OperationID+" without permission", send(t, s, as(), method, call.path, call.body, headers...))
		look(o.OperationID+" with nonsense", send(t, s, both, method, call.path+"?nonsense=1", call.body, headers...))
		look(o.OperationID+" deleted", send(t, s, both, http.MethodDelete, call.path, "", headers...))
	})
	for _, path := range []string{"/healthz", "/readyz", "/openapi.yaml", "/openapi.json", "/nowhere", "/api/nowhere", "//"} {
		look(path, send(t, outside(s), both, http.MethodGet, path, "", headers...))
	}
}

func TestEveryAnswerTellsBrowsersToDoNothingWithIt(t *testing.T) {
	t.Parallel()
	database := testkit.NewDatabase(t)
	s := testkit.ServeDatabase(t, database)
	post(t, s, ada, "/audit-logs", whole)
	everyAnswer(t, s, func(name string, a answer) {
		for header, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
			"Server":                  "", "X-Powered-By": "", "Strict-Transport-Security": "", "Access-Control-Allow-Origin": "", "Vary": "",
		} {
			if got := a.header.Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
	})
	for _, path := range []string{"/docs", "/docs/nowhere"} {
		if policy := get(t, outside(s), ada, path).header.Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %q", path, policy)
		}
	}
	behind := testkit.ServeDatabase(t, database, func(o *httpapi.Options) { o.StrictTransport = 365 * 24 * time.Hour })
	everyAnswer(t, behind, func(name string, a answer) {
		if got := a.header.Get("Strict-Transport-Security"); got != "max-age=31536000" {
			t.Errorf("%s: Strict-Transport-Security is %q", name, got)
		}
	})
}

const frontEnd = "https://app.acme.example"

// Origins that only look like the allowed one.
var otherOrigins = []string{
	"null", "https://app.acme.example.evil.example", "https://evil-app.acme.example", "http://app.acme.example", "https://acme.example",
	"https://x.app.acme.example", "https://app.acme.example:8443", "https://app.acme.example/", "https://app.acme.example@evil.example", "*", "file://",
}

func TestPagesOfAllowedOriginsMayCall(t *testing.T) {
	t.Parallel()
	s := testkit.ServeDatabase(t, testkit.NewDatabase(t), func(o *httpapi.Options) { o.Origins = []string{"https://other.example", frontEnd} })
	post(t, s, ada, "/audit-logs", whole)
	everyAnswer(t, s, func(name string, a answer) {
		if a.status == http.StatusMethodNotAllowed {
			return // the document has no such method, so pages may not use it
		}
		exposed := a.header.Get("Access-Control-Expose-Headers")
		for _, header := range []string{
			"X-Request-Id", "X-Total-Count", "X-Truncated", "Link", "Idempotency-Replayed", "RateLimit", "RateLimit-Policy", "Retry-After",
		} {
			if !slices.Contains(strings.Split(strings.ToLower(exposed), ", "), strings.ToLower(header)) {
				t.Errorf("%s: %s isn't exposed: %s", name, header, exposed)
			}
		}
		if got := a.header.Get("Access-Control-Allow-Origin"); got != frontEnd || a.header.Get("Vary") != "Origin" || a.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %v", name, a.header)
		}
	}, "Origin", frontEnd)
	for _, origin := range otherOrigins {
		a := send(t, s, ada, http.MethodGet, "/audit-logs", "", "Origin", origin)
		if a.header.Get("Access-Control-Allow-Origin") != "" || a.header.Get("Vary") != "Origin" {
			t.Errorf("%s: %v", origin, a.header)
		}
	}
	if a := get(t, s, ada, "/audit-logs"); a.header.Get("Access-Control-Allow-Origin") != "" || a.header.Get("Vary") != "Origin" {
		t.Errorf("no page at all: %v", a.header)
	}
}

func TestPreflightNeedsNoToken(t *testing.T) {
	t.Parallel()
	s := testkit.ServeDatabase(t, testkit.NewDatabase(t), func(o *httpapi.Options) { o.Origins = []string{frontEnd} })
	s.Drain()
	closed := testkit.ServeDatabase(t, s.Database)
	ask := func(to *testkit.Service, origin, method, path string) answer {
		return send(t, to, audit.Principal{}, http.MethodOptions, path, "", "Origin", origin, "Access-Control-Request-Method", method,
			"Access-Control-Request-Headers", "authorization,content-type,x-org-slug")
	}
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		call := sampleOf(t, method, path, o)
		a := ask(s, frontEnd, method, call.path)
		if a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Origin") != frontEnd || a.header.Get("Access-Control-Allow-Methods") != method ||
			!strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "authorization") || a.header.Get("Access-Control-Max-Age") != "600" ||
			!strings.Contains(a.header.Get("Vary"), "Origin") || a.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %d %v", o.OperationID, a.status, a.header)
		}
		for _, origin := range otherOrigins {
			if a := ask(s, origin, method, call.path); a.header.Get("Access-Control-Allow-Origin")+a.header.Get("Access-Control-Allow-Headers") != "" {
				t.Errorf("%s from %s: %v", o.OperationID, origin, a.header)
			}
		}
		if a := ask(closed, frontEnd, method, call.path); a.status != http.StatusMethodNotAllowed || a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s where no origin is allowed: %d %v", o.OperationID, a.status, a.header)
		}
	})
	if a := ask(s, frontEnd, http.MethodPatch, "/audit-logs"); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("PATCH, which nothing has: %v", a.header)
	}
	// OPTIONS that is no preflight is a method that nothing has.
	send(t, s, ada, http.MethodOptions, "/audit-logs", "", "Origin", frontEnd).problem(t, http.StatusMethodNotAllowed)
}

func TestOriginsAreExact(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{frontEnd, "http://localhost:5173", "https://[2001:db8::1]:8443"} {
		if err := httpapi.CheckOrigin(origin); err != nil {
			t.Error(err)
		}
	}
	for _, origin := range []string{
		"", "*", "null", "https://*.acme.example", "https://acme.example/", "https://acme.example/path", "https://a@acme.example", "acme.example",
		"https://", "https://Acme.example", "HTTPS://acme.example", "https://acme.example?x", "https://acme.example#x", "ftp://acme.example",
		"https://a.example https://b.example", "https://a.example,https://b.example", "://",
	} {
		if httpapi.CheckOrigin(origin) == nil {
			t.Errorf("%q is taken for an origin", origin)
		}
		if _, err := httpapi.New(httpapi.Options{Origins: []string{origin}, Docs: func(missing http.Handler) http.Handler { return missing }}); err == nil {
			t.Errorf("%q is configured", origin)
		}
	}
}
