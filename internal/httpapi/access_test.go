package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/testkit"
)

// sample is a call that an operation answers with success, once whole and adminOne are stored.
type sample struct {
	path, body string
	status     int
}

var samples = map[string]sample{
	"listAuditLogs":          {"/audit-logs", "", http.StatusOK},
	"createAuditLog":         {"/audit-logs", least, http.StatusCreated},
	"createAuditLogBatch":    {"/audit-logs/batch", `{"items":[` + least + `]}`, http.StatusCreated},
	"exportAuditLogs":        {"/audit-logs/export", "", http.StatusOK},
	"getAuditLog":            {"/audit-logs/entries/e-1", "", http.StatusOK},
	"getAuditLogProof":       {"/audit-logs/entries/e-1/proof", "", http.StatusOK},
	"getAuditLogCheckpoint":  {"/audit-logs/checkpoint", "", http.StatusOK},
	"getAuditLogConsistency": {"/audit-logs/consistency?from=1", "", http.StatusOK},
	"listAuditLogKeys":       {"/audit-logs/keys", "", http.StatusOK},
	"listResourceAuditLogs":  {"/audit-logs/resource/server/web-01", "", http.StatusOK},
	"listAdminAuditLogs":     {"/admin/audit-logs", "", http.StatusOK},
	"getAdminAuditLogProof":  {"/admin/audit-logs/entries/a-1/proof", "", http.StatusOK},
	"listAdminAuditLogKeys":  {"/admin/audit-logs/keys", "", http.StatusOK},
	"listApiKeys":            {"/api-keys", "", http.StatusOK},
	"createApiKey":           {"/api-keys", `{"name":"shop","permissions":["create:audit_logs"]}`, http.StatusCreated},
	"revokeApiKey":           {"/api-keys/" + sampleKey, "", http.StatusOK},
	"getAuditLogHistogram":   {"/audit-logs/histogram", "", http.StatusOK},
	"listAuditLogFacets":     {"/audit-logs/facets", "", http.StatusOK},
	"listAuditLogValues":     {"/audit-logs/values", "", http.StatusOK},
	"tailAuditLogs":          {"/audit-logs/tail", "", http.StatusOK}, // on a service that drains, where it ends at once
	"createAdminAuditLog":    {"/admin/audit-logs", `{"action":"a"}`, http.StatusCreated},
}

// adminOne is the admin entry that samples name.
const adminOne = `{"id":"a-1","action":"a"}`

// with is a sample's path with a further query.
func with(path, query string) string {
	switch {
	case query == "":
		return path
	case strings.Contains(path, "?"):
		return path + "&" + query
	}
	return path + "?" + query
}

// sampleKey is the key that withKey makes for acme.
const sampleKey = "06h0f37hp1a2b3c4"

// withKey makes the key that samples name, past the service, which would choose its id.
func withKey(t testing.TB, s *testkit.Service) {
	t.Helper()
	if _, err := testkit.Connect(t, s.Database.SuperuserURL).Exec(t.Context(), `INSERT INTO api_keys (organization, id, name, hash, permissions, created_by, expires_at)
		VALUES ('acme', $1, 'e-1', sha256(''), '{create:audit_logs}', 'ada', now() + interval '1 year')`, sampleKey); err != nil {
		t.Fatal(err)
	}
}

// sampleOf fails for an operation that has no sample yet: add one.
func sampleOf(t testing.TB, method, path string, o *openapi3.Operation) sample {
	t.Helper()
	found, known := samples[o.OperationID]
	if !known {
		t.Fatalf("%s %s (%s) has no sample in access_test.go", method, path, o.OperationID)
	}
	return found
}

// needs is the permission that the operation asks for.
func needs(o *openapi3.Operation) audit.Permission {
	text, _ := o.Extensions["x-required-permission"].(string)
	return audit.Permission(text)
}

// onTenant reports whether the operation concerns an organization's trail.
func onTenant(o *openapi3.Operation) bool {
	return needs(o) != audit.ViewAdminAuditLogs && needs(o) != audit.CreateAdminAuditLogs
}

func TestEveryOperationNeedsATrustedToken(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	s.Drain()
	token := testkit.Token(t, ada)
	forged, err := auth.NewDevelopmentToken([]byte("another secret, of somebody else's own making"), ada, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		call := sampleOf(t, method, path, o)
		for name, authorization := range map[string][]string{
			"none":                {},
			"an empty one":        {""},
			"no scheme":           {token},
			"another scheme":      {"Basic " + token},
			"the scheme alone":    {"Bearer"},
			"garbage":             {"Bearer garbage"},
			"three bad parts":     {"Bearer a.b.c"},
			"no signature":        {"Bearer " + parts[0] + "." + parts[1] + "."},
			"alg none":            {"Bearer eyJhbGciOiJub25lIn0." + parts[1] + "."},
			"another's signature": {"Bearer " + forged},
			"changed":             {"Bearer " + parts[0] + "." + parts[1] + "x." + parts[2]},
			"two headers":         {"Bearer " + token, "Bearer " + token},
			"an API key":          {"Bearer ocore_0123456789abcdef"},
		} {
			// What is wrong beside the token isn't told before it.
			for _, query := range []string{"", "nonsense=1&page=-1"} {
				r, err := http.NewRequestWithContext(t.Context(), method, s.URL+with(call.path, query), strings.NewReader("not JSON"))
				if err != nil {
					t.Fatal(err)
				}
				r.Header["Authorization"] = authorization
				a := do(t, s, r)
				p := a.problem(t, http.StatusUnauthorized)
				challenge := a.header.Get("WWW-Authenticate")
				sent := len(authorization) > 0 && authorization[0] != ""
				if !strings.HasPrefix(challenge, "Bearer ") || strings.Contains(challenge, "error=") != sent {
					t.Errorf("%s with %s: WWW-Authenticate: %s", o.OperationID, name, challenge)
				}
				if scheme := len(authorization) == 1 && strings.HasPrefix(authorization[0], "Bearer "); !scheme && len(authorization) < 2 &&
					!strings.Contains(*p.Detail, "`Authorization: Bearer <token>`") {
					t.Errorf("%s with %s: the detail doesn't say what to send: %s", o.OperationID, name, *p.Detail)
				}
				if strings.Contains(a.body, token) || strings.Contains(a.body, parts[1]) {
					t.Errorf("%s with %s: the answer repeats the token", o.OperationID, name)
				}
			}
		}
	})
	if stored := storedText(t, s); len(stored) != 0 {
		t.Errorf("stored without a token: %q", stored)
	}
}

func TestEveryOperationNeedsItsOwnPermission(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	s.Drain()
	post(t, s, ada, "/audit-logs", whole)
	post(t, s, grace, "/admin/audit-logs", adminOne)
	grants := map[audit.Permission][]audit.Permission{
		"":                         nil,
		"*":                        nil,
		"view:everything":          nil,
		audit.ViewAuditLogs:        {audit.ViewAuditLogs},
		audit.CreateAuditLogs:      {audit.CreateAuditLogs},
		audit.ManageAuditLogs:      {audit.ViewAuditLogs, audit.CreateAuditLogs, audit.ManageAuditLogs},
		audit.ViewAdminAuditLogs:   {audit.ViewAdminAuditLogs},
		audit.CreateAdminAuditLogs: {audit.CreateAdminAuditLogs},
		audit.ManageAPIKeys:        {audit.ManageAPIKeys},
	}
	withKey(t, s)
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		call := sampleOf(t, method, path, o)
		for held, allowed := range grants {
			if slices.Contains(allowed, needs(o)) {
				by := as(held)
				if o.OperationID == "createApiKey" { // which gives what the caller has
					by.Permissions = append(by.Permissions, audit.CreateAuditLogs)
				}
				if a := send(t, s, by, method, call.path, call.body); a.status != call.status {
					t.Errorf("%s with %s: %d %s", o.OperationID, held, a.status, a.body)
				}
				continue
			}
			// Nothing that was sent is looked at before the permission.
			for _, query := range []string{"", "nonsense=1"} {
				p := send(t, s, as(held), method, with(call.path, query), call.body).problem(t, http.StatusForbidden)
				if !strings.Contains(*p.Detail, string(needs(o))) {
					t.Errorf("%s with %q: the detail doesn't name the permission: %s", o.OperationID, held, *p.Detail)
				}
			}
		}
	})
}

// A gigabyte is announced and not a byte of it sent: an answer that comes all the same
// was made without the body.
func TestNobodyWithoutATokenCostsABody(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for _, path := range []string{"/audit-logs", "/audit-logs/batch", "/admin/audit-logs"} {
		for authorization, status := range map[string]int{
			"":                                http.StatusUnauthorized,
			"Authorization: Bearer x.y.z\r\n": http.StatusUnauthorized,
			"Authorization: Bearer " + testkit.Token(t, as()) + "\r\n": http.StatusForbidden,
		} {
			for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
				raw(t, s, "POST "+httpapi.BasePath+path+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
					authorization+expect+"Content-Length: 1073741824\r\n\r\n").problem(t, status)
			}
		}
	}
}
