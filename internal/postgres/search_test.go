package postgres_test

import (
	"encoding/json"
	"fmt"
	"math"
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

// find reads all positions that a filter finds in the admin trail up to a size, and holds
// the total against them.
func find(t testing.TB, store *postgres.Store, size int64, f audit.Filter) []int64 {
	t.Helper()
	found, err := store.Find(t.Context(), audit.AdminOrganization, f, audit.Window{Size: size, Below: math.MaxInt64, Limit: size})
	if err != nil || found.Total != int64(len(found.Positions)) {
		t.Fatalf("%+v: total %d of %d positions, %v", f, found.Total, len(found.Positions), err)
	}
	return found.Positions
}

func TestSearchFindsActionKeysStringsAndNumbers(t *testing.T) {
	t.Parallel()
	store := testkit.NewStore(t, testkit.NewDatabase(t))
	mustAppend(t, store, audit.AdminOrganization,
		adminEntry(t, "plan.Changed", map[string]any{"reason": "50% off", "nested": map[string]any{"Key_One": []any{"Straße", 9007199254740993}}}),
		adminEntry(t, "org.deleted", map[string]any{"path": `C:\temp`, "note": "a_b"}),
		adminEntry(t, "org.restored", map[string]any{}))
	for text, want := range map[string][]int64{
		"PLAN.CHANGED": {0}, "key_one": {0}, "keyxone": nil, "9007199254740993": {0}, "0% o": {0}, "0%off": nil, "STRASSE": nil, "straße": {0},
		"org.": {2, 1}, ".": {2, 1, 0}, "%": {0}, "_": {1, 0}, `\`: {1}, `:\t`: {1}, `:\te`: {1}, `:\\t`: nil, "a_b": {1}, "a.b": nil, "nowhere": nil,
	} {
		if found := find(t, store, 3, audit.Filter{Search: text}); !slices.Equal(found, want) {
			t.Errorf("%q finds %v, want %v", text, found, want)
		}
	}
	if found := find(t, store, 2, audit.Filter{Search: "org"}); !slices.Equal(found, []int64{1}) {
		t.Errorf("in an earlier state: %v", found)
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
	for range 500 {
		f := audit.Filter{Search: text(5)}
		if random.IntN(2) == 0 { // what is there, rather than what might be
			letters := []rune(folded[random.IntN(size)])
			from := random.IntN(len(letters))
			f.Search = string(letters[from:min(len(letters), from+1+random.IntN(8))])
		}
		if random.IntN(4) == 0 {
			f.Action = "action.1"
		}
		state := int64(size)
		if random.IntN(3) == 0 {
			state = random.Int64N(size)
		}
		var want []int64
		for position := state - 1; position >= 0; position-- {
			if (f.Action == "" || position%3 == 1) && strings.Contains(folded[position], audit.Fold(f.Search)) {
				want = append(want, position)
			}
		}
		for range 2 { // the second time the total is remembered
			if found := find(t, store, state, f); !slices.Equal(found, want) {
				t.Fatalf("%+v finds %d entries, want %d", f, len(found), len(want))
			}
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
