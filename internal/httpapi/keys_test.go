package httpapi_test

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"ocore.dev/audit/gen/client"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
	"ocore.dev/audit/internal/testkit"
)

// sendKey calls with an API key.
func sendKey(t testing.TB, s *testkit.Service, key, method, path, body string, headers ...string) answer {
	t.Helper()
	return send(t, s, audit.Principal{}, method, path, body, append([]string{"Authorization", "Bearer " + key}, headers...)...)
}

// makeKey makes a key with the permissions, as somebody of the organization who holds all.
func makeKey(t testing.TB, s *testkit.Service, organization, expires string, permissions ...string) client.MadeAPIKey {
	t.Helper()
	body := `{"name":"shop","permissions":["` + strings.Join(permissions, `","`) + `"]` + expires + `}`
	return read[client.MadeAPIKey](t, post(t, s, testkit.Member(organization), "/api-keys", body), http.StatusCreated)
}

func TestAKeyDoesWhatItWasMadeFor(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	s.Drain()
	post(t, s, ada, "/audit-logs", whole)
	withKey(t, s)
	permissions := []string{"create:audit_logs", "view:audit_logs"}
	keys := map[string]client.MadeAPIKey{
		"create": makeKey(t, s, "acme", "", permissions[0]), "view": makeKey(t, s, "acme", "", permissions[1]), "both": makeKey(t, s, "acme", "", permissions...),
	}
	calls := 0
	eachOperation(t, func(method, path string, o *openapi3.Operation) {
		call := sampleOf(t, method, path, o)
		for name, key := range keys {
			want := http.StatusForbidden
			if slices.Contains(key.Permissions, string(needs(o))) {
				want = call.status
			}
			a := sendKey(t, s, key.Key, method, call.path, call.body)
			if calls++; a.status != want {
				t.Errorf("%s with a key to %s: %d, want %d: %s", o.OperationID, name, a.status, want, a.body)
			}
			// The organization is the key's: the header can only name it.
			if onTenant(o) && want != http.StatusForbidden {
				if a := sendKey(t, s, key.Key, method, call.path, call.body, "X-Org-Slug", "acme"); a.status != want {
					t.Errorf("%s with its own X-Org-Slug: %d", o.OperationID, a.status)
				}
				sendKey(t, s, key.Key, method, call.path, call.body, "X-Org-Slug", "globex").problem(t, http.StatusForbidden)
			}
		}
	})
	if calls < 33 {
		t.Errorf("only %d calls", calls)
	}
	recorded := sendKey(t, s, keys["create"].Key, http.MethodPost, "/audit-logs", least)
	if !strings.Contains(recorded.body, `"recordedBy":"api-key:`+keys["create"].ID+`"`) {
		t.Errorf("recorded by %s", recorded.body)
	}
}

func TestASecretIsShownOnce(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	verifier, err := auth.NewVerifier([]auth.Issuer{{Issuer: "testkit", Algorithms: []string{"HS256"}, Secret: []byte("a secret of the tests, long enough for HS256")}}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var log lines
	s := testkit.ServeTrusting(t, d, verifier, slog.New(slog.NewJSONHandler(&log, nil)))
	made := makeKey(t, s, "acme", "", "create:audit_logs", "view:audit_logs")
	secret := made.Key[strings.LastIndexByte(made.Key, '_')+1:]
	sendKey(t, s, made.Key, http.MethodPost, "/audit-logs", least)
	answers := []answer{
		sendKey(t, s, made.Key, http.MethodGet, "/audit-logs", ""), get(t, s, ada, "/api-keys"), get(t, s, grace, "/admin/audit-logs"),
		sendKey(t, s, made.Key+"x", http.MethodGet, "/audit-logs", ""), send(t, s, ada, http.MethodDelete, "/api-keys/"+made.ID, ""), get(t, s, ada, "/api-keys"),
	}
	for _, a := range answers {
		if strings.Contains(a.body, secret) {
			t.Errorf("shown again: %s", a.body)
		}
	}
	if listed := read[client.APIKeyList](t, answers[1], http.StatusOK).Items; len(listed) != 1 || listed[0].ID != made.ID || listed[0].LastUsedAt == nil || listed[0].RevokedAt != nil {
		t.Errorf("%s", answers[1].body)
	}
	if listed := read[client.APIKeyList](t, answers[5], http.StatusOK).Items; len(listed) != 1 || listed[0].RevokedAt == nil || *listed[0].RevokedBy != "ada" {
		t.Errorf("%s", answers[5].body)
	}
	if theirs := read[client.APIKeyList](t, get(t, s, testkit.Member("globex"), "/api-keys"), http.StatusOK); len(theirs.Items) != 0 || theirs.Items == nil {
		t.Errorf("another organization sees %v", theirs.Items)
	}
	for _, action := range []string{"audit_log.key_created", "audit_log.key_revoked"} {
		if a := get(t, s, grace, "/admin/audit-logs?action="+action); list(t, s, grace, "/admin/audit-logs?action="+action).Total != 1 || strings.Contains(a.body, secret) {
			t.Errorf("%s: %s", action, a.body)
		}
	}
	if strings.Contains(log.String(), secret) || !strings.Contains(log.String(), "this is not the form of an API key") {
		t.Errorf("logged %s", log.String())
	}
}

// Whatever is wrong with what was sent, token or key, the answer is the same bytes.
func TestBadKeysAndBadTokensAreAnsweredAlike(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	key := makeKey(t, s, "acme", "", "view:audit_logs")
	revoked, expired := makeKey(t, s, "acme", "", "view:audit_logs"), makeKey(t, s, "acme", "", "view:audit_logs")
	read[any](t, send(t, s, ada, http.MethodDelete, "/api-keys/"+revoked.ID, ""), http.StatusOK)
	if _, err := testkit.Connect(t, s.Database.SuperuserURL).Exec(t.Context(), "UPDATE api_keys SET expires_at = now() WHERE id = $1", expired.ID); err != nil {
		t.Fatal(err)
	}
	want := sendKey(t, s, "not.a.token", http.MethodGet, "/audit-logs", "")
	want.problem(t, http.StatusUnauthorized)
	for name, text := range map[string]string{
		"revoked": revoked.Key, "expired": expired.Key, "wrong secret": key.Key[:len(key.Key)-52] + revoked.Key[len(revoked.Key)-52:],
		"other organization": strings.Replace(key.Key, "_acme_", "_globex_", 1), "unknown": strings.Replace(key.Key, key.ID, "0000000000000000", 1),
		"no form": "ocore_0123456789", "expired token": testkit.ExpiredToken(t, ada),
	} {
		a := sendKey(t, s, text, http.MethodGet, "/audit-logs", "")
		if a.comparable() != want.comparable() {
			t.Errorf("%s:\n%s\n%s", name, a.comparable(), want.comparable())
		}
	}
	if a := sendKey(t, s, key.Key, http.MethodGet, "/audit-logs", ""); a.status != http.StatusOK {
		t.Errorf("the good one: %d", a.status)
	}
	// The operators learn more: each reason is counted, and a revoked key's use recorded, once.
	for range 4 {
		sendKey(t, s, revoked.Key, http.MethodGet, "/audit-logs", "")
	}
	scraped := scrape(t, s)
	for reason, uses := range map[string]float64{"api_key_revoked": 5, "api_key_expired": 1, "api_key_secret": 1, "api_key_unknown": 2} {
		if got := metric(t, scraped, `ocore_audit_authentication_failures_total{reason="`+reason+`"}`); got != uses {
			t.Errorf("%s was counted %v times, not %v", reason, got, uses)
		}
	}
	// Two, if the hour ended meanwhile.
	if used := list(t, s, grace, "/admin/audit-logs?action=audit_log.revoked_key_used"); used.Total < 1 || used.Total > 2 {
		t.Errorf("the revoked key's uses are recorded %d times", used.Total)
	}
	// Revoking is the same for what isn't there and what is another's.
	eve := testkit.Member("globex")
	theirs, nobodys := send(t, s, eve, http.MethodDelete, "/api-keys/"+key.ID, ""), send(t, s, eve, http.MethodDelete, "/api-keys/0000000000000000", "")
	theirs.problem(t, http.StatusNotFound)
	if theirs.comparable() != nobodys.comparable() {
		t.Errorf("%s\n%s", theirs.comparable(), nobodys.comparable())
	}
}

func TestAKeyIsNoWayToMore(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for _, c := range []struct {
		held   []audit.Permission
		asked  string
		status int
	}{
		{[]audit.Permission{audit.ManageAPIKeys}, `"view:audit_logs"`, 403},
		{[]audit.Permission{audit.ManageAPIKeys, audit.CreateAuditLogs}, `"create:audit_logs"`, 201},
		{[]audit.Permission{audit.ManageAPIKeys, audit.CreateAuditLogs}, `"create:audit_logs","view:audit_logs"`, 403},
		{[]audit.Permission{audit.ManageAPIKeys, audit.ManageAuditLogs}, `"create:audit_logs","view:audit_logs"`, 201},
		{[]audit.Permission{audit.ManageAPIKeys, audit.ManageAuditLogs}, `"manage:audit_logs"`, 400},
		{[]audit.Permission{audit.ManageAPIKeys, audit.ManageAuditLogs}, `"manage:api_keys"`, 400},
		{[]audit.Permission{audit.ManageAPIKeys, audit.CreateAdminAuditLogs}, `"create:admin_audit_logs"`, 400},
		{[]audit.Permission{audit.ManageAuditLogs, audit.CreateAuditLogs}, `"create:audit_logs"`, 403}, // not even who manages the trail
	} {
		a := post(t, s, as(c.held...), "/api-keys", `{"name":"n","permissions":[`+c.asked+`]}`)
		if a.status != c.status {
			t.Errorf("%v asks for %s: %d %s", c.held, c.asked, a.status, a.body)
		}
	}
	for name, body := range map[string]string{
		"no name": `{"permissions":["create:audit_logs"]}`, "unknown member": `{"name":"n","permissions":["create:audit_logs"],"organization":"globex"}`,
		"twice": `{"name":"n","permissions":["create:audit_logs","create:audit_logs"]}`, "none": `{"name":"n","permissions":[]}`,
	} {
		if a := post(t, s, ada, "/api-keys", body); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	for _, expires := range []string{`"2026-13-01T00:00:00Z"`, `"2001-01-01T00:00:00Z"`, `"9999-01-01T00:00:00Z"`} {
		a := post(t, s, ada, "/api-keys", `{"name":"n","permissions":["create:audit_logs"],"expiresAt":`+expires+`}`)
		if got := pointers(a.problem(t, http.StatusUnprocessableEntity)); !slices.Equal(got, []string{"/expiresAt"}) {
			t.Errorf("%s: %v", expires, got)
		}
	}
}
