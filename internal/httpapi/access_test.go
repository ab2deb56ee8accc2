package httpapi_test

import (
	"fmt"
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

// sample is a call that an operation answers with success, once whole is stored.
type sample struct {
	path, body string
	status     int
}

var samples = map[string]sample{
	"listAuditLogs":         {"/audit-logs", "", http.StatusOK},
	"createAuditLog":        {"/audit-logs", least, http.StatusCreated},
	"createAuditLogBatch":   {"/audit-logs/batch", `{"items":[` + least + `]}`, http.StatusCreated},
	"exportAuditLogs":       {"/audit-logs/export", "", http.StatusOK},
	"getAuditLog":           {"/audit-logs/entries/e-1", "", http.StatusOK},
	"listResourceAuditLogs": {"/audit-logs/resource/server/web-01", "", http.StatusOK},
	"listAdminAuditLogs":    {"/admin/audit-logs", "", http.StatusOK},
	"createAdminAuditLog":   {"/admin/audit-logs", `{"action":"a"}`, http.StatusCreated},
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
			for _, query := range []string{"", "?nonsense=1&page=-1"} {
				r, err := http.NewRequestWithContext(t.Context(), method, s.URL+call.path+query, strings.NewReader("not JSON"))
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
	post(t, s, ada, "/audit-logs", whole)
	grants := map[audit.Permission][]audit.Permission{
		"":                         nil,
		"*":                        nil,
		"view:everything":          nil,
		audit.ViewAuditLogs:        {audit.ViewAuditLogs},
		audit.CreateAuditLogs:      {audit.CreateAuditLogs},
		audit.ManageAuditLogs:      {audit.ViewAuditLogs, audit.CreateAuditLogs, audit.ManageAuditLogs},
		audit.ViewAdminAuditLogs:   {audit.ViewAdminAuditLogs},
		audit.CreateAdminAuditLogs: {audit.CreateAdminAuditLogs},
	}
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		call := sampleOf(t, method, path, o)
		for held, allowed := range grants {
			if slices.Contains(allowed, needs(o)) {
				if a := send(t, s, as(held), method, call.path, call.body); a.status != call.status {
					t.Errorf("%s with %s: %d %s", o.OperationID, held, a.status, a.body)
				}
				continue
			}
			// Nothing that was sent is looked at before the permission.
			for _, query := range []string{"", "?nonsense=1"} {
				p := send(t, s, as(held), method, call.path+query, call.body).problem(t, http.StatusForbidden)
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

func TestAnotherOrganizationsEntriesAreAsIfTheyWereNot(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	post(t, s, ada, "/audit-logs", whole)
	eve := testkit.Member("other")
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		if method != http.MethodGet || !onTenant(o) {
			return
		}
		call := sampleOf(t, method, path, o)
		if mine := get(t, s, ada, call.path); !strings.Contains(mine.body, `"e-1"`) {
			t.Errorf("%s: the sample shows nothing: %s", o.OperationID, mine.body)
		}
		a := get(t, s, eve, call.path)
		if a.status == http.StatusOK {
			if p := read[page](t, a, http.StatusOK); p.Total != 0 || p.Items == nil || len(p.Items) != 0 {
				t.Errorf("%s: %s", o.OperationID, a.body)
			}
			return
		}
		a.problem(t, http.StatusNotFound)
		missing := get(t, s, eve, strings.Replace(call.path, "e-1", "e-2", 1))
		if a.anonymous() != missing.anonymous() {
			t.Errorf("%s: %s\na missing one: %s", o.OperationID, a.body, missing.body)
		}
		for _, header := range []http.Header{a.header, missing.header} {
			header.Del("X-Request-Id")
			header.Del("Date")
		}
		if fmt.Sprint(a.header) != fmt.Sprint(missing.header) {
			t.Errorf("%s: %v\na missing one: %v", o.OperationID, a.header, missing.header)
		}
	})
	for _, format := range []string{"json", "csv"} {
		if a := get(t, s, eve, "/audit-logs/export?format="+format); strings.Contains(a.body, "e-1") || a.header.Get("X-Total-Count") != "0" {
			t.Errorf("%s: %s", format, a.body)
		}
	}
}

func TestXOrgSlugChoosesAmongTheTokensOrganizations(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	post(t, s, ada, "/audit-logs", whole)
	both, none := testkit.Member("acme", "other"), testkit.Member()
	both.Permissions = append(both.Permissions, grace.Permissions...)
	post(t, s, both, "/admin/audit-logs", `{"action":"a"}`)
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		call := sampleOf(t, method, path, o)
		if !onTenant(o) {
			for _, slug := range []string{"", "acme", "unheard"} {
				if a := send(t, s, both, method, call.path, call.body, "X-Org-Slug", slug); a.status != call.status {
					t.Errorf("%s with %q: %d %s", o.OperationID, slug, a.status, a.body)
				}
			}
			return
		}
		for _, c := range []struct {
			by     audit.Principal
			slug   string
			status int
		}{
			{ada, "", call.status},
			{ada, "acme", call.status},
			{ada, "other", http.StatusForbidden},
			{ada, "Acme", http.StatusForbidden},
			{ada, audit.AdminOrganization, http.StatusForbidden},
			{ada, "a b", http.StatusForbidden},
			{both, "", http.StatusForbidden},
			{both, "acme", call.status},
			{both, "unheard", http.StatusForbidden},
			{both, audit.AdminOrganization, http.StatusForbidden},
			{none, "", http.StatusForbidden},
			{none, "acme", http.StatusForbidden},
		} {
			a := send(t, s, c.by, method, call.path, call.body, "X-Org-Slug", c.slug)
			if a.status != c.status {
				t.Errorf("%s with %q of %v: %d %s", o.OperationID, c.slug, c.by.Organizations, a.status, a.body)
			} else if c.status == http.StatusForbidden {
				a.problem(t, http.StatusForbidden)
			}
		}
		wrong := send(t, s, ada, method, call.path, call.body, "X-Org-Slug", "other") // there, but not ada's
		unknown := send(t, s, ada, method, call.path, call.body, "X-Org-Slug", "unheard")
		if wrong.anonymous() != unknown.anonymous() {
			t.Errorf("%s: %s\nan unknown one: %s", o.OperationID, wrong.body, unknown.body)
		}
		twice, err := http.NewRequestWithContext(t.Context(), method, s.URL+call.path, strings.NewReader(call.body))
		if err != nil {
			t.Fatal(err)
		}
		twice.Header = http.Header{"Authorization": {"Bearer " + testkit.Token(t, ada)}, "Content-Type": {"application/json"}, "X-Org-Slug": {"acme", "acme"}}
		if p := do(t, s, twice).problem(t, http.StatusBadRequest); p.Parameter == nil || *p.Parameter != "X-Org-Slug" {
			t.Errorf("%s with two: %+v", o.OperationID, p)
		}
	})
	if total := read[page](t, send(t, s, both, http.MethodGet, "/audit-logs", "", "X-Org-Slug", "other"), http.StatusOK).Total; total != 0 {
		t.Errorf("the other organization shows %d entries", total)
	}
}
