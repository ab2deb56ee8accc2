package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocore.dev/audit/internal/embedded"
)

// The guides are what these tests run, as they are written. A fence's language says what
// becomes of its block:
//
//	sh        runs, and must succeed; all of a guide's blocks share one bash session
//	console   runs what stands behind "$ " and compares what stands below with the output
//	          (… stands for any text; ids, times and cursors may be others)
//	json      must be JSON
//	python, go, javascript   runs, and must record an entry
//	js        is a function for another program, tried below
//	golang    is a program that reads files of the repository, tried below
//
// Other languages are for what can't run here: another program's settings, a picture of
// an answer. A sh block of make commands isn't run, but its targets must exist; `make run`
// in it starts the guide's service, by the Makefile's own recipe.
//
// Nothing is substituted but addresses, 127.0.0.1:8080 of the service and 127.0.0.1:5432
// of a PostgreSQL, by such as are free. The working folder is an empty one with
// bin/ocore-audit and docs/vectors in it.
const (
	serviceAddress  = "127.0.0.1:8080"
	databaseAddress = "127.0.0.1:5432"
)

const root = "../.."

var guides = []string{
	"README.md", "docs/getting-started.md", "docs/authentication.md", "docs/recording.md", "docs/reading.md",
	"docs/moving.md", "docs/verifying.md", "docs/operating.md",
}

// block is one fenced block of a guide.
type block struct {
	language, text string
	line           int
}

func readBlocks(t *testing.T, path string) []block {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	open := false
	for n, line := range strings.Split(string(text), "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && !open:
			if fence == "" {
				t.Errorf("%s:%d: a block without a language", path, n+1)
			}
			blocks = append(blocks, block{language: fence, line: n + 1})
			open = true
		case isFence:
			open = false
		case open:
			blocks[len(blocks)-1].text += line + "\n"
		}
	}
	if open {
		t.Errorf("%s: its last block doesn't end", path)
	}
	return blocks
}

func TestGuidesRunAsWritten(t *testing.T) {
	t.Parallel()
	for _, name := range guides {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".md"), func(t *testing.T) {
			t.Parallel()
			newGuide(t, filepath.Join(root, name)).run(t)
		})
	}
}

// guide is a guide about to be run in a folder of its own.
type guide struct {
	path      string
	blocks    []block
	dir       string
	env       []string
	addresses map[string]string // written → real
	service   *instance
}

func newGuide(t *testing.T, path string) *guide {
	t.Helper()
	g := &guide{path: path, blocks: readBlocks(t, path), dir: folder(t), addresses: map[string]string{}}
	for _, program := range []string{"psql", "pg_dump", "pg_restore"} {
		if _, err := exec.LookPath(program); err != nil && g.mentions(program+" ") {
			t.Skipf("%s needs %s, which PostgreSQL's client package has: %v", g.path, program, err)
		}
	}
	bin := filepath.Join(g.dir, "bin")
	self, err := filepath.Abs(os.Args[0])
	if err == nil {
		err = errors.Join(os.Mkdir(bin, 0o755), os.Symlink(self, filepath.Join(bin, "ocore-audit")),
			os.CopyFS(filepath.Join(g.dir, "docs", "vectors"), os.DirFS(vectors)))
	}
	if err != nil {
		t.Fatal(err)
	}
	g.env = append(os.Environ(), asCommand+"=1", "PATH="+bin+":"+os.Getenv("PATH")) //nolint:forbidigo // the search path, no setting
	g.startService(t)
	g.env = append(g.env, "OCORE_AUDIT_URL=http://"+g.addresses[serviceAddress]) // commands assume the written one
	if g.mentions(databaseAddress) {
		g.startDatabase(t)
	}
	return g
}

func (g *guide) mentions(text string) bool {
	return slices.ContainsFunc(g.blocks, func(b block) bool { return b.runs() && strings.Contains(b.text, text) })
}

func (b block) runs() bool { return b.language == "sh" || b.language == "console" }

var makeRun = regexp.MustCompile(`(?m)^make run(?: ARGS=(.*))?$`)

// startService starts what `make run` starts, or keeps an address for what the guide
// starts itself.
func (g *guide) startService(t *testing.T) {
	t.Helper()
	for _, b := range g.blocks {
		if asked := makeRun.FindStringSubmatch(b.text); b.language == "sh" && asked != nil {
			g.service = start(t, g.dir, strings.Fields(strings.Trim(asked[1], `"'`))...)
			g.addresses[serviceAddress] = strings.TrimPrefix(g.service.url, "http://")
			return
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.addresses[serviceAddress] = listener.Addr().String()
	listener.Close()
}

// startDatabase gives the guide an empty PostgreSQL, of which psql's variables make it
// the superuser.
func (g *guide) startDatabase(t *testing.T) {
	t.Helper()
	dir := folder(t)
	server, err := embedded.Start(t.Context(), embedded.Options{Dir: filepath.Join(dir, "postgres"), Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	u, err := url.Parse(server.SuperuserURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	g.addresses[databaseAddress] = u.Host
	g.env = append(g.env, "PGHOST="+u.Hostname(), "PGPORT="+u.Port(), "PGUSER="+u.User.Username(), "PGPASSWORD="+password)
}

// real puts the addresses that exist for those that are written, and written does the
// opposite.
func (g *guide) real(text string) string {
	for written, real := range g.addresses {
		text = strings.ReplaceAll(text, written, real)
	}
	return text
}

func (g *guide) written(text string) string {
	for written, real := range g.addresses {
		text = strings.ReplaceAll(text, real, written)
	}
	return text
}

func (g *guide) run(t *testing.T) {
	t.Helper()
	var script strings.Builder
	script.WriteString("set -euo pipefail\nexec 2>&1\n")
	var steps []step
	for _, b := range g.blocks {
		switch b.language {
		case "sh":
			if !isMake(t, b) {
				fmt.Fprintf(&script, "echo '%s%d'\n%s", began, len(steps), b.text)
				steps = append(steps, step{block: b})
			}
		case "console":
			for _, s := range consoleSteps(t, g.path, b) {
				// The command's own status is $? for the next one, as it is at a prompt.
				fmt.Fprintf(&script, "echo '%s%d'\nset +e\n(exit ${status:-0})\n%s\nstatus=$?\necho \"%s$status\"\nset -e\n", began, len(steps), s.command, ended)
				steps = append(steps, s)
			}
		case "json":
			if !json.Valid([]byte(b.text)) {
				t.Errorf("%s:%d: not JSON", g.path, b.line)
			}
		}
	}
	script.WriteString("echo '" + began + strconv.Itoa(len(steps)) + "'\n")
	g.check(t, steps, g.bash(t, script.String()))
	g.runSnippets(t)
}

const (
	began = "== began "
	ended = "== ended "
)

// step is a block, or one command of a console block with what it shall print.
type step struct {
	block
	command string
	want    string
	shown   bool // the next command shows its status
}

// consoleSteps cuts a block into commands and their outputs. A command goes on while a
// quotation is open or a line ends with a backslash.
func consoleSteps(t *testing.T, path string, b block) []step {
	t.Helper()
	var steps []step
	going := false
	for line := range strings.Lines(b.text) {
		command, begins := strings.CutPrefix(line, "$ ")
		switch {
		case going:
			steps[len(steps)-1].command += line
		case begins:
			steps = append(steps, step{block: b, command: command})
		case len(steps) == 0:
			t.Fatalf("%s:%d: output before any command", path, b.line)
		default:
			steps[len(steps)-1].want += line
		}
		if going || begins {
			so := steps[len(steps)-1].command
			going = strings.HasSuffix(so, "\\\n") || strings.Count(so, "'")%2 == 1
		}
	}
	for i := range steps[:len(steps)-1] {
		steps[i].shown = strings.HasPrefix(steps[i+1].command, "echo $?")
	}
	return steps
}

var makeTarget = regexp.MustCompile(`^make ([a-z-]+)`)

// isMake reports whether b is nothing but make commands, whose targets there must be.
func isMake(t *testing.T, b block) bool {
	t.Helper()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(makefile, []byte("\n\t@exec $(BIN) run $(ARGS)\n")) {
		t.Error("make run does something else than these tests do in its place")
	}
	for line := range strings.Lines(b.text) {
		target := makeTarget.FindStringSubmatch(line)
		if target == nil {
			return false
		}
		if !bytes.Contains(makefile, []byte("\n"+target[1]+":")) {
			t.Errorf("line %d: make has no target %s", b.line, target[1])
		}
	}
	return true
}

// bash runs the guide's session and returns what it printed.
func (g *guide) bash(t *testing.T, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "-c", g.real(script))
	c.Dir, c.Env = g.dir, g.env
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that nothing in the background stays
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 5 * time.Second
	out, err := c.CombinedOutput()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Errorf("%s: bash: %v", g.path, err)
	}
	syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	return g.written(string(out))
}

func (g *guide) check(t *testing.T, steps []step, printed string) {
	t.Helper()
	_, rest, _ := strings.Cut(printed, began+"0\n")
	for n, s := range steps {
		out, after, whole := strings.Cut(rest, began+strconv.Itoa(n+1)+"\n")
		if !whole {
			t.Fatalf("%s:%d: stopped in this block: %s%s", g.path, s.line, s.command, out)
		}
		rest = after
		if s.language != "console" {
			continue
		}
		out, status, _ := strings.Cut(out, ended)
		if status != "0\n" && !s.shown {
			t.Errorf("%s:%d: %sexits with %s%s", g.path, s.line, s.command, status, out)
		}
		if !expected(s.want).MatchString(strings.TrimRight(mask(out), "\n")) {
			t.Errorf("%s:%d: %sprints\n%swhere the guide shows\n%s", g.path, s.line, s.command, out, s.want)
		}
	}
}

var masks = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "<id>"},
	{regexp.MustCompile(`\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,9}Z`), "<time>"},
	{regexp.MustCompile(`"nextCursor":"[^"]*"`), "<cursor>"},
	{regexp.MustCompile(`cursor=[^&>]+`), "<cursor>"},
	{regexp.MustCompile(`"position":[12]\d{3}\b`), `"position":<number>`}, // a demonstration's size depends on its day
	{regexp.MustCompile(`"leafHash":"[A-Za-z0-9+/]{43}="`), "<hash>"},
	{regexp.MustCompile(`took=\S+`), "<took>"},
	{regexp.MustCompile(`"took":\d+`), "<took>"},
	{regexp.MustCompile(`Date: [^\r\n]+`), "<date>"},
	{regexp.MustCompile(`\r\n`), "\n"},
}

func mask(text string) string {
	for _, m := range masks {
		text = m.pattern.ReplaceAllString(text, m.by)
	}
	return text
}

// expected is the pattern of what a guide shows.
func expected(shown string) *regexp.Regexp {
	quoted := regexp.QuoteMeta(strings.TrimRight(mask(shown), "\n"))
	return regexp.MustCompile(`(?s)^` + strings.ReplaceAll(quoted, "…", ".*") + `$`)
}

// runSnippets runs programs as a reader would, each of whom must find another entry in
// the trail afterwards.
func (g *guide) runSnippets(t *testing.T) {
	t.Helper()
	for _, b := range g.blocks {
		var run func(file string) *exec.Cmd
		switch b.language {
		case "python":
			run = func(file string) *exec.Cmd { return exec.CommandContext(t.Context(), "python3", file) }
		case "javascript":
			run = func(file string) *exec.Cmd { return exec.CommandContext(t.Context(), "node", file) }
		case "go":
			run = func(file string) *exec.Cmd { return goRun(t, file, g.dir) }
		default:
			continue
		}
		t.Run(b.language, func(t *testing.T) {
			file := filepath.Join(g.dir, "snippet."+map[string]string{"python": "py", "javascript": "mjs", "go": "go"}[b.language])
			if err := os.WriteFile(file, []byte(g.real(b.text)), 0o600); err != nil {
				t.Fatal(err)
			}
			token := strings.TrimSpace(output(t, g.dir, "token"))
			before := g.service.total(t, token)
			c := run(file)
			if _, err := exec.LookPath(c.Args[0]); err != nil {
				t.Skipf("%s:%d was not run: %v", g.path, b.line, err)
			}
			c.Env = append(slices.DeleteFunc(slices.Clone(g.env), func(v string) bool { return strings.HasPrefix(v, asCommand) }), "TOKEN="+token)
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%s:%d: %v: %s", g.path, b.line, err, out)
			}
			if after := g.service.total(t, token); after <= before {
				t.Errorf("%s:%d: recorded nothing", g.path, b.line)
			}
		})
	}
}

// The function that adds organizations to Cognito's tokens, by the events that Cognito
// sends for people and for programs.
func TestCognitoFunctionNamesOrganizations(t *testing.T) {
	t.Parallel()
	blocks := readBlocks(t, filepath.Join(root, "docs", "authentication.md"))
	i := slices.IndexFunc(blocks, func(b block) bool { return b.language == "js" })
	if i < 0 {
		t.Fatal("the guide has no function")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skipf("the function was not run: %v", err)
	}
	const call = `
for (const event of [
  { request: { userAttributes: { "custom:org_id": "globex" } }, callerContext: { clientId: "1example23456789" } },
  { request: {}, callerContext: { clientId: "5example9worker" } },
  { request: {}, callerContext: { clientId: "another" } },
]) console.log(JSON.stringify((await handler(event)).response.claimsAndScopeOverrideDetails.accessTokenGeneration));`
	file := filepath.Join(t.TempDir(), "function.mjs")
	if err := os.WriteFile(file, []byte(blocks[i].text+call), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "node", file).CombinedOutput()
	const want = `{"claimsToAddOrOverride":{"org_id":"globex"}}
{"claimsToAddOrOverride":{"org_id":"acme"}}
{"claimsToAddOrOverride":{}}
`
	if err != nil || string(out) != want {
		t.Errorf("%v: %s, want %s", err, out, want)
	}
}

// The program that opens a checkpoint and checks a proof with Go's own packages.
func TestGosOwnPackagesCheckAProof(t *testing.T) {
	t.Parallel()
	blocks := readBlocks(t, filepath.Join(root, "docs", "verifying.md"))
	i := slices.IndexFunc(blocks, func(b block) bool { return b.language == "golang" })
	if i < 0 {
		t.Fatal("the guide has no program")
	}
	file := filepath.Join(t.TempDir(), "program.go")
	if err := os.WriteFile(file, []byte(blocks[i].text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := goRun(t, file, root).CombinedOutput()
	if want := "position 11 is in the trail of 21 entries\n"; err != nil || string(out) != want {
		t.Errorf("%v: %s, want %s", err, out, want)
	}
}

// goRun runs a program in a folder as if it stood in this module, for its packages.
func goRun(t *testing.T, file, dir string) *exec.Cmd {
	t.Helper()
	module, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(module, "cmd", "snippet", "main.go"): file}})
	if err == nil {
		err = os.WriteFile(file+".json", overlay, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", file+".json", "-o", file+".program", "./cmd/snippet")
	build.Dir = module
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := exec.CommandContext(t.Context(), file+".program")
	c.Dir = dir
	return c
}

// documents are all pages that people read.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d pages: %v", len(paths), err)
	}
	all := map[string]string{}
	for _, path := range append(paths, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(text)
	}
	return all
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are what GitHub makes of a page's headings.
func anchors(text string) []string {
	var all []string
	for _, found := range heading.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-"))
	}
	return all
}

func TestLinksResolve(t *testing.T) {
	t.Parallel()
	problems := filepath.Join(root, "docs", "problems")
	_, noProblems := os.Stat(problems)
	for path, text := range documents(t) {
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			target, fragment, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			file := path
			if target != "" {
				file = filepath.Join(filepath.Dir(path), target)
			}
			if noProblems != nil && filepath.Dir(file) == problems {
				continue // the pages of problems aren't in this tree
			}
			page, err := os.ReadFile(file)
			if stat, is := os.Stat(file); is == nil && stat.IsDir() {
				err = nil
			}
			if err != nil {
				t.Errorf("%s: %s leads nowhere", path, found[1])
			} else if fragment != "" && !slices.Contains(anchors(string(page)), fragment) {
				t.Errorf("%s: %s has no heading #%s", path, found[1], fragment)
			}
		}
	}
}

var (
	flagName     = regexp.MustCompile(`(?:^|[\s"'(|` + "`" + `])--([a-z][a-z-]+)`)
	variableName = regexp.MustCompile(`\b(?:OCORE_AUDIT_[A-Z_]+|(?:MIGRATE_)?DATABASE_URL)\b`)
)

// foreignFlags are those of other programs in the guides.
var foreignFlags = []string{"fail", "fail-with-body", "retry", "data-binary", "data-urlencode", "compressed", "format", "dbname", "help", "version", "keys"}

func TestSettingsInGuidesExist(t *testing.T) {
	t.Parallel()
	flags := slices.Clone(foreignFlags)
	variables := []string{"OCORE_AUDIT_POSTGRES_BIN"} // where PostgreSQL is found, which no flag says
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, of := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			of.VisitAll(func(f *pflag.Flag) {
				flags = append(flags, f.Name)
				variables = append(variables, variable(c, f.Name))
			})
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRoot(new(bool)))
	for path, text := range documents(t) {
		for _, found := range flagName.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(flags, found[1]) {
				t.Errorf("%s: there is no flag --%s", path, found[1])
			}
		}
		for _, found := range variableName.FindAllString(text, -1) {
			if !slices.Contains(variables, found) {
				t.Errorf("%s: there is no variable %s", path, found)
			}
		}
	}
}
