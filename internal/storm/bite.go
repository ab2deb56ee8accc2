package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bite shows that each check of the oracle catches what it is for: rows that a superuser
// changed, answers that somebody changed on their way, and builds of the service that are
// broken on purpose, in a copy of its source.
func bite(ctx context.Context, o options) error {
	o.load = max(o.load, time.Second)
	var found bites
	var missed []error
	if o.of == "" || o.of == "rows" {
		missed = append(missed, found.rows(ctx, o))
	}
	missed = append(missed, found.builds(ctx, o))
	all, err := readResults(o)
	if err != nil {
		return errors.Join(append(missed, err)...)
	}
	for _, f := range found {
		all.Bites = append(slices.DeleteFunc(all.Bites, func(b bitten) bool { return b.What == f.What }), f)
	}
	if o.resume {
		missed = append(missed, all.write(o))
	}
	return errors.Join(missed...)
}

// bites are what was broken, and the checks that found it.
type bites []bitten

type bitten struct {
	What   string   `json:"what"`
	Checks []string `json:"checks"`
	Rounds int      `json:"rounds,omitempty"` // until a broken build was caught
}

// checks are the names that findings begin with.
var checks = []string{
	"lost", "invented", "once", "content", "order", "dense", "time", "root", "tiles", "checkpoints", "published", "verify",
	"totals", "pages", "singles", "walk", "export", "read your write", "refused", "signing",
}

// note holds that what was broken was found by one of some checks, at least.
func (b *bites) note(what string, rounds int, found error, by ...string) error {
	bite := bitten{What: what, Rounds: rounds}
	for _, check := range checks {
		if found != nil && strings.Contains("\n"+found.Error(), "\n"+check+": ") {
			bite.Checks = append(bite.Checks, check)
		}
	}
	if !slices.ContainsFunc(by, func(check string) bool { return slices.Contains(bite.Checks, check) }) {
		return fmt.Errorf("%s is not found by %s, which says %w", what, strings.Join(by, " or "), found)
	}
	*b = append(*b, bite)
	fmt.Printf("%-48s found by %s\n", what, strings.Join(bite.Checks, ", "))
	return nil
}

// tampering is a change of the first trail, $1, and the check that has to find it.
type tampering struct{ what, check, statement string }

const newest = "(SELECT max(position) FROM entries WHERE organization = $1)"

var tamperings = []tampering{
	{"an entry deleted", "lost", "DELETE FROM entries WHERE organization = $1 AND position = " + newest},
	{"an entry that nobody sent", "invented", `INSERT INTO entries SELECT organization, position + 1, created_at, action, resource_type, resource_id, user_id,
		regexp_replace(entry, '"id":"[^"]*"', '"id":"made-up"'), salts, leaf_hash FROM entries WHERE organization = $1 AND position = ` + newest},
	{"an id that two entries have", "once", `INSERT INTO entries SELECT organization, position + 1, created_at, action, resource_type, resource_id, user_id, entry, salts, leaf_hash
		FROM entries WHERE organization = $1 AND position = ` + newest},
	{"an id that leads elsewhere", "once", "UPDATE entry_ids SET position = position + 1 WHERE organization = $1 AND position = 3"},
	{"a letter changed", "content", "UPDATE entries SET entry = replace(entry, 'Žofie', 'Zofie') WHERE organization = $1 AND position = 3"},
	{"a number written otherwise", "content", `UPDATE entries SET entry = replace(entry, '1E+2', '100') WHERE organization = $1`},
	{"a column that isn't the entry's", "content", "UPDATE entries SET action = 'other' WHERE organization = $1 AND position = 3"},
	{"a gap", "dense", "UPDATE entries SET position = position + 1 WHERE organization = $1 AND position = " + newest},
	{"a time that runs back", "time", "UPDATE entries SET created_at = created_at + interval '1 hour' WHERE organization = $1 AND position = 3"},
	{"a leaf's hash", "root", "UPDATE entries SET leaf_hash = sha256('x') WHERE organization = $1 AND position = 3"},
	{"the head's root", "root", "UPDATE heads SET root = sha256('x') WHERE organization = $1"},
	{"the head's frontier", "root", "UPDATE heads SET frontier = overlay(frontier PLACING '\\x00000000' FROM 1) WHERE organization = $1"},
	{"a tile", "tiles", "UPDATE tiles SET hashes = overlay(hashes PLACING '\\x00000000' FROM 9) WHERE organization = $1 AND level = 0 AND index = 0"},
	{"a tile deleted", "tiles", "DELETE FROM tiles WHERE organization = $1 AND level = 0 AND index = 0"},
	{"a signature over another root", "checkpoints", "UPDATE checkpoints SET root = sha256('x') WHERE organization = $1 AND number = 0"},
	{"the newest checkpoint deleted", "checkpoints", "DELETE FROM checkpoints WHERE organization = $1 AND number = (SELECT max(number) FROM checkpoints WHERE organization = $1)"},
}

// lie changes an answer on its way, and the check that has to find it.
type lie struct {
	what, check string
	tell        func(path string, body []byte) []byte
}

var total = regexp.MustCompile(`"total":(\d+)`)

var lies = []lie{
	{"a total that is one too high", "totals", func(_ string, body []byte) []byte {
		return total.ReplaceAllFunc(body, func(text []byte) []byte {
			n, _ := strconv.Atoi(string(text[len(`"total":`):]))
			return fmt.Appendf(nil, `"total":%d`, n+1)
		})
	}},
	{"a page without its first entry", "pages", func(path string, body []byte) []byte {
		if !strings.Contains(path, "per_page=1000") {
			return body
		}
		if first := bytes.Index(body, []byte(`},{"id"`)); first > 0 {
			return append([]byte(`{"items":[`), body[first+2:]...)
		}
		return body
	}},
	{"an entry that can't be found", "singles", func(path string, body []byte) []byte {
		if strings.Contains(path, "/entries/") {
			return []byte("null")
		}
		return body
	}},
}

// liar is a transport that lies.
type liar struct{ lie lie }

func (l liar) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(l.lie.tell(request.URL.String(), body)))
	return response, nil
}

// rows loads a trail, and then changes it, one thing after the other.
func (b *bites) rows(ctx context.Context, o options) (err error) {
	r, err := newRig(ctx, o, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close(err == nil)) }()
	r.beginTrails()
	random := rand.New(rand.NewPCG(o.seed, 0))
	quiet := fault{name: "none", make: func(context.Context, *rig, *load, *rand.Rand) error { return nil }}
	if _, err := r.round(ctx, quiet, random); err != nil {
		return fmt.Errorf("a round without a fault: %w", err)
	}
	time.Sleep(1500 * time.Millisecond) // all of it is signed
	tables := []string{"entries", "entry_ids", "heads", "tiles", "checkpoints"}
	keep := []string{
		"ALTER ROLE " + own.Worker + " NOLOGIN", // nobody signs what is changed
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + own.Worker + "'",
	}
	var restore []string
	for _, table := range tables {
		keep = append(keep, "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
		restore = append(restore, "DELETE FROM "+table, "INSERT INTO "+table+" SELECT * FROM kept_"+table)
	}
	if err := r.sql(ctx, keep...); err != nil {
		return err
	}
	var missed []error
	for _, t := range tamperings {
		if err := r.sql(ctx, strings.ReplaceAll(t.statement, "$1", "'"+r.trails[0]+"'")); err != nil {
			return err
		}
		missed = append(missed, b.note(t.what, 0, r.judge(ctx, random, r.trails[0]), t.check))
		if err := r.sql(ctx, restore...); err != nil {
			return err
		}
	}
	for _, l := range lies {
		r.asked = &http.Client{Transport: liar{l}}
		missed = append(missed, b.note(l.what, 0, r.judge(ctx, random, r.trails[0]), l.check))
		r.asked = nil
	}
	if err := r.judge(ctx, random, r.trails...); err != nil {
		missed = append(missed, fmt.Errorf("there are findings after everything was put back: %w", err))
	}
	return errors.Join(missed...)
}

// breakage is a service, or a client package, that is broken on purpose.
type breakage struct {
	what    string
	checks  []string
	fault   string
	client  bool // what is broken is the client package, in applications that emit
	patches []patch
}

type patch struct{ file, old, new string }

const answers = `	for _, g := range grown {
		for i, r := range g.requests {
			r.answer(g.outcomes[i])
		}
	}
`

var breakages = []breakage{
	{
		"a service that acknowledges before the commit",
		[]string{"lost", "read your write"},
		"kill-service", false,
		[]patch{
			{"internal/postgres/commit.go", answers, ""},
			{"internal/postgres/commit.go", "	if len(write.reads) == 0 {\n", answers + "	if len(write.reads) == 0 {\n"},
			{"internal/postgres/batcher.go", "	r.leave()\n	r.outcome <- o\n", "	if _, twice := answered.LoadOrStore(r, true); twice {\n		return\n	}\n	r.leave()\n	r.outcome <- o\n"},
			{"internal/postgres/batcher.go", "type outcome struct {", "var answered sync.Map\n\ntype outcome struct {"},
		},
	},
	{
		"a service that takes positions from a sequence",
		[]string{"dense"},
		"kill-backend", false,
		[]patch{
			{"internal/postgres/growth.go", "audit.Row{Position: g.tree.Size(),", "audit.Row{Position: nextval(g.organization, g.tree.Size()),"},
			{"internal/postgres/growth.go", "import (\n", "import (\n	\"sync\"\n"},
			{"internal/postgres/growth.go", "// fault marks", `var (
	sequences = map[string]int64{}
	sequence  sync.Mutex
)

func nextval(organization string, least int64) int64 {
	sequence.Lock()
	defer sequence.Unlock()
	value := max(sequences[organization], least)
	sequences[organization] = value + 1
	return value
}

// fault marks`},
		},
	},
	{
		"a service whose ids aren't unique",
		[]string{"once"},
		"parallel-retries", false,
		[]patch{
			{"internal/postgres/growth.go", "range known {", "range known[:0] {"},
			{"gen/db/batch.go", "SELECT $1::text, unnest($2::text[]), unnest($3::bigint[])\n`", "SELECT $1::text, unnest($2::text[]), unnest($3::bigint[]) ON CONFLICT DO NOTHING\n`"},
		},
	},
	{
		"a service in which an id takes a second content",
		[]string{"content"},
		"parallel-retries", false,
		[]patch{{"internal/postgres/growth.go", "if !e.SameAs(stored.Row) {", "if false && !e.SameAs(stored.Row) {"}},
	},
	{
		"a service whose exports end cleanly on an error",
		[]string{"export"},
		"cut-steps", false,
		[]patch{
			{"internal/httpapi/export.go", "		if err != nil {\n			return err\n		}\n		rows, buffer", "		if err != nil {\n			break\n		}\n		rows, buffer"},
			{"internal/audit/export.go", "chunkEntries = 1024", "chunkEntries = 16"}, // so that faults often fall into one
		},
	},
	{
		"a spool that takes what it has sent for stored",
		[]string{"lost"},
		"kill-emitter", true,
		[]patch{{
			"gen/client/trail/spool.go",
			"		if err := s.client.Deliver(ctx, entries, func(i int, p *Problem) error { return s.refuse(entries[i], p) }); err != nil {\n			return err\n		}\n",
			"		_ = s.client.Deliver(ctx, entries, func(i int, p *Problem) error { return s.refuse(entries[i], p) })\n",
		}},
	},
	{
		"an outbox that takes what it has sent for stored",
		[]string{"lost"},
		"kill-emitter", true,
		[]patch{{"gen/client/outbox/outbox.go", "		if err != nil {\n			return err\n		}\n		sent = len(contents)\n", "		sent = len(contents)\n"}},
	},
}

// builds runs each broken service until it is caught.
func (b *bites) builds(ctx context.Context, o options) error {
	var missed []error
	for _, broken := range breakages {
		if !strings.Contains(broken.what, o.of) {
			continue
		}
		rounds, found, err := broken.run(ctx, o)
		if err != nil {
			missed = append(missed, fmt.Errorf("%s: %w", broken.what, err))
			continue
		}
		missed = append(missed, b.note(broken.what, rounds, found, broken.checks...))
	}
	return errors.Join(missed...)
}

// enough rounds must catch a broken service.
const enough = 12

func (b breakage) run(ctx context.Context, o options) (rounds int, found, failed error) {
	dir, err := os.MkdirTemp("", "ocore-audit-broken-")
	if err != nil {
		return 0, nil, err
	}
	defer os.RemoveAll(dir)
	into, program := &o.binary, "./cmd/ocore-audit"
	if b.client {
		into, program = &o.emitter, "./internal/storm"
	}
	if *into, err = b.build(ctx, dir, program); err != nil {
		return 0, nil, err
	}
	r, err := newRig(ctx, o, false)
	if err != nil {
		return 0, nil, err
	}
	defer func() { failed = errors.Join(failed, r.close(true)) }()
	r.beginTrails()
	faults, err := choose(b.fault)
	if err != nil {
		return 0, nil, err
	}
	for n := range enough {
		if _, found := r.round(ctx, faults[0], rand.New(rand.NewPCG(o.seed, uint64(n)))); found != nil {
			return n + 1, found, nil
		}
	}
	return enough, nil, nil
}

// build patches a copy of the source and builds it.
func (b breakage) build(ctx context.Context, dir, program string) (string, error) {
	source := filepath.Join(dir, "source")
	for _, part := range []string{"cmd", "docs", "gen", "internal", "sql", "go.mod", "go.sum"} {
		if err := copyTree(part, filepath.Join(source, part)); err != nil {
			return "", err
		}
	}
	for _, p := range b.patches {
		name := filepath.Join(source, p.file)
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		if strings.Count(string(text), p.old) != 1 {
			return "", fmt.Errorf("%s has changed: the patch must follow it: %q", p.file, p.old)
		}
		if err := os.WriteFile(name, []byte(strings.Replace(string(text), p.old, p.new, 1)), 0o600); err != nil {
			return "", err
		}
	}
	binary := filepath.Join(dir, "broken")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, program)
	build.Dir = source
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w: %s", err, said)
	}
	return binary, nil
}

// copyTree leaves out what isn't source: links and other tools' packages.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		switch {
		case entry.IsDir() && entry.Name() == "node_modules":
			return filepath.SkipDir
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o600)
	})
}
