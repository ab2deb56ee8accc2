package proof_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/proof"
)

// Whichever bit of a file is another (some of them are tried), it is refused: but for the total of an export, which
// is no part of what is proven.
func TestNoBitCanBeAnother(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	files := vectors(t)
	keys := mustKeys(t, current.verifier(t, "acme"))
	for name, every := range map[string]int{"entry.json": 7, "consistency.json": 7, "export-filtered.json": 41, "export.json": 201} {
		original, tried := files[name], 0
		total := strings.Index(original, `"total":`)
		for bit := random.IntN(every); bit < 8*len(original); bit += every {
			at := bit / 8
			if total >= 0 && at >= total && at < total+len(`"total":21`) {
				continue
			}
			altered := []byte(original)
			altered[at] ^= 1 << (bit % 8)
			flipped := maps.Clone(files)
			flipped[name] = string(altered)
			tried++
			if proven, err := check(flipped, name, keys); err == nil {
				t.Fatalf("%s verifies with another bit %d at %d, %q for %q: %v", name, bit%8, at, altered[at], original[at], proven)
			}
		}
		t.Logf("%s: %d bits", name, tried)
	}
}

// FuzzEvidence: whatever is given is refused with an error of this package, or holds an
// entry that was recorded. Run it with `go test ./internal/proof -fuzz Evidence`.
func FuzzEvidence(f *testing.F) {
	tr := acme(f)
	keys := mustKeys(f, current.verifier(f, "acme"))
	for p := range tr.items {
		f.Add([]byte(tr.entryProof(p, 21)))
	}
	f.Add([]byte(tr.export(bundle{descending(20, 6), 21}, bundle{descending(5, 0), 21})))
	f.Add([]byte(tr.export(bundle{[]int{20, 18, 17, 11}, 21}, bundle{[]int{9, 3}, 13})))
	f.Add([]byte(tr.consistencyProof(13, 21)))
	older := []byte(tr.checkpoint(13))
	recorded := map[string]string{}
	for _, item := range tr.items {
		recorded[valueIn(item, "position")] = sorted(item)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		_, one := proof.VerifyEntry(file, keys)
		_, several := verifyExport(string(file), keys)
		_, grown := proof.VerifyCheckpoints(older, nil, file, keys)
		for _, err := range []error{one, several, grown} {
			var told *proof.Error
			if err != nil && !errors.As(err, &told) {
				t.Errorf("%v is no error of this package", err)
			}
		}
		for _, item := range shownIn(file, one == nil, several == nil) {
			if recorded[valueIn(item, "position")] != sorted(item) {
				t.Errorf("%s was never recorded", item)
			}
		}
	})
}

// shownIn are the entries of a file that verified.
func shownIn(file []byte, entry, export bool) []string {
	compact, err := audit.CompactObject(nil, file, audit.MaxDepth+4)
	if err != nil {
		return nil
	}
	text := string(compact)
	switch {
	case entry:
		return []string{valueIn(text, "entry")}
	case export:
		return itemsIn(valueIn(text, "items"))
	}
	return nil
}

// sorted are an entry's members in an order of their own: that of the file means nothing.
func sorted(item string) string {
	var found []string
	for _, m := range membersIn(item) {
		found = append(found, m.String())
	}
	slices.Sort(found)
	return strings.Join(found, ",")
}
