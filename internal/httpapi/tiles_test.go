package httpapi_test

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/merkle"
	"ocore.dev/audit/internal/testkit"
)

// tile gets a path that isn't below the base path.
func tile(t testing.TB, s *testkit.Service, by audit.Principal, path string, headers ...string) answer {
	t.Helper()
	return send(t, outside(s), by, http.MethodGet, path, "", headers...)
}

func TestTilesAreThoseOfTheSignedTree(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	const size = 256*3 + 5
	receipts := seed(t, s, numbered(size)...)
	var hashes []byte
	for _, r := range receipts {
		hashes = append(hashes, r.LeafHash...)
	}
	checkpoint := tile(t, s, ada, "/tlog/acme/checkpoint")
	if checkpoint.status != http.StatusOK || checkpoint.header.Get("Content-Type") != "text/plain; charset=utf-8" || checkpoint.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", checkpoint.status, checkpoint.header)
	}
	signed, err := keysOf(t, s).Open([]byte(checkpoint.body))
	if err != nil || signed.Size != size {
		t.Fatalf("%+v, %v", signed, err)
	}
	for path, want := range map[string][]byte{
		"tile/0/000": hashes[:8192], "tile/0/002": hashes[2*8192 : 3*8192],
		"tile/0/003.p/5": hashes[3*8192:], "tile/0/003.p/2": hashes[3*8192 : 3*8192+64], "tile/0/001.p/255": hashes[8192 : 2*8192-32],
	} {
		a := tile(t, s, ada, "/tlog/acme/"+path)
		if a.status != http.StatusOK || a.body != string(want) || a.header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
		immutable := strings.Contains(a.header.Get("Cache-Control"), "private") && strings.Contains(a.header.Get("Cache-Control"), "immutable")
		if full := !strings.Contains(path, ".p/"); immutable != full {
			t.Errorf("%s: Cache-Control: %s", path, a.header.Get("Cache-Control"))
		}
	}
	top := tile(t, s, ada, "/tlog/acme/tile/1/000.p/3").body
	for i := range 3 {
		root, err := merkle.TileRoot(hashes[i*8192 : (i+1)*8192])
		if err != nil || !bytes.Equal([]byte(top[i*32:i*32+32]), root) {
			t.Errorf("hash %d of the second level: %v", i, err)
		}
	}
	for bundle, first := range map[string]int{"tile/entries/000": 0, "tile/entries/003.p/5": 768} {
		body, n := []byte(tile(t, s, ada, "/tlog/acme/"+bundle).body), 0
		for ; len(body) > 2; n++ {
			length := 2 + int(binary.BigEndian.Uint16(body))
			if !bytes.Equal(merkle.LeafHash(body[2:length]), receipts[first+n].LeafHash) {
				t.Fatalf("%s: leaf %d is another: %s", bundle, n, body[2:length])
			}
			body = body[length:]
		}
		if len(body) != 0 || n != map[bool]int{true: 256, false: 5}[first == 0] {
			t.Errorf("%s has %d leaves and %d bytes more", bundle, n, len(body))
		}
	}
	if a := send(t, outside(s), ada, http.MethodHead, "/tlog/acme/tile/0/000", ""); a.status != http.StatusOK || a.header.Get("Content-Length") != "8192" || a.body != "" {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
}

// What isn't there, what has no such form and what is another organization's are the same bytes.
func TestTilesThatAreNotThere(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(300)...)
	tile(t, s, ada, "/tlog/acme/checkpoint")
	eve := testkit.Member("other")
	want := tile(t, s, eve, "/tlog/other/checkpoint")
	want.problem(t, http.StatusNotFound)
	for path, by := range map[string]audit.Principal{
		"acme/checkpoint": eve, "acme/tile/0/000": eve, "acme/tile/entries/000": eve, "nobody/checkpoint": eve, "checkpoint": eve, "": eve, "/checkpoint": eve,
		"acme": ada, "acme/": ada, "acme/tile": ada, "acme/tile/": ada, "acme/checkpoint/": ada, "ACME/checkpoint": ada, "acme%2Fcheckpoint": ada,
		"acme/tile/0/001": ada, "acme/tile/0/001.p/45": ada, "acme/tile/0/002.p/1": ada, "acme/tile/1/000": ada, "acme/tile/1/000.p/2": ada, "acme/tile/2/000.p/1": ada,
		"acme/tile/0/000.p/0": ada, "acme/tile/0/000.p/256": ada, "acme/tile/0/000.p/01": ada, "acme/tile/0/000.p/": ada, "acme/tile/0/000.p/-1": ada,
		"acme/tile/00/000": ada, "acme/tile/0/0": ada, "acme/tile/0/0000": ada, "acme/tile/0/x000/000": ada, "acme/tile/0/x000": ada, "acme/tile/-1/000": ada, "acme/tile/8/000": ada, "acme/tile/63/000": ada,
		"acme/tile/0/x999/x999/x999/x999/999": ada, "acme/tile/7/x999/x999/x999/x999/999.p/255": ada, "acme/tile/entries/x999/x999/x999/x999/999": ada,
		"acme/tile/0/x999/x999/x999/x999/x999/999": ada, "acme/tile/data/000": ada, "acme/tile/entries/001": ada, "acme/tile/8/0/000": ada, "acme/tile/0/%30%30%30": ada,
	} {
		if a := tile(t, s, by, "/tlog/"+path); a.anonymous() != want.anonymous() || a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

func TestTilesTakeTheSameTokens(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(3)...)
	post(t, s, grace, "/admin/audit-logs", `{"action":"a"}`)
	both := testkit.Member("acme", "other")
	for _, c := range []struct {
		by      audit.Principal
		path    string
		status  int
		headers []string
	}{
		{audit.Principal{}, "acme/checkpoint", 401, nil},
		{audit.Principal{}, "nonsense", 401, nil},
		{as(audit.CreateAuditLogs), "acme/checkpoint", 403, nil},
		{as(audit.CreateAuditLogs), "other/checkpoint", 403, nil},
		{as(audit.ViewAuditLogs), "acme/checkpoint", 200, nil},
		{ada, "_admin/checkpoint", 403, nil},
		{grace, "_admin/checkpoint", 200, nil},
		{grace, "_admin/tile/entries/000.p/1", 200, nil},
		{grace, "acme/checkpoint", 403, nil},
		{both, "acme/checkpoint", 200, nil},
		{both, "other/checkpoint", 404, nil},
		{both, "acme/checkpoint", 200, []string{"X-Org-Slug", "acme"}},
		{both, "acme/checkpoint", 403, []string{"X-Org-Slug", "other"}},
		{ada, "acme/checkpoint?x=1", 400, nil},
	} {
		a := tile(t, s, c.by, "/tlog/"+c.path, c.headers...)
		if a.status != c.status {
			t.Errorf("%s by %v %v: %d %s", c.path, c.by.Permissions, c.headers, a.status, a.body)
		} else if c.status >= 400 {
			a.problem(t, c.status)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		a := send(t, outside(s), ada, method, "/tlog/acme/checkpoint", "")
		if a.problem(t, http.StatusMethodNotAllowed); a.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %v", method, a.header)
		}
	}
}

// A walk over all leaves is one entry of the admin trail, and none without it.
func TestReadingLeavesIsRecorded(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(600)...)
	tile(t, s, ada, "/tlog/acme/checkpoint")
	for _, path := range []string{"001", "000", "002.p/88"} {
		if a := tile(t, s, ada, "/tlog/acme/tile/entries/"+path); a.status != http.StatusOK {
			t.Fatal(a.body)
		}
		tile(t, s, ada, "/tlog/acme/tile/0/"+path)
	}
	logs := list(t, s, grace, "/admin/audit-logs").Logs
	if len(logs) != 1 || !strings.Contains(string(logs[0]), `"action":"audit_log.leaves_read","userId":"ada","userName":"Ada Lovelace","organizationId":"acme","details":{"from":256}`) {
		t.Fatalf("%s", join(logs))
	}
	other := ada
	other.Subject = "charles"
	tile(t, s, other, "/tlog/acme/tile/entries/000")
	if total := list(t, s, grace, "/admin/audit-logs").Total; total != 2 {
		t.Errorf("%d readers are recorded", total)
	}
	owner := testkit.Connect(t, s.Database.OwnerURL)
	if _, err := owner.Exec(t.Context(), "REVOKE INSERT ON entries FROM ocore_audit_serving"); err != nil {
		t.Fatal(err)
	}
	other.Subject = "eve"
	if a := tile(t, s, other, "/tlog/acme/tile/entries/000"); strings.Contains(a.body, "server.updated") {
		t.Error("leaves are given out unrecorded")
	} else {
		a.problem(t, http.StatusServiceUnavailable)
	}
	if a := tile(t, s, ada, "/tlog/acme/tile/entries/000"); a.status != http.StatusOK {
		t.Errorf("who was recorded reads on: %s", a.body)
	}
}

// Whoever reads trees stands in line with those who read pages, and counts as they do.
func TestTilesHaveTheLimitsOfReads(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(3)...)
	tile(t, s, ada, "/tlog/acme/checkpoint")
	held, err := testkit.Connect(t, s.Database.SuperuserURL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.Exec(t.Context(), "LOCK TABLE entries IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var asking sync.WaitGroup
	for range 12 {
		asking.Go(func() {
			if a := tile(t, s, ada, "/tlog/acme/tile/entries/000.p/3"); a.status != http.StatusOK && a.status != http.StatusServiceUnavailable {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	running(t, s, "reads", 6) // three quarters of the turns
	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	asking.Wait()
	running(t, s, "reads", 0)

	limited := testkit.ServeDatabase(t, s.Database, func(o *httpapi.Options) { o.CredentialLimit = httpapi.Limit{Rate: 0.001, Burst: 3} })
	get(t, limited, ada, "/audit-logs")
	for range 2 {
		if a := tile(t, limited, ada, "/tlog/acme/checkpoint"); a.status != http.StatusOK || a.header.Get("RateLimit") == "" {
			t.Errorf("%d %v", a.status, a.header)
		}
	}
	a := tile(t, limited, ada, "/tlog/acme/tile/0/000.p/3")
	if a.problem(t, http.StatusTooManyRequests); a.header.Get("Retry-After") == "" {
		t.Errorf("%v", a.header)
	}
}

// stalled is a caller who takes nothing of an answer until it leaves.
type stalled struct {
	*httptest.ResponseRecorder
	begun *sync.WaitGroup
	left  <-chan struct{}
}

func (s stalled) Write(p []byte) (int, error) {
	s.begun.Done()
	<-s.left
	return len(p), nil
}

// A turn ends before the answer goes: those who take theirs slowly keep nobody from reading.
func TestSlowReadersOfTilesHoldNoTurn(t *testing.T) {
	t.Parallel()
	var options httpapi.Options
	s := testkit.ServeDatabase(t, testkit.NewDatabase(t), func(o *httpapi.Options) { options = *o })
	seed(t, s, numbered(3)...)
	tile(t, s, ada, "/tlog/acme/checkpoint")
	options.Metrics = nil // they know one handler's lanes
	handler, err := httpapi.New(options)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(w http.ResponseWriter, path string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer "+testkit.Token(t, ada))
		handler.ServeHTTP(w, r)
	}
	var begun, asking sync.WaitGroup
	left := make(chan struct{})
	for range 6 { // all turns that an organization may have
		begun.Add(1)
		asking.Go(func() {
			ask(stalled{httptest.NewRecorder(), &begun, left}, "/tlog/acme/tile/entries/000.p/3")
		})
	}
	begun.Wait()
	w := httptest.NewRecorder()
	if ask(w, "/api/audit-logs"); w.Code != http.StatusOK {
		t.Errorf("a page: %d %s", w.Code, w.Body)
	}
	close(left)
	asking.Wait()
}
