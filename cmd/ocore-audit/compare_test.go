package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A service compared with itself, by its own list of calls, is the same; with one whose
// answers differ, each difference is a line, or an object.
func TestCompare(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, dir, "--demo")
	token := strings.TrimSpace(output(t, dir, "token"))
	if err := os.WriteFile(filepath.Join(dir, "token.jwt"), []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	said := output(t, dir, "compare", s.url+"/api", s.url+"/api/", "--old-token-file", "token.jwt", "--new-token", token)
	if !strings.Contains(said, " 0 different, 0 failed;") || strings.Contains(said, "GET") {
		t.Errorf("with itself: %s", said)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.Header.Get("X-Org-Slug") != "acme" {
			t.Errorf("%s with %v", r.Method, r.Header)
		}
		status, body := s.get(t, token, "/api"+r.URL.RequestURI())
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write([]byte(strings.ReplaceAll(string(body), `"perPage":2`, `"perPage":3`)))
	}))
	t.Cleanup(other.Close)
	calls := "# two pages\n\n/audit-logs?per_page=2\nGET /audit-logs?per_page=4\n/audit-logs?per_page=1001\n"
	compareCalls := func(calls string, more ...string) (string, int) {
		t.Helper()
		c := command(t.Context(), dir, append([]string{"compare", s.url + "/api", other.URL, "--calls", "-", "--organization", "acme"}, more...)...)
		c.Env = append(c.Env, "OCORE_AUDIT_OLD_TOKEN="+token)
		c.Stdin = strings.NewReader(calls)
		out, _ := c.CombinedOutput()
		return string(out), c.ProcessState.ExitCode()
	}
	said, code := compareCalls(calls)
	want := "GET /audit-logs?per_page=2\n  perPage: 2, now 3\n3 calls: 2 the same, 1 different, 0 failed; 6 items compared\nboth answer 400: 1 call\n"
	if code != exitDifferent || !strings.HasPrefix(said, want) {
		t.Errorf("exits with %d: %s", code, said)
	}
	said, code = compareCalls(calls, "--json")
	lines := strings.Split(said, "\n")
	var ended struct {
		Summary struct{ Calls, Different, Differences int }
	}
	if code != exitDifferent || lines[0] != `{"call":"/audit-logs?per_page=2","kind":"envelope","member":"perPage","old":2,"new":3}` ||
		json.Unmarshal([]byte(lines[1]), &ended) != nil || ended.Summary.Calls != 3 || ended.Summary.Differences != 1 {
		t.Errorf("exits with %d: %s", code, said)
	}
	if said, code := compareCalls(calls, "--ignore", "perPage"); code != exitOK {
		t.Errorf("exits with %d: %s", code, said)
	}
	if said, code := compareCalls("/audit-logs\nPOST /audit-logs\n"); code != exitUsage || !strings.Contains(said, "line 2: POST is not sent") {
		t.Errorf("exits with %d: %s", code, said)
	}
	other.Close()
	if said, code := compareCalls(calls); code != exitFailed || !strings.Contains(said, "failed: the new service") {
		t.Errorf("exits with %d: %s", code, said)
	}
}

func TestLongValuesAreShownInPart(t *testing.T) {
	t.Parallel()
	for _, value := range []string{`"short"`, `"` + strings.Repeat("é", 500) + `"`} {
		got := shown(json.RawMessage(value))
		if len(value) < 200 && got != value || len(value) >= 200 && !strings.HasSuffix(got, fmt.Sprintf("é… (%d bytes)", len(value))) {
			t.Errorf("%q", got)
		}
	}
}
