package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/embedded"
)

const vectors = root + "/docs/vectors"

// vector copies one of the formats' vectors, with an edit, into a folder.
func vector(t *testing.T, dir, name string, edits ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(vectors, name))
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.NewReplacer(edits...).Replace(string(text))
	if len(edits) > 0 && edited == string(text) {
		t.Fatalf("%s: nothing is edited", name)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
}

// No service, database or network is there for any of these.
func TestVerifyTellsWhatFilesShow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"keys.txt", "keys-next.txt", "entry.json", "entry-rotated.json", "export.json", "checkpoint-13.txt", "checkpoint-21.txt", "consistency.json"} {
		vector(t, dir, name)
	}
	forged := filepath.Join(dir, "forged")
	if err := os.Mkdir(forged, 0o700); err != nil {
		t.Fatal(err)
	}
	vector(t, forged, "entry.json", "ada@acme.example", "eve@acme.example")
	vector(t, forged, "export.json", `"afterState":{"price":1.10}`, `"afterState":{"price":9.10}`)
	vector(t, forged, "consistency.json", `"hashes":["9VO`, `"hashes":["8VO`)
	vector(t, forged, "checkpoint-13.txt", "\n13\n", "\n12\n")
	altered := `{"type":"https://docs.ocore.dev/audit/problems/altered","title":"Altered","status":500,"detail":"position 11: another","requestId":"r","position":11}`
	for name, text := range map[string]string{"altered.json": altered, "internal.json": strings.Replace(altered, "problems/altered", "problems/internal", 1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const acme = "audit.ocore.dev/trails/acme+b592adfe+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
	for _, c := range []struct {
		arguments string
		code      int
		says      string
	}{
		{"entry entry.json --keys-file keys.txt", exitOK, "the entry e-11 stands at position 11 of the trail of acme"},
		{"entry entry.json --key " + acme, exitOK, "verified: entry.json"},
		{"entry altered.json --keys-file keys.txt", exitMismatch, "altered.json: NOT VERIFIED: position 11: the service gave no proof, and answered: position 11: another"},
		{"entry internal.json --keys-file keys.txt", exitFailed, "could not be checked"},
		{"entry entry-rotated.json --keys-file keys-next.txt", exitOK, "audit.ocore.dev/trails/acme+3683bf29 signed it"},
		{"export export.json --keys-file keys.txt", exitOK, "they are the whole trail as it was with 21 entries"},
		{"checkpoint checkpoint-13.txt checkpoint-21.txt --proof consistency.json --keys-file keys.txt", exitOK, "the first 13 entries of the trail of acme are the same"},
		{"checkpoint checkpoint-13.txt --proof consistency.json --keys-file keys.txt", exitOK, "of 21 entries"},
		{"checkpoint checkpoint-13.txt checkpoint-13.txt --keys-file keys.txt", exitOK, "both checkpoints are those of the same 13 entries"},

		{"entry forged/entry.json --keys-file keys.txt", exitMismatch, "forged/entry.json: NOT VERIFIED: position 11: this entry, as it stands here, is not in the trail of acme"},
		{"entry entry.json --keys-file keys-next.txt", exitMismatch, "signed by none of the given keys, only by audit.ocore.dev/trails/acme+b592adfe"},
		{"export forged/export.json --keys-file keys.txt", exitMismatch, "among the entries from position 6 to 20 at least one is not in the trail"},
		{"checkpoint checkpoint-13.txt checkpoint-21.txt --proof forged/consistency.json --keys-file keys.txt", exitMismatch, "is not the beginning of"},
		{"checkpoint forged/checkpoint-13.txt checkpoint-21.txt --proof consistency.json --keys-file keys.txt", exitMismatch, "signature"},
		{"checkpoint checkpoint-21.txt checkpoint-13.txt --keys-file keys.txt", exitMismatch, "the trail was cut or set back"},

		{"entry export.json --keys-file keys.txt", exitFailed, "export.json: could not be checked"},
		{"entry missing.json --keys-file keys.txt", exitFailed, "no such file"},
		{"export entry.json --keys-file keys.txt", exitFailed, "could not be checked"},
		{"export /dev/null --keys-file keys.txt", exitFailed, "must be a file"},
		{"entry /dev/zero --keys-file keys.txt", exitFailed, "larger than 8 MiB"},
		{"checkpoint checkpoint-13.txt /dev/zero --keys-file keys.txt", exitFailed, "larger than 8 MiB"},
		{"entry entry.json --keys-file /dev/zero", exitUsage, "larger than 8 MiB"},
		{"entry . --keys-file keys.txt", exitFailed, "is a directory"},
		{"trail --service http://127.0.0.1:1 --token t --keys-file keys.txt --checkpoint missing.txt", exitUsage, "--checkpoint"},
		{"trail --service http://127.0.0.1:1 --token t --keys-file keys.txt --checkpoint entry.json", exitFailed, "entry.json: could not be checked"},
		{"trail --service http://127.0.0.1:1 --token t --keys-file keys-next.txt --checkpoint checkpoint-13.txt", exitMismatch, "checkpoint-13.txt: NOT VERIFIED"},
		{"trail --service http://127.0.0.1:1 --token t --keys-file keys.txt --deep", exitUsage, "are of databases"},
		{"trail --service http://127.0.0.1:1 --token t --keys-file keys.txt --checkpoint-dir .", exitUsage, "are of databases"},
		{"trail --service http://127.0.0.1:1 --token t --keys-file keys.txt --organization _admin", exitUsage, "ocore-audit mirror"},
		{"trail --service http://127.0.0.1:1 --token t", exitUsage, "give the keys that you trust"},
		{"checkpoint checkpoint-13.txt checkpoint-21.txt --keys-file keys.txt", exitFailed, "need a consistency proof"},

		{"entry entry.json", exitUsage, "give the keys that you trust"},
		{"export export.json --keys-file checkpoint-13.txt", exitUsage, "is no verifier key"},
		{"entry entry.json --keys-file missing.txt", exitUsage, "--keys-file"},
		{"entry entry.json --key nonsense", exitUsage, "is no verifier key"},
		{"checkpoint checkpoint-13.txt --keys-file keys.txt", exitUsage, "--proof"},
		{"entry --keys-file keys.txt", exitUsage, "arg(s)"},
		{"nothing", exitUsage, "unknown command"},
		{"", exitUsage, "say what to verify"},
	} {
		out, code := try(t, dir, append([]string{"verify"}, strings.Fields(c.arguments)...)...)
		if code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("verify %s exits with %d: %s, want %d and %q", c.arguments, code, out, c.code, c.says)
		}
	}
}

func TestVerifyTellsItAsJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	vector(t, dir, "keys.txt")
	vector(t, dir, "export.json")
	vector(t, dir, "entry.json", `"ipAddress":"192.0.2.14",`, "")
	type verdict struct {
		Verified, Mismatch bool
		Proven, NotProven  []string
		Position           *int64
		Error              string
		Result             struct{ Items, RunCount int }
	}
	read := func(code int, arguments ...string) (v verdict) {
		t.Helper()
		c := command(t.Context(), dir, append([]string{"verify", "--json", "--keys-file", "keys.txt"}, arguments...)...)
		out, _ := c.Output()
		if err := json.Unmarshal(out, &v); err != nil || c.ProcessState.ExitCode() != code {
			t.Fatalf("%v exits with %d: %s", arguments, c.ProcessState.ExitCode(), out)
		}
		return v
	}
	if v := read(exitOK, "export", "export.json"); !v.Verified || v.Result.Items != 21 || v.Result.RunCount != 1 || len(v.Proven) == 0 || len(v.NotProven) == 0 {
		t.Errorf("%+v", v)
	}
	if v := read(exitMismatch, "entry", "entry.json"); v.Verified || !v.Mismatch || v.Position == nil || *v.Position != 11 || !strings.Contains(v.Error, "ipAddress") {
		t.Errorf("%+v", v)
	}
	if v := read(exitFailed, "entry", "export.json"); v.Verified || v.Mismatch || v.Position != nil || v.Error == "" {
		t.Errorf("%+v", v)
	}
}

func TestEvidenceComesFromStandardInputToo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	vector(t, dir, "keys.txt")
	vector(t, dir, "entry.json")
	stdin, err := os.Open(filepath.Join(dir, "entry.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	c := command(t.Context(), dir, "verify", "entry", "-", "--keys-file", "keys.txt")
	c.Stdin = stdin
	if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "position 11") {
		t.Errorf("%v: %s", err, out)
	}
}

// The whole of what a tired operator does: the trail against the running service and against
// the database, before and after somebody changed an entry.
func TestVerifyATrailOfAServiceAndItsDatabase(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, dir)
	token := strings.TrimSpace(output(t, dir, "token"))
	entries := make([]string, 300)
	for n := range entries {
		entries[n] = fmt.Sprintf(`{"id":"order-%d","action":"server.created","resourceType":"server","afterState":{"price":1.10}}`, n)
	}
	s.post(t, token, "/api/audit-logs/batch", `{"items":[`+strings.Join(entries, ",")+`]}`)
	run := func(code int, says string, arguments ...string) {
		t.Helper()
		if out, got := try(t, dir, arguments...); got != code || !strings.Contains(out, says) {
			t.Errorf("%v exits with %d: %s, want %d and %q", arguments, got, out, code, says)
		}
	}
	_, checkpoint := s.get(t, token, "/tlog/acme/checkpoint")
	if err := os.WriteFile(filepath.Join(dir, "old.txt"), checkpoint, 0o600); err != nil {
		t.Fatal(err)
	}
	service := []string{"verify", "trail", "--service", s.url, "--checkpoint", "old.txt"}
	run(exitOK, "its first 300 entries are signed", "verify", "trail", "--deep")
	run(exitFailed, "globex: could not be checked: the database has no such trail", "verify", "trail", "--organization", "globex")
	run(exitOK, "acme: 300 entries, root ", "mirror", "--url", s.url, "tree")
	run(exitOK, "its signature was not checked", "mirror", "--url", s.url, "tree")
	run(exitOK, "_admin: 1 entries", "mirror", "--url", s.url, "--organization", "_admin", "admin-tree")
	run(exitMismatch, "tree mirrors audit.ocore.dev/trails/acme, not", "mirror", "--url", s.url, "--organization", "_admin", "tree")

	server, err := embedded.Attach(filepath.Join(dir, ".data", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), server.SuperuserURL("ocore_audit"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `UPDATE entries SET entry = replace(entry, '1.10', '0.10') WHERE entry LIKE '%order-42"%'`); err != nil {
		t.Fatal(err)
	}
	run(exitMismatch, "position 42: the stored leaf hash is not that of the stored entry", "verify", "trail", "--deep")
	run(exitMismatch, "position 42: this entry, as it stands here, is not in the trail", service...)
	run(exitFailed, "no such file", "export", "--url", s.url, "--with-proof", "--output", "nowhere/trail.json")
}
