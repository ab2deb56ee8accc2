package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

// entrance is a door of one instance over a database, with a clock of its own.
type entrance struct {
	*auth.Door
	keys   *audit.Keys
	trails *audit.Service
	log    journal
}

var keyMaker = audit.Principal{Subject: "ada", Permissions: []audit.Permission{audit.ManageAuditLogs}}

func newEntrance(t *testing.T, d testkit.Database, clock *atomic.Int64) *entrance {
	t.Helper()
	store := testkit.NewStore(t, d)
	return entranceTo(t, store, clock)
}

func entranceTo(t *testing.T, store *postgres.Store, clock *atomic.Int64) *entrance {
	t.Helper()
	e := &entrance{trails: audit.NewService(store)}
	e.keys = audit.NewKeys(store, e.trails)
	now := func() time.Time { return at.Add(time.Duration(clock.Load()) * time.Second) }
	e.Door = auth.NewDoor(verifier(t, secretIssuer()), e.keys, now, slog.New(slog.NewTextHandler(&e.log, nil)))
	return e
}

func (e *entrance) make(t *testing.T, organization string, life time.Duration, permissions ...audit.Permission) (audit.APIKey, string) {
	t.Helper()
	key, text, err := e.keys.Make(t.Context(), organization, keyMaker,
		audit.KeyDraft{Name: "shop", Permissions: permissions, ExpiresAt: audit.FormatTime(at.Add(life))}, at)
	if err != nil {
		t.Fatal(err)
	}
	return key, text
}

func (e *entrance) enter(t *testing.T, text string) (audit.Principal, error) {
	t.Helper()
	return e.Authenticate(t.Context(), []string{"Bearer " + text})
}

func (e *entrance) accepts(t *testing.T, text string) audit.Principal {
	t.Helper()
	p, err := e.enter(t, text)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return p
}

// refuses wants the refusal that bad tokens get, for the reason given, which the log alone has.
func (e *entrance) refuses(t *testing.T, text, reason string) {
	t.Helper()
	p, err := e.enter(t, text)
	checkRefusal(t, p, err)
	rejection, ok := errors.AsType[*audit.Rejection](err)
	if !ok || rejection.Detail != generic || !strings.Contains(err.Error(), reason) {
		t.Errorf("err = %v, want %q", err, reason)
	}
}

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	e := newEntrance(t, testkit.NewDatabase(t), &clock)
	key, text := e.make(t, "acme", 2*time.Hour, audit.CreateAuditLogs)
	p := e.accepts(t, text)
	if p.Subject != "api-key:"+key.ID || p.Name != "shop" || fmt.Sprint(p.Organizations, p.Permissions) != "[acme] [create:audit_logs]" {
		t.Errorf("%+v", p)
	}
	if p, err := e.enter(t, signed(nil)); err != nil || p.Subject != "user-1" {
		t.Errorf("a token beside keys: %+v, %v", p, err)
	}
	_, theirs := e.make(t, "globex", time.Hour, audit.CreateAuditLogs)
	secretOf := func(text string) string { return text[strings.LastIndexByte(text, '_')+1:] }
	prefix := strings.TrimSuffix(text, secretOf(text))
	last := text[len(text)-1:]
	other := map[string]string{"0": "g"}[last]
	if other == "" {
		other = "0"
	}
	for name, c := range map[string]struct{ text, reason string }{
		"another's secret":     {prefix + secretOf(theirs), "another secret"},
		"last letter":          {text[:len(text)-1] + other, "another secret"},
		"another organization": {strings.Replace(text, "_acme_", "_globex_", 1), "no such"},
		"unheard organization": {strings.Replace(text, "_acme_", "_unheard_", 1), "no such"},
		"the admin trail":      {strings.Replace(text, "_acme_", "__admin_", 1), "form"},
		"unknown id":           {strings.Replace(text, key.ID, "0000000000000000", 1), "no such"},
		"no secret":            {prefix, "form"},
		"secret alone":         {"ocore_" + secretOf(text), "form"},
		"old form":             {"ocore_0123456789abcdef", "form"},
		"longer":               {text + "0", "form"},
		"shorter":              {text[:len(text)-1], "form"},
		"in capitals":          {prefix + strings.ToUpper(secretOf(text)), "form"},
		"NUL":                  {text + "\x00", "form"},
		"line feed":            {text + "\n", "form"},
		"1 MB":                 {text + strings.Repeat("0", 1<<20), "form"},
		"other prefix":         {"Ocore" + strings.TrimPrefix(text, "ocore"), "three parts"},
		"two at once":          {text + " " + text, "form"},
		"a token behind":       {text + "." + signed(nil), "form"},
	} {
		t.Run(name, func(t *testing.T) { e.refuses(t, c.text, c.reason) })
	}
	if logged := e.log.String(); strings.Contains(logged, secretOf(text)) {
		t.Errorf("the log has a secret: %s", logged)
	}

	clock.Store(2*3600 - 1) // whatever is remembered, the end is the end
	e.accepts(t, text)
	clock.Store(2 * 3600)
	e.refuses(t, text, "expired")
}

// Revoking works at once where a key isn't remembered, and within a minute elsewhere; its use
// is recorded once an hour, however many instances see it.
func TestRevokedAPIKeys(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	var clock atomic.Int64
	here, there := newEntrance(t, d, &clock), newEntrance(t, d, &clock)
	key, text := here.make(t, "acme", 48*time.Hour, audit.ViewAuditLogs)
	here.accepts(t, text)
	clock.Store(1)
	for range 2 { // again changes nothing
		if revoked, err := here.keys.Revoke(t.Context(), "acme", key.ID, keyMaker); err != nil || revoked.RevokedAt.IsZero() || revoked.RevokedBy != "ada" {
			t.Fatalf("%+v, %v", revoked, err)
		}
	}
	if _, err := here.keys.Revoke(t.Context(), "globex", key.ID, keyMaker); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("another organization's: %v", err)
	}
	there.refuses(t, text, "revoked")
	clock.Store(59)
	here.accepts(t, text) // remembered, and promised for a minute at most
	clock.Store(60)
	here.refuses(t, text, "revoked")
	for range 5 {
		here.refuses(t, text, "revoked")
		there.refuses(t, text, "revoked")
	}
	clock.Store(3600)
	here.refuses(t, text, "revoked")
	want := map[string]int{"audit_log.key_created": 1, "audit_log.key_revoked": 1, "audit_log.revoked_key_used": 2}
	for action, n := range want {
		var rows []audit.Row
		list, err := here.trails.List(t.Context(), audit.AdminOrganization, audit.Filter{Action: action}, audit.PageRequest{}, func(row audit.Row) {
			rows = append(rows, row.Own())
		})
		if err != nil || int(list.Total) != n {
			t.Errorf("%s: %d, %v, want %d", action, list.Total, err, n)
		}
		for _, row := range rows {
			if !bytes.Contains(row.Text, []byte(key.ID)) || !bytes.Contains(row.Text, []byte(`"organizationId":"acme"`)) || bytes.Contains(row.Text, []byte(text)) {
				t.Errorf("%s", row.Text)
			}
		}
	}
}

// What is made of secrets is in memory alone.
func TestAPIKeysAreStoredAsHashes(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	var clock atomic.Int64
	e := newEntrance(t, d, &clock)
	_, text := e.make(t, "acme", time.Hour, audit.CreateAuditLogs, audit.ViewAuditLogs)
	e.accepts(t, text)
	secret := text[strings.LastIndexByte(text, '_')+1:]
	conn := testkit.Connect(t, d.SuperuserURL)
	for _, table := range []string{"api_keys", "entries", "admin_search", "entry_ids"} {
		var found int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table+" AS r WHERE r::text LIKE '%' || $1 || '%'", secret).Scan(&found); err != nil || found > 0 {
			t.Errorf("%s has the secret, %v", table, err)
		}
	}
	keys, err := e.keys.APIKeys(t.Context(), "acme")
	if err != nil || len(keys) != 1 || keys[0].LastUsedAt.IsZero() {
		t.Errorf("%+v, %v", keys, err)
	}
	if others, err := e.keys.APIKeys(t.Context(), "globex"); err != nil || len(others) != 0 {
		t.Errorf("%+v, %v", others, err)
	}
}

func TestAPIKeyDrafts(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	e := newEntrance(t, testkit.NewDatabase(t), &clock)
	create := []audit.Permission{audit.CreateAuditLogs}
	for name, c := range map[string]struct {
		by    audit.Principal
		draft audit.KeyDraft
		want  error
	}{
		"no name":               {keyMaker, audit.KeyDraft{Permissions: create}, audit.ErrMalformed},
		"long name":             {keyMaker, audit.KeyDraft{Name: strings.Repeat("n", 101), Permissions: create}, audit.ErrUnprocessable},
		"no permission":         {keyMaker, audit.KeyDraft{Name: "n"}, audit.ErrMalformed},
		"manage":                {keyMaker, audit.KeyDraft{Name: "n", Permissions: []audit.Permission{audit.ManageAuditLogs}}, audit.ErrMalformed},
		"keys":                  {keyMaker, audit.KeyDraft{Name: "n", Permissions: []audit.Permission{audit.ManageAPIKeys}}, audit.ErrMalformed},
		"the admin trail":       {keyMaker, audit.KeyDraft{Name: "n", Permissions: []audit.Permission{audit.CreateAdminAuditLogs}}, audit.ErrMalformed},
		"twice":                 {keyMaker, audit.KeyDraft{Name: "n", Permissions: []audit.Permission{audit.CreateAuditLogs, audit.CreateAuditLogs}}, audit.ErrMalformed},
		"no date":               {keyMaker, audit.KeyDraft{Name: "n", Permissions: create, ExpiresAt: "tomorrow"}, audit.ErrUnprocessable},
		"now":                   {keyMaker, audit.KeyDraft{Name: "n", Permissions: create, ExpiresAt: audit.FormatTime(at)}, audit.ErrUnprocessable},
		"too far away":          {keyMaker, audit.KeyDraft{Name: "n", Permissions: create, ExpiresAt: audit.FormatTime(at.AddDate(3, 0, 0))}, audit.ErrUnprocessable},
		"more than the maker's": {audit.Principal{Subject: "eve", Permissions: []audit.Permission{audit.ManageAPIKeys, audit.ViewAuditLogs}}, audit.KeyDraft{Name: "n", Permissions: create}, audit.ErrForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, text, err := e.keys.Make(t.Context(), "acme", c.by, c.draft, at); !errors.Is(err, c.want) || text != "" {
				t.Errorf("%q, %v, want %v", text, err, c.want)
			}
		})
	}
}

func TestAnOrganizationHasAHundredGoodKeys(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	d := testkit.NewDatabase(t)
	e := newEntrance(t, d, &clock)
	fill := `INSERT INTO api_keys (organization, id, name, hash, permissions, created_by, expires_at) SELECT 'acme', n, '', sha256(''), '{}', '', now() + interval '1 day' FROM generate_series(1, 100) n`
	conn := testkit.Connect(t, d.SuperuserURL)
	if _, err := conn.Exec(t.Context(), fill); err != nil {
		t.Fatal(err)
	}
	draft := audit.KeyDraft{Name: "n", Permissions: []audit.Permission{audit.CreateAuditLogs}}
	if _, _, err := e.keys.Make(t.Context(), "acme", keyMaker, draft, at); !errors.Is(err, audit.ErrUnprocessable) {
		t.Errorf("the 101st: %v", err)
	}
	if _, _, err := e.keys.Make(t.Context(), "globex", keyMaker, draft, at); err != nil {
		t.Errorf("another organization's: %v", err)
	}
	for _, ended := range []string{"UPDATE api_keys SET revoked_at = now() WHERE id = '1'", "UPDATE api_keys SET expires_at = now() WHERE id = '2'"} {
		if _, err := conn.Exec(t.Context(), ended); err != nil {
			t.Fatal(err)
		}
		if _, _, err := e.keys.Make(t.Context(), "acme", keyMaker, draft, time.Now()); err != nil {
			t.Errorf("%s: %v", ended, err)
		}
	}
}

// Without its database nobody can tell a good key from a bad one, so it isn't called bad.
func TestKeysThatCannotBeLookedUp(t *testing.T) {
	t.Parallel()
	store, err := postgres.Open(t.Context(), postgres.Options{URL: "postgres://serving:x@127.0.0.1:1/nowhere?sslmode=disable"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	var clock atomic.Int64
	e := entranceTo(t, store, &clock)
	key := "ocore_acme_0000000000000000_" + strings.Repeat("0", 52)
	if _, err := e.enter(t, key); !errors.Is(err, audit.ErrNotReady) || errors.Is(err, audit.ErrUnauthenticated) {
		t.Errorf("err = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Authenticate(ctx, []string{"Bearer " + key}); err == nil {
		t.Error("accepted")
	}
	e.refuses(t, "ocore_x", "form")
}

// Many callers, one of whom revokes; run with -race.
func TestAPIKeysTogether(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	e := newEntrance(t, testkit.NewDatabase(t), &clock)
	key, text := e.make(t, "acme", time.Hour, audit.CreateAuditLogs)
	_, kept := e.make(t, "acme", time.Hour, audit.CreateAuditLogs)
	var group sync.WaitGroup
	for n := range 16 {
		group.Go(func() {
			for i := range 20 {
				clock.Add(1)
				if n == 0 && i == 10 {
					if _, err := e.keys.Revoke(t.Context(), "acme", key.ID, keyMaker); err != nil {
						t.Error(err)
					}
				}
				e.enter(t, text) // good or not
				if _, err := e.enter(t, kept); err != nil {
					t.Errorf("the other key: %v", err)
				}
			}
		})
	}
	group.Wait()
	clock.Add(61)
	e.refuses(t, text, "revoked")
}
