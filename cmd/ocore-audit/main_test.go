package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"ocore.dev/audit/internal/httpapi"
)

// asCommand makes the test binary be the command, so that tests run, and kill, the real
// process.
const asCommand = "OCORE_AUDIT_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" { //nolint:forbidigo // the test's own switch, no setting
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, os.Args[0], args...)
	c.Dir = dir
	c.Env = append(os.Environ(), asCommand+"=1")
	return c
}

// folder is a working folder that PostgreSQL's unprivileged user can come by.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ocore-audit-command-") //nolint:usetesting // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func output(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, code := try(t, dir, args...)
	if code != exitOK {
		t.Fatalf("%v exits with %d: %s", args, code, out)
	}
	return out
}

func try(t *testing.T, dir string, args ...string) (string, int) {
	t.Helper()
	c := command(t.Context(), dir, args...)
	out, err := c.CombinedOutput()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	return string(out), c.ProcessState.ExitCode()
}

// instance is a service that `run` started.
type instance struct {
	process *exec.Cmd
	welcome string
	url     string
	log     *lockedBuffer
}

// lockedBuffer is read while a process writes to it.
type lockedBuffer struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.String()
}

func start(t *testing.T, dir string, args ...string) *instance {
	t.Helper()
	return startWith(t, nil, dir, args...)
}

// startWith starts a service whose environment has variables of its own.
func startWith(t *testing.T, variables []string, dir string, args ...string) *instance {
	t.Helper()
	c := command(context.WithoutCancel(t.Context()), dir, append([]string{"run", "--listen", "127.0.0.1:0"}, args...)...)
	c.Env = append(c.Env, variables...)
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := &lockedBuffer{}
	c.Stderr = stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	s := &instance{process: c, log: stderr}
	t.Cleanup(func() {
		if c.ProcessState == nil {
			s.stop(t, syscall.SIGTERM)
		}
		if t.Failed() {
			t.Logf("the service said: %s", stderr.String())
		}
	})
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		s.welcome += lines.Text() + "\n"
		if strings.HasPrefix(lines.Text(), "curl -sS -H \"Authorization: Bearer ey") {
			break
		}
	}
	address := regexp.MustCompile(`ready at (http://\S+)/api `).FindStringSubmatch(s.welcome)
	if address == nil {
		t.Fatalf("no address in %q: %s", s.welcome, stderr.String())
	}
	s.url = address[1]
	return s
}

// startTrusting starts a service that has no development token to show.
func startTrusting(t *testing.T, dir string, args ...string) *instance {
	t.Helper()
	c := command(context.WithoutCancel(t.Context()), dir, append([]string{"run", "--listen", "127.0.0.1:0"}, args...)...)
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	s := &instance{process: c}
	t.Cleanup(func() { s.stop(t, syscall.SIGTERM) })
	serving := regexp.MustCompile(`msg=serving address=(\S+)`)
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		s.welcome += lines.Text() + "\n"
		if address := serving.FindStringSubmatch(lines.Text()); address != nil {
			s.url = "http://" + address[1]
			go io.Copy(io.Discard, stderr) // nothing more is of interest, and the pipe must not fill
			return s
		}
	}
	t.Fatalf("it doesn't serve: %s", s.welcome)
	return nil
}

func (s *instance) stop(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := s.process.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	err := s.process.Wait()
	if signal == syscall.SIGTERM && err != nil {
		t.Errorf("the service stopped with %v", err)
	}
}

func (s *instance) get(t *testing.T, token, path string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

// post records, or fails the test.
func (s *instance) post(t *testing.T, token, path, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		answer, _ := io.ReadAll(response.Body)
		t.Fatalf("%s: %s: %s", path, response.Status, answer)
	}
}

func (s *instance) total(t *testing.T, token string) int {
	t.Helper()
	_, body := s.get(t, token, "/api/audit-logs?per_page=1")
	var list struct{ Total int }
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return list.Total
}

func TestRunPrintsACallThatAnswers(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	begun := time.Now()
	s := start(t, dir, "--demo")
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("ready after %s", took)
	}
	pasted := regexp.MustCompile(`Bearer (ey[^"]+)" "http://[^/]+(/api/[^"]+)"`).FindStringSubmatch(s.welcome)
	if pasted == nil {
		t.Fatalf("no call to paste in %q", s.welcome)
	}
	status, body := s.get(t, pasted[1], pasted[2])
	if status != http.StatusOK || !bytes.Contains(body, []byte(`"action"`)) {
		t.Errorf("the printed call answers %d: %s", status, body)
	}
	output(t, dir, "healthcheck", "--url", s.url)
	s.stop(t, syscall.SIGTERM)
	if _, code := try(t, dir, "healthcheck", "--url", s.url); code != exitFailed {
		t.Errorf("healthcheck of a stopped service exits with %d", code)
	}
	if postgresRuns(t, dir) {
		t.Error("PostgreSQL outlived the service")
	}
}

func TestNothingOutlivesAKill(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, dir)
	if !postgresRuns(t, dir) {
		t.Fatal("no PostgreSQL to see")
	}
	s.stop(t, syscall.SIGKILL)
	for range 100 {
		if !postgresRuns(t, dir) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("PostgreSQL outlived the killed service by 5 s")
}

// postgresRuns looks for processes whose arguments name the folder.
func postgresRuns(t *testing.T, dir string) bool {
	t.Helper()
	found, err := exec.CommandContext(t.Context(), "pgrep", "-f", filepath.Join(dir, ".data", "postgres")).Output()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	return len(found) > 0
}

func TestImportThatWasKilledGoesOn(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, dir)
	token := strings.TrimSpace(output(t, dir, "token"))
	const lines = 20_000
	var history bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&history, `{"id":"h-%d","action":"server.updated","resourceType":"server","createdAt":"2026-01-01T00:%02d:%02d.%06dZ"}`+"\n",
			i, i/60%60, i%60, i)
	}
	if err := os.WriteFile(filepath.Join(dir, "history.ndjson"), history.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	first := command(t.Context(), dir, "import", "--format", "ndjson", "history.ndjson")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	for s.total(t, token) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.Wait()
	// What was on its way when the process was killed may still be committed.
	halfway := -1
	for now := s.total(t, token); now != halfway; now = s.total(t, token) {
		halfway = now
		time.Sleep(300 * time.Millisecond)
	}
	if halfway == lines {
		t.Fatal("the import was too quick to be killed halfway")
	}
	said := output(t, dir, "import", "--format", "ndjson", "history.ndjson")
	if want := fmt.Sprintf("acme: %d stored, %d known already, 0 rejected\n", lines-halfway, halfway); said != want {
		t.Errorf("the second run says %q, want %q", said, want)
	}
	exported := items(t, output(t, dir, "export", "--url", s.url))
	seen := map[string]bool{}
	for i, item := range exported {
		if want := float64(lines - 1 - i); item["position"] != want {
			t.Fatalf("item %d has position %v, want %v", i, item["position"], want)
		}
		seen[item["id"].(string)] = true
	}
	if len(exported) != lines || len(seen) != lines {
		t.Errorf("%d entries with %d ids, want %d", len(exported), len(seen), lines)
	}
}

// The twelve properties of the reference survive leaving by either format and coming
// back into an empty trail.
func TestWhatIsExportedCanBeImported(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, dir)
	history := strings.Join([]string{
		`{"id":"a","action":"=cmd()","resourceType":"server","resourceId":"a/b,\"c\"","resourceName":"'-1","userId":"@x","userName":"line\r\nbreak","ipAddress":"2001:db8::1","userAgent":"\tagent","beforeState":{"b":1.10,"a":12345678901234567890},"afterState":{"é":1e2,"s":"<&>"},"createdAt":"2026-01-01T00:00:00.000001Z"}`,
		`{"id":"b","action":"server.created","resourceType":"server","createdAt":"2026-01-01T00:00:00.000001Z"}`,
		`{"id":"c","action":"server.deleted","resourceType":"server","createdAt":"2026-01-02T03:04:05+02:00","afterState":{}}`,
	}, "\n")
	if err := os.WriteFile(filepath.Join(dir, "history.ndjson"), []byte(history), 0o600); err != nil {
		t.Fatal(err)
	}
	output(t, dir, "import", "--format", "ndjson", "history.ndjson")
	original := twelve(t, output(t, dir, "export", "--url", s.url))
	if len(original) != 3 || !strings.Contains(original[2], `{"b":1.10,"a":12345678901234567890}`) {
		t.Fatalf("exported %q", original)
	}
	others := twelve(t, output(t, dir, "export", "--url", s.url, "--exclude-resource-id", `a/b,"c"`, "--exclude-action", "server.deleted", "--exclude-action", "none"))
	if !slices.Equal(others, original[1:2]) {
		t.Errorf("without the first and the last: %q", others)
	}
	for _, format := range []string{"json", "csv"} {
		file := "trail." + format
		output(t, dir, "export", "--url", s.url, "--format", format, "-o", file)
		output(t, dir, "import", "--format", "ocore", "--organization", format, file)
		again := twelve(t, output(t, dir, "export", "--url", s.url, "--organization", format))
		if !slices.Equal(again, original) {
			t.Errorf("by %s: got\n%q, want\n%q", format, again, original)
		}
	}
}

// A file written by hand in the customer's shapes: pages, and a CSV without our columns.
func TestCustomersFilesCanBeImported(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, dir)
	page := `{"items":[{"action":"auth.login","afterState":{},"beforeState":null,"createdAt":"2025-05-05T05:05:05Z","id":"p1","ipAddress":"192.0.2.1","resourceId":"u1","resourceName":"","resourceType":"user","userAgent":"curl","userId":"u1","userName":"Ada"}],"page":1,"perPage":1,"total":1}`
	var rows bytes.Buffer
	w := csv.NewWriter(&rows)
	w.Write(strings.Split("id,createdAt,action,resourceType,resourceId,resourceName,userId,userName,ipAddress,userAgent,beforeState,afterState", ","))
	w.Write([]string{"c1", "2025-05-06T05:05:05.25Z", "server.updated", "server", "s1", "web-01", "u1", "Ada", "", "", `{"n":1.0}`, `{"n":2.0}`})
	w.Write([]string{"c2", "not a date", "server.updated", "server", "", "", "", "", "", "", "", ""})
	w.Flush()
	for name, content := range map[string]string{"page.json": page, "export.csv": rows.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	said, code := try(t, dir, "import", "--dry-run", "--format", "ocore", "page.json", "export.csv")
	if code != exitRejected || !strings.Contains(said, "2 records could be imported, 1 rejected") {
		t.Fatalf("dry, it exits with %d: %s", code, said)
	}
	said, code = try(t, dir, "import", "--format", "ocore", "page.json", "export.csv")
	if code != exitRejected || !strings.Contains(said, "2 stored, 0 known already, 1 rejected") {
		t.Fatalf("exits with %d: %s", code, said)
	}
	rejects, err := os.ReadFile(filepath.Join(dir, "import.rejects.ndjson"))
	if err != nil || !bytes.Contains(rejects, []byte("export.csv:3")) {
		t.Errorf("rejects: %s, %v", rejects, err)
	}
	got := items(t, output(t, dir, "export", "--url", s.url))
	if len(got) != 2 || got[0]["createdAt"] != "2025-05-06T05:05:05.250000Z" || got[1]["userName"] != "Ada" || got[1]["resourceName"] != nil {
		t.Errorf("exported %v", got)
	}
}

func items(t *testing.T, export string) []map[string]any {
	t.Helper()
	var document struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(export), &document); err != nil {
		t.Fatalf("%v: %.200s", err, export)
	}
	return document.Items
}

// twelve is each item's twelve properties of the reference, byte for byte.
func twelve(t *testing.T, export string) []string {
	t.Helper()
	var document struct{ Items []map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(export), &document); err != nil {
		t.Fatalf("%v: %.200s", err, export)
	}
	var all []string
	for _, item := range document.Items {
		text := ""
		for _, name := range strings.Fields("action afterState beforeState createdAt id ipAddress resourceId resourceName resourceType userAgent userId userName") {
			text += name + "=" + string(item[name]) + " "
		}
		all = append(all, text)
	}
	return all
}

// The process says that it isn't ready until its issuer's keys are there, and takes their
// tokens then, without a restart.
func TestReadinessWaitsForPublishedKeys(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	var up atomic.Bool
	var issuer *httptest.Server
	issuer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !up.Load():
			w.WriteHeader(http.StatusBadGateway)
		case r.URL.Path == "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuer.URL, issuer.URL+"/keys")
		default:
			fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":%q}]}`, encode(public))
		}
	}))
	t.Cleanup(issuer.Close)
	s := startTrusting(t, folder(t), "--auth-discover", "--auth-issuer", issuer.URL)
	input := encode([]byte(`{"alg":"EdDSA"}`)) + "." + encode(fmt.Appendf(nil,
		`{"iss":%q,"sub":"ada","org_id":"acme","permissions":["view:audit_logs"],"exp":%d}`, issuer.URL, time.Now().Add(time.Hour).Unix()))
	token := input + "." + encode(ed25519.Sign(private, []byte(input)))
	for _, path := range []string{"/readyz", "/api/audit-logs"} {
		if status, body := s.get(t, token, path); status != http.StatusServiceUnavailable {
			t.Errorf("%s without keys: %d %s", path, status, body)
		}
	}
	up.Store(true)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		status, body := s.get(t, token, "/readyz")
		if status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("never ready: %d %s", status, body)
		}
	}
	if status, body := s.get(t, token, "/api/audit-logs"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
}

func TestAPIKeysOnTheCommandLine(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, dir)
	c := command(t.Context(), dir, "api-key", "create", "--name", "shop\nfloor", "--permission", "view:audit_logs")
	made, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSuffix(string(made), "\n")
	parts := strings.Split(key, "_")
	if len(parts) != 4 || parts[1] != "acme" {
		t.Fatalf("made %q", made)
	}
	if status, body := s.get(t, key, "/api/audit-logs"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	list := output(t, dir, "api-key", "list")
	if lines := strings.Split(list, "\n"); len(lines) != 3 || !strings.Contains(list, parts[2]) || !strings.Contains(list, "good until") || strings.Contains(list, parts[3]) {
		t.Errorf("listed %s", list)
	}
	for range 2 {
		if out := output(t, dir, "api-key", "revoke", parts[2]); !strings.Contains(out, "is revoked since") {
			t.Errorf("revoked: %s", out)
		}
	}
	if list := output(t, dir, "api-key", "list"); !strings.Contains(list, "revoked 20") {
		t.Errorf("listed %s", list)
	}
	if out, code := try(t, dir, "api-key", "revoke", "--organization", "globex", parts[2]); code != exitFailed || !strings.Contains(out, "api-key list") {
		t.Errorf("another organization's: %d %s", code, out)
	}
	for _, wrong := range [][]string{{"--name", ""}, {"--name", "x", "--permission", "manage:audit_logs"}, {"--name", "x", "--expires-at", "2001-01-01T00:00:00Z"}} {
		if out, code := try(t, dir, append([]string{"api-key", "create"}, wrong...)...); code != exitUsage {
			t.Errorf("%v: %d %s", wrong, code, out)
		}
	}
}

func TestWrongUsageExitsWithTwo(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	for _, args := range [][]string{
		{"serve"},
		{"serve", "--database-url", "postgres://127.0.0.1:1/x"},
		{"migrate"},
		{"run", "--database-url", "postgres://127.0.0.1:1/x"},
		{"run", "--log-level", "loud"},
		{"token", "--permission", "fly"},
		{"token", "--organization", "a_b"},
		{"token", "--auth-secret-file", "production.secret"},
		{"import", "--format", "xml"},
		{"import", "--format", "ndjson", "--database-url", "postgres://127.0.0.1:1/x"},
		{"export", "--format", "xml", "--token", "x"},
		{"export", "--token", "x", "--start-date", "yesterday"},
		{"export", "--token", "x", "--url", "nowhere"},
		{"compare", "http://127.0.0.1:1"},
		{"compare", "http://127.0.0.1:1", "nowhere"},
		{"compare", "ftp://127.0.0.1:1", "http://127.0.0.1:1"},
		{"compare", "http://127.0.0.1:1", "http://127.0.0.1:1", "--calls", "no-such-file"},
		{"compare", "http://127.0.0.1:1", "http://127.0.0.1:1", "--calls", "-"}, // with nothing in it
		{"compare", "http://127.0.0.1:1", "http://127.0.0.1:1", "--old-token-file", "no-such-file"},
		{"compare", "http://127.0.0.1:1", "http://127.0.0.1:1", "--old-token-file", ".", "--old-token", "x"},
		{"healthcheck", "--nonsense"},
		{"nosuch"},
		{"run", "extra"},
		{"token"}, // no service has run in this folder
		{"token", "--subject", ""},
		{"import", "--format", "ndjson", "--organization", ""},
		{"serve", "--database-url", "postgres://%zz", "--auth-secret-file", "x"},
		{"api-key", "create", "--database-url", "postgres://127.0.0.1:1/x", "--name", "x"},
		{"api-key", "list", "--organization", "a_b"},
		{"api-key", "revoke", "--organization", "acme"},
		{"serve", "--database-url", "postgres://127.0.0.1:1/x", "--auth-discover"},
		{"serve", "--database-url", "postgres://127.0.0.1:1/x", "--auth-discover", "--auth-key-set-url", "https://a.example"},
		{"serve", "--database-url", "postgres://127.0.0.1:1/x", "--auth-key-set-url", "http://a.example"},
	} {
		if out, code := try(t, dir, args...); code != exitUsage {
			t.Errorf("%v exits with %d: %s", args, code, out)
		}
	}
}

func TestWhatCallersMayDoIsChecked(t *testing.T) {
	t.Parallel()
	for flag, values := range map[string]struct{ good, bad []string }{
		"limit-credential":   {[]string{"50", "50:200"}, []string{"many", "0", "5:0"}},
		"limit-organization": {[]string{"0.5:1"}, []string{"-1", "5:many"}},
		"cors-origin":        {[]string{"https://a.example,http://localhost:5173"}, []string{"*", "a.example", "https://a.example/"}},
		"trusted-proxy":      {[]string{"10.0.0.0/8,fd00::/8"}, []string{"10.0.0.1", "proxy"}},
		"hsts-max-age":       {[]string{"8760h"}, []string{"-1s"}},
	} {
		apply := func(value string) (httpapi.Options, error) {
			var options httpapi.Options
			var flags callerFlags
			c := &cobra.Command{}
			flags.add(c)
			if err := c.Flags().Set(flag, value); err != nil {
				t.Fatal(err)
			}
			err := flags.apply(&options)
			return options, err
		}
		for _, value := range values.good {
			if options, err := apply(value); err != nil || reflect.DeepEqual(options, httpapi.Options{}) {
				t.Errorf("--%s %s: %v %v", flag, value, options, err)
			}
		}
		for _, value := range values.bad {
			var wrong *exitError
			if _, err := apply(value); !errors.As(err, &wrong) || wrong.code != exitUsage || !strings.Contains(err.Error(), "--"+flag) {
				t.Errorf("--%s %s: %v", flag, value, err)
			}
		}
	}
}

func TestVariablesSetFlags(t *testing.T) {
	t.Parallel()
	c := command(t.Context(), folder(t), "token")
	c.Env = append(c.Env, "OCORE_AUDIT_PERMISSION=fly")
	if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), `"fly" is no permission`) {
		t.Errorf("%v: %s", err, out)
	}
}

// Every flag's help names its variable, and every command explains itself.
func TestHelpTeaches(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	for _, c := range newRoot(new(bool)).Commands() {
		help := output(t, dir, c.Name(), "--help")
		for line := range strings.Lines(help) {
			if strings.Contains(line, "--") && strings.HasPrefix(strings.TrimSpace(line), "-") &&
				!strings.Contains(line, "[$") && !strings.Contains(line, "help for") {
				t.Errorf("%s: a flag without its variable: %s", c.Name(), line)
			}
		}
	}
	if out := output(t, dir, "completion", "bash"); !strings.Contains(out, "ocore-audit") {
		t.Error("no completion for bash")
	}
}
