package proof_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ocore.dev/audit/internal/proof"
)

// The vectors are made here, from keys and salts that everybody can make again, and are
// what docs/format.md shows to people who write a verifier of their own.

var update = flag.Bool("update", false, "write docs/vectors anew")

const folder = "../../docs/vectors"

// vectors are the files, by name.
func vectors(t *testing.T) map[string]string {
	t.Helper()
	tr, adm := acme(t), admin(t)
	files := map[string]string{
		"keys.txt":             current.verifier(t, "acme") + "\n" + current.verifier(t, "_admin") + "\n",
		"keys-next.txt":        "# the key that follows\n" + next.verifier(t, "acme") + "\n",
		"entry.json":           tr.entryProof(11, 21),
		"entry-first.json":     tr.entryProof(0, 1),
		"entry-admin.json":     adm.entryProof(1, 3),
		"entry-rotated.json":   tr.entryProof(20, 21, current, next),
		"export.json":          tr.export(bundle{descending(20, 6), 21}, bundle{descending(5, 0), 21}),
		"export-filtered.json": tr.export(bundle{[]int{20, 18, 17, 11}, 21}, bundle{[]int{9, 3}, 13}),
		"checkpoint-13.txt":    tr.checkpoint(13),
		"checkpoint-21.txt":    tr.checkpoint(21, current, next),
		"consistency.json":     tr.consistencyProof(13, 21),
		"leaves.json":          leaves(t, tr, adm),
		"roots.json":           roots(tr),
	}
	files["alterations.json"] = alterationsJSON(t, alterations(t, files))
	return files
}

// leaves shows each entry with its salts, its leaf and its leaf hash.
func leaves(t *testing.T, trails ...*trail) string {
	t.Helper()
	var lines []string
	for _, tr := range trails {
		for i, item := range tr.items {
			lines = append(lines, fmt.Sprintf(`  {"organization":%s,"entry":%s,"salts":%s,"leaf":%s,"hash":%s}`, quote(tr.organization), item,
				tr.salts[i], quote(string(tr.leaves[i])), quote(base64.StdEncoding.EncodeToString(tr.hashes[i]))))
		}
	}
	return "[\n" + strings.Join(lines, ",\n") + "\n]\n"
}

// roots are those of the first trail's tree of each size.
func roots(tr *trail) string {
	var all [][]byte
	for size := range len(tr.hashes) + 1 {
		all = append(all, root(tr.hashes[:size]))
	}
	return strings.ReplaceAll(quoteAll(all), ",", ",\n ") + "\n"
}

func TestVectorsAreWhatTheCodeMakes(t *testing.T) {
	t.Parallel()
	made := vectors(t)
	if *update {
		for name, text := range made {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	stored, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(stored) != len(made) {
		t.Errorf("%d files are stored, %d are made (%v)", len(stored), len(made), err)
	}
	for name, text := range made {
		found, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || string(found) != text {
			t.Errorf("%s is another (%v): what was given out must verify for ever; if it is new, run with -update", name, err)
		}
	}
}

// check verifies a vector by its name, with the files that belong to it.
func check(files map[string]string, name string, keys proof.Keys) (proven []string, err error) {
	switch kind, _, _ := strings.Cut(strings.TrimSuffix(name, filepath.Ext(name)), "-"); kind {
	case "entry":
		entry, err := proof.VerifyEntry([]byte(files[name]), keys)
		return said(entry, err)
	case "export":
		export, err := verifyExport(files[name], keys)
		return said(export, err)
	case "checkpoint", "consistency":
		growth, err := proof.VerifyCheckpoints([]byte(files["checkpoint-13.txt"]), []byte(files["checkpoint-21.txt"]), []byte(files["consistency.json"]), keys)
		return said(growth, err)
	}
	return nil, errors.New("no vector that can be verified")
}

func said(result interface{ Proven() []string }, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	return result.Proven(), nil
}

func TestVectorsVerify(t *testing.T) {
	t.Parallel()
	files := vectors(t)
	keys, err := proof.ParseKeys(proof.KeyLines(files["keys.txt"]))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"entry.json":           "the entry e-11 stands at position 11 of the trail of acme, ",
		"entry-first.json":     "the entry e-0 stands at position 0 of the trail of acme, ",
		"entry-admin.json":     "the entry a-1 stands at position 1 of the trail of _admin, ",
		"entry-rotated.json":   "the trail had 21 entries when audit.ocore.dev/trails/acme+",
		"export.json":          "nothing is missing: they are the whole trail as it was with 21 entries",
		"export-filtered.json": "they form 5 unbroken runs of positions; within a run nothing is missing",
		"consistency.json":     "the first 13 entries of the trail of acme are the same in both checkpoints",
	} {
		proven, err := check(files, name, keys)
		if err != nil || !strings.Contains(strings.Join(proven, "\n"), want) {
			t.Errorf("%s: %q, %v, want %q", name, proven, err, want)
		}
	}
}

func TestWhiteSpaceBetweenTokensMeansNothing(t *testing.T) {
	t.Parallel()
	files := vectors(t)
	keys := mustKeys(t, current.verifier(t, "acme"))
	for _, name := range []string{"entry.json", "export.json", "export-filtered.json", "consistency.json"} {
		var indented bytes.Buffer
		if err := json.Indent(&indented, []byte(files[name]), "\t", "  "); err != nil {
			t.Fatal(err)
		}
		altered := map[string]string{}
		for other, text := range files {
			altered[other] = text
		}
		altered[name] = strings.ReplaceAll(indented.String(), `": `, `" : `) + "\n\n"
		if _, err := check(altered, name, keys); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// During a rotation both keys sign, so that either is enough.
func TestEitherKeyOpensACheckpointOfARotation(t *testing.T) {
	t.Parallel()
	files := vectors(t)
	before, after := current.verifier(t, "acme"), next.verifier(t, "acme")
	for _, c := range []struct {
		keys []string
		of   string
		want int
	}{
		{[]string{before}, "entry-rotated.json", 1},
		{[]string{after}, "entry-rotated.json", 1},
		{[]string{before, after}, "entry-rotated.json", 2},
		{[]string{after, after, before, after}, "entry-rotated.json", 2},
		{[]string{before}, "entry.json", 1},
		{[]string{after}, "entry.json", 0},
		{nil, "entry.json", 0},
		{[]string{current.verifier(t, "globex")}, "entry.json", 0},
	} {
		entry, err := proof.VerifyEntry([]byte(files[c.of]), mustKeys(t, c.keys...))
		if len(entry.Signed.Keys) != c.want || (err == nil) != (c.want > 0) || err != nil && !errors.Is(err, proof.ErrMismatch) {
			t.Errorf("%s with %v: %v, %v", c.of, c.keys, entry.Signed.Keys, err)
		}
	}
}

// Of a size that isn't the newest, a consistency proof has no checkpoint of its own.
func TestAConsistencyProofMayLackItsCheckpoint(t *testing.T) {
	t.Parallel()
	files := vectors(t)
	keys := mustKeys(t, current.verifier(t, "acme"))
	bare := []byte(strings.Replace(files["consistency.json"], `,"checkpoint":`+valueIn(files["consistency.json"], "checkpoint"), "", 1))
	older, newer := []byte(files["checkpoint-13.txt"]), []byte(files["checkpoint-21.txt"])
	if growth, err := proof.VerifyCheckpoints(older, newer, bare, keys); err != nil || growth.To.Size != 21 {
		t.Errorf("%v, %v", growth, err)
	}
	if growth, err := proof.VerifyCheckpoints(older, nil, bare, keys); !errors.Is(err, proof.ErrMalformed) {
		t.Errorf("without a newer checkpoint: %v, %v", growth, err)
	}
	if growth, err := proof.VerifyCheckpoints(older, older, bare, keys); !errors.Is(err, proof.ErrMismatch) {
		t.Errorf("of another size: %v, %v", growth, err)
	}
}

// The page shows what the vectors are, so that nobody finds out from a mismatch.
func TestThePageShowsTheVectors(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	tr, files := acme(t), vectors(t)
	text, err := strconv.Unquote(valueIn(files["entry.json"], "proof"))
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{
		tr.items[5], "`" + tr.salts[5] + "`", string(tr.leaves[5]), base64.StdEncoding.EncodeToString(tr.hashes[5]),
		tr.checkpoint(21, current, next), text, current.verifier(t, "acme"), "`" + base64.StdEncoding.EncodeToString(root(nil)) + "`",
	}
	for name := range files {
		shown = append(shown, "`"+name+"`")
	}
	for _, what := range shown {
		if !strings.Contains(string(page), what) {
			t.Errorf("docs/format.md doesn't show %s", what)
		}
	}
}
