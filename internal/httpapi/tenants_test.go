package httpapi_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/testkit"
)

// The matrix of tenants: each operation of openapi.yaml, called in each way that might reach
// another organization's trail. A new operation joins by itself, because its cells follow
// from its parameters; what it is called with stands in samples, and it fails until it does.

// eve belongs to globex alone. Subjects differ, so that an entry tells who recorded it.
var eve = func() audit.Principal {
	p := testkit.Member("globex")
	p.Subject, p.Name = "eve", "Eve"
	return p
}()

// ofAcme are texts that stand in acme's entries and in nobody else's.
var ofAcme = []string{`"e-1"`, "web-01", "Lovelace", "192.0.2.14", "12345678901234567890"}

// cell is one call of the matrix.
type cell struct {
	way     string
	by      audit.Principal
	target  string // path and query
	body    string
	headers http.Header
	want    func(t *testing.T, a answer)
	// across tells that the call names what is another tenant's, by a header, an id or a
	// cursor. Its answer must not be of class 2xx.
	across bool
}

// tenantOperation is one row of the matrix.
type tenantOperation struct {
	method, template string
	o                *openapi3.Operation
	sample
}

func (op tenantOperation) takes(in, name string) bool {
	return op.o.Parameters.GetByInAndName(in, name) != nil
}

// values are the path's values of the sample, by their places between the slashes.
func (op tenantOperation) values() map[int]string {
	found := map[int]string{}
	segments := strings.Split(op.path, "/")
	for i, name := range strings.Split(op.template, "/") {
		if strings.HasPrefix(name, "{") {
			found[i] = segments[i]
		}
	}
	return found
}

// with is the sample's path with another value at a place.
func (op tenantOperation) with(place int, value string) string {
	segments := strings.Split(op.path, "/")
	segments[place] = value
	return strings.Join(segments, "/")
}

// missing is the path of a thing that nobody has, of the same form as the sample's.
func (op tenantOperation) missing() string {
	path := op.path
	for _, value := range op.values() {
		last := value[len(value)-1]
		other := byte('a')
		if last >= '0' && last <= '9' {
			other = '0' + (last-'0'+1)%10
		} else if last == 'a' {
			other = 'b'
		}
		path = strings.Replace(path, value, value[:len(value)-1]+string(other), 1)
	}
	return path
}

// owner is who may call the operation.
func (op tenantOperation) owner() audit.Principal {
	if onTenant(op.o) {
		return ada
	}
	return grace
}

func status(want ...int) func(*testing.T, answer) {
	return func(t *testing.T, a answer) {
		t.Helper()
		if !slices.Contains(want, a.status) {
			t.Errorf("status %d, want %v: %.300s", a.status, want, a.body)
		} else if a.status >= 400 {
			a.problem(t, a.status)
		}
	}
}

// refusedOrOwn is for what may be a fault, or nothing, or something of the caller's.
func refusedOrOwn(t *testing.T, a answer) {
	t.Helper()
	if a.status >= 400 {
		status(http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound)(t, a)
	}
}

// comparable is all that is the same in two answers that tell the same: what differs from
// request to request is left out.
func (a answer) comparable() string {
	headers := maps.Clone(a.header)
	for _, perRequest := range []string{"X-Request-Id", "Date", "Ratelimit"} {
		delete(headers, perRequest)
	}
	return fmt.Sprint(a.status, headers, a.anonymous())
}

// malformed are spellings that something on the way might take for the value itself.
func malformed(value string) []string {
	return []string{
		strings.ToUpper(value) + "X", "{" + value + "}", "urn:uuid:" + value, strings.ReplaceAll(value, "-", ""), "%2e", "%2E%2E", "..", ".",
		"%2e%2e%2f" + value, value + "%2F", "%2F" + value, value + "/", "/" + value, value + "//", value + "%00", "%00", value + "%FF", value + "%20", "%20" + value,
		value + ";x=1", value + "%3F", value + "%23", "%25" + value, strings.Replace(value, "-", "%252D", 1), "*", "%25", "%27%20OR%201%3D1--", strings.Repeat(value, 600), "0", "-1",
	}
}

// cells are the operation's calls, in the order in which they are made.
func (op tenantOperation) cells(cursors []walk) []cell {
	owner, tenant := op.owner(), onTenant(op.o)
	everything := []audit.Permission{audit.ManageAuditLogs, audit.ViewAuditLogs, audit.CreateAuditLogs, audit.ViewAdminAuditLogs, audit.CreateAdminAuditLogs, audit.ManageAPIKeys}
	call := func(way string, by audit.Principal, want func(*testing.T, answer)) cell {
		return cell{way: way, by: by, target: op.path, body: op.body, want: want}
	}
	slugs := func(way string, by audit.Principal, want func(*testing.T, answer), values ...string) cell {
		c := call(way, by, want)
		c.headers = http.Header{"X-Org-Slug": values}
		return c
	}
	at := func(way string, by audit.Principal, target string, want func(*testing.T, answer)) cell {
		c := call(way, by, want)
		c.target = target
		return c
	}
	across := func(c cell) cell {
		c.across = true
		return c
	}
	var all []cell

	// None: no token, no organization, no permission.
	all = append(all, across(call("no token", audit.Principal{}, status(401))))
	unpermitted := owner
	unpermitted.Permissions = slices.DeleteFunc(slices.Clone(everything), func(p audit.Permission) bool {
		return audit.Principal{Permissions: []audit.Permission{p}}.Can(needs(op.o))
	})
	all = append(all, across(call("wrong permission", unpermitted, status(403))))
	none := testkit.Member()
	none.Permissions = everything
	if tenant {
		all = append(all, across(call("no organization", none, status(403))), across(slugs("no organization, and a header", none, status(403), "acme")))
	} else {
		all = append(all, across(call("an organization's administrator", eve, status(403))))
	}

	// The header, for those of one organization and of two.
	if tenant {
		both := testkit.Member("acme", "globex")
		all = append(all,
			slugs("its own", ada, status(op.status), "acme"), slugs("empty", ada, status(op.status), ""), slugs("one of two", both, status(op.status), "acme"),
			call("none of two", both, status(403)), slugs("empty of two", both, status(403), ""),
			slugs("its own twice", ada, status(400), "acme", "acme"), slugs("two", ada, status(400), "acme", "globex"), slugs("its own and an empty one", ada, status(400), "acme", ""),
			across(slugs("two, another's", eve, status(400), "globex", "acme")),
		)
		for _, slug := range []string{"globex", "unheard", "Acme", "ACME", "acme,globex", "acme;globex", "a b", "%61cme", "acme%00", "acme/../globex", audit.AdminOrganization, "*", "..", strings.Repeat("x", 65), "é"} {
			all = append(all, across(slugs("header "+slug, ada, status(403), slug)))
		}
		all = append(all, across(slugs("another's", eve, status(403), "acme")), across(slugs("another's of two", both, status(403), "initech")))
	} else {
		for _, slug := range []string{"", "acme", "unheard", audit.AdminOrganization} {
			all = append(all, slugs("header "+slug+", which the platform's trail doesn't look at", owner, status(op.status), slug))
		}
	}

	// What a query or a body says of organizations counts for nothing.
	for _, name := range []string{"organization", "organization_id", "organizationId", "org", "org_id", "X-Org-Slug", "tenant"} {
		all = append(all, across(at("query "+name, eve, with(op.path, name+"=acme"), status(400, 403))))
		if op.body != "" && tenant {
			c := call("body "+name, eve, status(400))
			c.body = strings.Replace(op.body, `{"`, `{"`+name+`":"acme","`, 1)
			all = append(all, across(c))
		}
	}

	// Spellings of ids, by those who have the thing and by those who don't.
	for place, value := range op.values() {
		for _, spelling := range malformed(value) {
			all = append(all, at("its own as "+spelling, owner, op.with(place, spelling), refusedOrOwn))
			if tenant {
				all = append(all, at("another's as "+spelling, eve, op.with(place, spelling), refusedOrOwn))
			}
		}
	}

	// Cursors: another's, and what can be made of them.
	if op.takes("query", "cursor") {
		for _, c := range cursors {
			if c.organization != "acme" && tenant || c.organization != audit.AdminOrganization && !tenant {
				all = append(all, across(at("the cursor of "+c.name, owner, op.path+"?cursor="+c.text, status(400))))
			}
			if tenant && c.organization != "globex" {
				all = append(all, across(at("the cursor of "+c.name+" elsewhere", eve, op.path+"?cursor="+c.text, status(400))))
				forged, _ := rewritten(c.text, c.organization, "globex")
				all = append(all, at("the cursor of "+c.name+" forged", eve, op.path+"?cursor="+forged, refusedOrOwn))
			}
		}
	}
	return all
}

// walk is a cursor of somebody's.
type walk struct{ name, organization, text string }

func (op tenantOperation) call(t *testing.T, s *testkit.Service, c cell) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), op.method, s.URL+c.target, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	if c.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.by.Subject != "" {
		r.Header.Set("Authorization", "Bearer "+testkit.Token(t, c.by))
	}
	maps.Copy(r.Header, c.headers)
	return do(t, s, r)
}

func TestNoTenantReachesAnother(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	s.Drain()
	for _, entry := range []string{whole, strings.Replace(whole, "e-1", "e-3", 1)} {
		read[any](t, post(t, s, ada, "/audit-logs", entry), http.StatusCreated)
	}
	for range 2 {
		read[any](t, post(t, s, eve, "/audit-logs", least), http.StatusCreated)
		read[any](t, post(t, s, grace, "/admin/audit-logs", `{"action":"a","details":{"secret":"swordfish"}}`), http.StatusCreated)
	}
	post(t, s, grace, "/admin/audit-logs", adminOne)
	withKey(t, s)
	cursors := []walk{
		{"acme", "acme", list(t, s, ada, "/audit-logs?per_page=1").NextCursor},
		{"acme's resource", "acme", list(t, s, ada, "/audit-logs/resource/server/web-01?per_page=1").NextCursor},
		{"globex", "globex", list(t, s, eve, "/audit-logs?per_page=1").NextCursor},
		{"the admin trail", audit.AdminOrganization, list(t, s, grace, "/admin/audit-logs?limit=1").NextCursor},
		{"the admin trail's search", audit.AdminOrganization, list(t, s, grace, "/admin/audit-logs?limit=1&search=swordfish").NextCursor},
	}
	operations, calls, crossing, answered := 0, 0, 0, 0
	eachOperation(t, func(method, template string, o *openapi3.Operation) {
		op := tenantOperation{method, template, o, sampleOf(t, method, template, o)}
		operations++
		for _, c := range op.cells(cursors) {
			a := op.call(t, s, c)
			calls++
			t.Run(o.OperationID+"/"+c.way, func(t *testing.T) { c.want(t, a) })
			if c.across {
				crossing++
			}
			if a.status >= 500 || c.across && a.status < 300 {
				answered++
				t.Errorf("%s, %s: %d %.300s", o.OperationID, c.way, a.status, a.body)
			}
			c.leaksNothing(t, o.OperationID, a)
		}
		if onTenant(o) {
			op.blind(t, s)
		} else if a := op.call(t, s, cell{by: op.owner(), target: op.path, body: op.body}); a.status != op.status {
			t.Errorf("%s: %d %.300s", o.OperationID, a.status, a.body)
		}
	})
	t.Logf("%d operations, %d calls, %d of them across tenants: %d answers of class 2xx or 5xx", operations, calls, crossing, answered)
	if operations < 8 || crossing < 200 {
		t.Errorf("the matrix has shrunk")
	}
	everythingIsWhereItBelongs(t, s)
}

// leaksNothing holds what somebody of globex, or nobody, is told.
func (c cell) leaksNothing(t *testing.T, id string, a answer) {
	t.Helper()
	if slices.Contains(c.by.Organizations, "acme") || slices.Contains(c.by.Permissions, audit.ViewAdminAuditLogs) {
		return
	}
	for _, text := range append([]string{"swordfish"}, ofAcme...) {
		if sent, _ := url.QueryUnescape(c.target); strings.Contains(a.body, text) && !strings.Contains(sent+c.target, text) {
			t.Errorf("%s, %s: tells %q: %.300s", id, c.way, text, a.body)
		}
	}
}

// shownInstead is what acme gets of operations that show no id.
var shownInstead = map[string]string{
	"getAuditLogHistogram": `"count":1`, "listAuditLogFacets": `"server.updated","count":2`, "listAuditLogValues": `"server.updated"`,
	"tailAuditLogs": "event: at", // its entries are in tail_test.go
}

// blind holds that what is acme's answers somebody else, whatever header they send, in the
// same bytes as what nobody has; and that it is there for acme.
func (op tenantOperation) blind(t *testing.T, s *testkit.Service) {
	t.Helper()
	both := testkit.Member("acme", "globex")
	if op.method == http.MethodGet || op.method == http.MethodDelete {
		for name, c := range map[string]cell{
			"eve":                  {by: eve},
			"eve's own header":     {by: eve, headers: http.Header{"X-Org-Slug": {"globex"}}},
			"the other of the two": {by: both, headers: http.Header{"X-Org-Slug": {"globex"}}},
		} {
			c.target = op.path
			theirs := op.call(t, s, c)
			c.target = op.missing()
			nobodys := op.call(t, s, c)
			if theirs.comparable() != nobodys.comparable() {
				t.Errorf("%s, %s:\n%s\nwhat nobody has:\n%s", op.o.OperationID, name, theirs.comparable(), nobodys.comparable())
			}
			for _, text := range ofAcme {
				if strings.Contains(theirs.body, text) {
					t.Errorf("%s, %s: tells %q: %s", op.o.OperationID, name, text, theirs.body)
				}
			}
			if len(op.values()) > 0 && !strings.Contains(op.template, "/resource/") && theirs.status != http.StatusNotFound {
				t.Errorf("%s, %s: %d", op.o.OperationID, name, theirs.status)
			}
		}
	}
	a := op.call(t, s, cell{by: op.owner(), target: op.path, body: op.body})
	shown := `"e-1"`
	if other := shownInstead[op.o.OperationID]; other != "" {
		shown = other
	}
	if a.status != op.status || op.method == http.MethodGet && !strings.Contains(a.body, shown) && !strings.Contains(a.body, "trails/acme") {
		t.Errorf("%s shows acme: %d %.300s", op.o.OperationID, a.status, a.body)
	}
	wrong := op.call(t, s, cell{by: ada, target: op.path, body: op.body, headers: http.Header{"X-Org-Slug": {"globex"}}})
	unknown := op.call(t, s, cell{by: ada, target: op.path, body: op.body, headers: http.Header{"X-Org-Slug": {"unheard"}}})
	if wrong.comparable() != unknown.comparable() {
		t.Errorf("%s: the header tells which organizations there are:\n%s\n%s", op.o.OperationID, wrong.comparable(), unknown.comparable())
	}
}

// everythingIsWhereItBelongs reads both trails whole, and what the admin trail says of them.
func everythingIsWhereItBelongs(t *testing.T, s *testkit.Service) {
	t.Helper()
	for _, by := range []audit.Principal{ada, eve} {
		p := list(t, s, by, "/audit-logs?per_page=1000")
		if p.Total < 2 || p.Total != int64(len(p.Items)) {
			t.Errorf("%s: %d of %d", by.Organizations, len(p.Items), p.Total)
		}
		for _, item := range p.Items {
			if text := string(item); !strings.Contains(text, `"recordedBy":"`+by.Subject+`"`) {
				t.Errorf("in the trail of %s: %s", by.Organizations, text)
			}
		}
	}
	a := get(t, s, grace, "/admin/audit-logs?limit=100&action=audit_log.exported")
	for _, log := range read[page](t, a, http.StatusOK).Logs {
		text := string(log)
		if strings.Contains(text, `"userId":"eve"`) && !strings.Contains(text, `"organizationId":"globex"`) {
			t.Errorf("an export across tenants: %s", text)
		}
	}
}
