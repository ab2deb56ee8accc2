package postgres_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

var everyColumn = []audit.Column{audit.ByAction, audit.ByResourceType, audit.ByResourceID, audit.ByUserID}

func valueOf(d audit.Draft, c audit.Column) string {
	return [...]string{audit.ByAction: d.Action, audit.ByResourceType: d.ResourceType, audit.ByResourceID: d.ResourceID, audit.ByUserID: d.UserID}[c]
}

// Whatever has postings and whatever has none, histograms, spans, facets and values are those
// that are found by looking at every entry.
func TestOverviewsEqualANaiveModel(t *testing.T) {
	t.Parallel()
	for name, postFrom := range map[string]int64{"nothing is built": 0, "values become frequent late": 6000, "all values are frequent": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := testkit.NewDatabase(t)
			store := testkit.NewStore(t, d)
			m := modelTrail(t, d, store, 40_000)
			if postFrom > 0 {
				mustBuild(t, d, postFrom)
			}
			random := rand.New(rand.NewPCG(6, 7))
			for range 100 {
				compareCounts(t, store, m, random)
				compareMatching(t, store, m, random)
				compareFacets(t, store, m, random)
			}
			compareValues(t, store, m)
		})
	}
}

func compareCounts(t *testing.T, store *postgres.Store, m model, random *rand.Rand) {
	t.Helper()
	f, size := randomFilter(random, m), 1+random.Int64N(int64(len(m.drafts)))
	moment := func() time.Time {
		return m.times[random.IntN(len(m.times))].Add(time.Duration(random.IntN(5)-2) * time.Microsecond)
	}
	if random.IntN(2) == 0 {
		f.From = moment()
	}
	if random.IntN(2) == 0 {
		f.To = moment()
	}
	starts := make([]time.Time, 1+random.IntN(30))
	for i := range starts {
		starts[i] = moment()
	}
	slices.SortFunc(starts, time.Time.Compare)
	starts = slices.CompactFunc(starts, time.Time.Equal)
	if f.From.IsZero() || random.IntN(2) == 0 {
		starts[0] = m.times[0]
	}
	want := make([]int64, len(starts))
	for _, position := range m.positions(f, m.span(f, size)) {
		for i, start := range slices.Backward(starts) {
			if i == 0 || !m.times[position].Before(start) {
				want[i]++
				break
			}
		}
	}
	got, err := store.Counts(t.Context(), "acme", f, size, starts)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%+v of %d from %v:\n%v, %v, want\n%v", f, size, starts, got, err, want)
	}
}

func compareMatching(t *testing.T, store *postgres.Store, m model, random *rand.Rand) {
	t.Helper()
	f := randomFilter(random, m)
	span := audit.Span{High: 1 + random.Int64N(int64(len(m.drafts)))}
	span.Low = max(0, span.High-random.Int64N(30_000))
	got, err := store.Matching(t.Context(), "acme", f, span)
	if want := m.positions(f, span); err != nil || !slices.Equal(got, want) {
		t.Fatalf("%+v in %+v: %d positions, %v, want %d", f, span, len(got), err, len(want))
	}
}

func compareFacets(t *testing.T, store *postgres.Store, m model, random *rand.Rand) {
	t.Helper()
	f, column := randomFilter(random, m), everyColumn[random.IntN(4)]
	positions := m.positions(f, audit.Span{High: int64(len(m.drafts))})
	positions = positions[:min(len(positions), audit.MaxFacetEntries)]
	counted := map[string]int64{}
	for _, position := range positions {
		if value := valueOf(m.drafts[position], column); value != "" {
			counted[value]++
		}
	}
	var want []audit.ValueCount
	for value, count := range counted {
		want = append(want, audit.ValueCount{Value: value, Count: count})
	}
	slices.SortFunc(want, func(a, b audit.ValueCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Value, b.Value))
	})
	want = want[:min(len(want), audit.MaxFacets)]
	got, distinct, err := store.CountValues(t.Context(), "acme", column, positions, audit.MaxFacets)
	if err != nil || !slices.Equal(got, want) || distinct != int64(len(counted)) {
		t.Fatalf("%+v, column %d: %v of %d, %v; want %v of %d", f, column, got, distinct, err, want, len(counted))
	}
}

func compareValues(t *testing.T, store *postgres.Store, m model) {
	t.Helper()
	for _, column := range everyColumn {
		var all []string
		for _, d := range m.drafts {
			all = append(all, valueOf(d, column))
		}
		slices.Sort(all)
		all = slices.DeleteFunc(slices.Compact(all), func(value string) bool { return value == "" })
		prefixes := []string{"", "a", "action.", "action.3", "action.9", "resource-1", "user ", "user 1", "type-2", "\x01", "ü", "\U0010FFFF", "zzz", "action.1x", "%", "user \\"}
		for _, prefix := range append(prefixes, all[len(all)-1], all[0]) {
			var want []string
			for _, value := range all {
				if strings.HasPrefix(value, prefix) && len(want) < audit.MaxValues {
					want = append(want, value)
				}
			}
			got, err := store.Values(t.Context(), "acme", column, prefix, audit.MaxValues)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("column %d from %q: %q, %v, want %q", column, prefix, got, err, want)
			}
		}
	}
	if got, err := store.Values(t.Context(), "nobody", audit.ByAction, "", 20); err != nil || len(got) != 0 {
		t.Errorf("values of nobody's: %q, %v", got, err)
	}
}

func TestExtent(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	if got, err := store.Extent(t.Context(), "acme"); err != nil || got != (audit.Extent{}) {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
	receipts := mustAppend(t, store, "acme", plain(t, "one", 1)...)
	for i := range 3 {
		receipts = append(receipts, mustAppend(t, store, "acme", plain(t, fmt.Sprint(i), 2)...)...)
	}
	first, last := receipts[0].Row.CreatedAt, receipts[len(receipts)-1].Row.CreatedAt
	got, err := store.Extent(t.Context(), "acme")
	if err != nil || got.Size != 7 || !got.First.Equal(first) || !got.Last.Equal(last) {
		t.Errorf("%+v, %v, want 7 from %v to %v", got, err, first, last)
	}
	if size, err := store.Size(t.Context(), "acme"); err != nil || size != 7 {
		t.Errorf("size %d, %v", size, err)
	}
}
