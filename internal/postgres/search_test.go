package postgres_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

func adminEntry(t testing.TB, action string, details any) audit.Admitted {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"action": action, "details": details})
	if err != nil {
		t.Fatal(err)
	}
	entry, err := audit.AdmitAdmin(raw)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

// find reads all positions that a search finds, and holds the count against them.
func find(t testing.TB, store *postgres.Store, span audit.Span, terms ...audit.Term) []int64 {
	t.Helper()
	found, err := store.Positions(t.Context(), audit.AdminOrganization, terms, span, 0, span.Size)
	if err != nil {
		t.Fatalf("%+v: %v", terms, err)
	}
	if count, err := store.Count(t.Context(), audit.AdminOrganization, terms, span); err != nil || count != int64(len(found)) {
		t.Fatalf("%+v: count %d, %v, of %d positions", terms, count, err, len(found))
	}
	return found
}

func search(text string) audit.Term {
	return audit.Term{Column: audit.BySearch, Value: audit.Fold(text)}
}

func TestSearchFindsActionKeysStringsAndNumbers(t *testing.T) {
	t.Parallel()
	store := testkit.NewStore(t, testkit.NewDatabase(t))
	mustAppend(t, store, audit.AdminOrganization,
		adminEntry(t, "plan.Changed", map[string]any{"reason": "50% off", "nested": map[string]any{"Key_One": []any{"Straße", 9007199254740993}}}),
		adminEntry(t, "org.deleted", map[string]any{"path": `C:\temp`, "note": "a_b"}),
		adminEntry(t, "org.restored", map[string]any{}))
	span := audit.Span{Size: 3, High: 3}
	for text, want := range map[string][]int64{
		"PLAN.CHANGED": {0}, "key_one": {0}, "keyxone": nil, "9007199254740993": {0}, "0% o": {0}, "0%off": nil, "STRASSE": nil, "straße": {0},
		"org.": {2, 1}, ".": {2, 1, 0}, "%": {0}, "_": {1, 0}, `\`: {1}, `:\t`: {1}, `:\te`: {1}, `:\\t`: nil, "a_b": {1}, "a.b": nil, "nowhere": nil,
	} {
		if found := find(t, store, span, search(text)); !slices.Equal(found, want) {
			t.Errorf("%q finds %v, want %v", text, found, want)
		}
	}
	if found := find(t, store, audit.Span{Size: 3, Low: 1, High: 2}, search("org")); !slices.Equal(found, []int64{1}) {
		t.Errorf("in a span: %v", found)
	}
}

func TestSearchIsStringsContains(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	random := rand.New(rand.NewPCG(7, 8))
	alphabet := []rune(`aAbBcC12 .-_%\'"*?[]()|^$+/` + "äÄßſKkσςΣ日本🦊İıi")
	text := func(longest int) string {
		letters := make([]rune, 1+random.IntN(longest))
		for i := range letters {
			letters[i] = alphabet[random.IntN(len(alphabet))]
		}
		return string(letters)
	}
	const size = 2000
	var folded []string
	var entries []audit.Admitted
	for i := range size {
		entries = append(entries, adminEntry(t, fmt.Sprint("action.", i%3), map[string]any{text(4): text(30), "n": i}))
		folded = append(folded, entries[i].SearchText)
	}
	mustAppend(t, store, audit.AdminOrganization, entries...)
	// As autovacuum would; without it the planner wouldn't look at the trigram index.
	mustExec(t, testkit.Connect(t, d.SuperuserURL), "VACUUM ANALYZE")
	whole := audit.Span{Size: size, High: size}
	for range 500 {
		terms := []audit.Term{search(text(5))}
		if random.IntN(2) == 0 { // what is there, rather than what might be
			letters := []rune(folded[random.IntN(size)])
			from := random.IntN(len(letters))
			terms[0].Value = string(letters[from:min(len(letters), from+1+random.IntN(8))])
		}
		if random.IntN(4) == 0 {
			terms = append(terms, audit.Term{Column: audit.ByAction, Value: "action.1"})
		}
		if random.IntN(8) == 0 {
			terms = append(terms, search(text(1))) // tried among positions
		}
		var want []int64
		for position := int64(size - 1); position >= 0; position-- {
			matches := true
			for _, term := range terms {
				if term.Column == audit.ByAction {
					matches = matches && position%3 == 1
				} else {
					matches = matches && strings.Contains(folded[position], term.Value)
				}
			}
			if matches {
				want = append(want, position)
			}
		}
		if found := find(t, store, whole, terms...); !slices.Equal(found, want) {
			t.Fatalf("%+v finds %d entries, want %d", terms, len(found), len(want))
		}
	}
}

func TestOrganizationsEntriesAreNotInTheAdminSearch(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	mustAppend(t, store, "acme", plain(t, "entry", 3)...)
	mustAppend(t, store, audit.AdminOrganization, adminEntry(t, "server.created", map[string]any{}))
	if n := scan[int](t, testkit.Connect(t, d.SuperuserURL), "SELECT count(*) FROM admin_search"); n != 1 {
		t.Errorf("%d rows", n)
	}
	checkTrail(t, d, audit.AdminOrganization)
}
