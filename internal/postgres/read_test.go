package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

// model is what a trail holds, and how naively it can be read.
type model struct {
	drafts []audit.Draft
	times  []time.Time
}

func (m model) matches(position int64, f audit.Filter) bool {
	d := m.drafts[position]
	values := [...]string{audit.ByAction: d.Action, audit.ByResourceType: d.ResourceType, audit.ByResourceID: d.ResourceID, audit.ByUserID: d.UserID}
	for _, term := range f.Terms() {
		if values[term.Column] != term.Value {
			return false
		}
	}
	return !slices.ContainsFunc(f.Excluded(), func(term audit.Term) bool { return values[term.Column] == term.Value })
}

// span looks at every time.
func (m model) span(f audit.Filter, size int64) audit.Span {
	span := audit.Span{High: size}
	for position := size - 1; position >= 0; position-- {
		if !f.To.IsZero() && m.times[position].After(f.To) {
			span.High = position
		}
	}
	for span.Low < size && m.times[span.Low].Before(f.From) {
		span.Low++
	}
	return span
}

func (m model) positions(f audit.Filter, span audit.Span) []int64 {
	var found []int64
	for position := span.High - 1; position >= span.Low; position-- {
		if m.matches(position, f) {
			found = append(found, position)
		}
	}
	return found
}

// modelTrail imports a trail of size entries, of which several share each time, and
// beside it one of another organization, of the same values.
func modelTrail(t *testing.T, d testkit.Database, store *postgres.Store, size int) model {
	t.Helper()
	conn := testkit.Connect(t, d.SuperuserURL)
	random := rand.New(rand.NewPCG(2, 3))
	var m model
	at := time.Date(2024, 2, 29, 23, 59, 59, 999_000_000, time.UTC)
	for i := range size {
		if random.IntN(3) == 0 {
			at = at.Add(time.Duration(random.IntN(5)) * time.Microsecond)
		}
		d := audit.Draft{
			ID: fmt.Sprint("entry-", i), Action: fmt.Sprint("action.", random.IntN(4)), ResourceType: fmt.Sprint("type-", random.IntN(3)),
			UserID: "everybody",
		}
		if random.IntN(3) == 0 {
			d.ResourceID = fmt.Sprint("resource-", random.IntN(40))
		}
		if random.IntN(20) == 0 {
			d.UserID = fmt.Sprint("user ", random.IntN(20), " ü'\"%_\\")
		}
		m.drafts, m.times = append(m.drafts, d), append(m.times, at)
	}
	for _, organization := range []string{"acme", "globex"} {
		for from := 0; from < size; from += 1000 {
			var entries []audit.Admitted
			for i := from; i < min(from+1000, size); i++ {
				entry := admit(t, m.drafts[i])
				entry.OriginalTime = m.times[i]
				entries = append(entries, entry)
			}
			mustAppend(t, store, organization, entries...)
			if from%8000 == 0 {
				mustExec(t, conn, "VACUUM ANALYZE") // as autovacuum would, which is off here
			}
			if organization == "globex" {
				break
			}
		}
	}
	return m
}

// Whatever has postings and whatever has none, the same is found: nothing is built yet,
// most values are rare, some became frequent late, all are frequent.
func TestReadsEqualANaiveModel(t *testing.T) {
	t.Parallel()
	for name, postFrom := range map[string]int64{"nothing is built": 0, "values become frequent late": 6000, "all values are frequent": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := testkit.NewDatabase(t)
			store := testkit.NewStore(t, d)
			m := modelTrail(t, d, store, 40_000)
			if postFrom > 0 {
				if built := mustBuild(t, d, postFrom); built != 2 {
					t.Fatalf("%d ranges were built", built)
				}
			}
			compareWithModel(t, store, m)
		})
	}
}

// mustBuild builds what there is to build.
func mustBuild(t testing.TB, d testkit.Database, postFrom int64) int {
	t.Helper()
	worker, err := postgres.OpenWorker(t.Context(), postgres.WorkerOptions{URL: d.WorkerURL, PostFrom: postFrom})
	if err != nil {
		t.Fatal(err)
	}
	defer worker.Close()
	built, err := worker.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func compareWithModel(t *testing.T, store *postgres.Store, m model) {
	t.Helper()
	size := int64(len(m.drafts))
	random := rand.New(rand.NewPCG(4, 5))
	date := func() time.Time {
		if random.IntN(3) > 0 {
			return time.Time{}
		}
		return m.times[random.Int64N(size)].Add(time.Duration(random.IntN(3)-1) * time.Microsecond)
	}
	longest := 0
	for i := range 600 {
		f := randomFilter(random, m)
		f.From, f.To = date(), date()
		w := audit.Window{Size: -1, Below: math.MaxInt64, Limit: []int64{0, 1, 20, 1001, 10_000}[random.IntN(5)], RestOnly: random.IntN(4) == 0}
		state := size
		if random.IntN(3) == 0 {
			w.Size = random.Int64N(size + 2)
			state = min(size, w.Size)
		}
		if random.IntN(3) == 0 {
			w.Below = random.Int64N(size + 1)
		}
		span := m.span(f, state)
		listed := m.positions(f, span.Below(w.Below))
		total := len(listed)
		if !w.RestOnly {
			total = len(m.positions(f, span))
		}
		longest = max(longest, total)
		w.Offset = min(random.Int64N(int64(len(listed))+3), random.Int64N(int64(len(listed))+3))
		listed = listed[min(w.Offset, int64(len(listed))):]
		listed = listed[:min(w.Limit, int64(len(listed)))]
		for range 1 + random.IntN(2) { // the second time some of it is remembered
			found, err := store.Find(t.Context(), "acme", f, w)
			if err != nil || found.Size != state || found.Total != int64(total) || !slices.Equal(found.Positions, listed) {
				t.Fatalf("%+v, %+v: size %d, total %d, %d positions, %v; want %d, %d, %d",
					f, w, found.Size, found.Total, len(found.Positions), err, state, total, len(listed))
			}
			if i%4 == 0 {
				checkRows(t, store, m, found.Positions[:min(len(found.Positions), 1000)])
			}
		}
		if f.All() && !w.RestOnly {
			checkNewest(t, store, m, w, listed)
		}
	}
	if longest <= postgres.DriverChunk {
		t.Errorf("no filter matched more than %d entries", longest)
	}
}

// rowsOf are rows that are kept.
func rowsOf(ctx context.Context, store *postgres.Store, organization string, positions []int64) (rows []audit.Row, err error) {
	err = store.Rows(ctx, organization, positions, func(row audit.Row) { rows = append(rows, row.Own()) })
	return rows, err
}

func newestOf(ctx context.Context, store *postgres.Store, organization string, w audit.Window) (found audit.Found, rows []audit.Row, err error) {
	found, err = store.Newest(ctx, organization, w, func(row audit.Row) { rows = append(rows, row.Own()) })
	return found, rows, err
}

func checkNewest(t *testing.T, store *postgres.Store, m model, w audit.Window, listed []int64) {
	t.Helper()
	found, rows, err := newestOf(t.Context(), store, "acme", w)
	if err != nil || !slices.Equal(found.Positions, listed) || len(rows) != len(listed) {
		t.Fatalf("newest %+v: %d positions, %d rows, %v; want %d", w, len(found.Positions), len(rows), err, len(listed))
	}
	compareRows(t, m, listed, rows)
}

// randomFilter filters by nothing to everything, mostly for values that some entry has, and
// every other time leaves some out.
func randomFilter(random *rand.Rand, m model) audit.Filter {
	f := randomTerms(random, m)
	for range max(0, random.IntN(6)-2) {
		like := m.drafts[random.IntN(len(m.drafts))]
		sets := []*audit.Values{&f.ExcludeAction, &f.ExcludeResourceType, &f.ExcludeUserID, &f.ExcludeResourceID}
		i := random.IntN(len(sets))
		*sets[i] = audit.NewValues(append(sets[i].All(), []string{like.Action, like.ResourceType, like.UserID, like.ResourceID}[i])...)
	}
	return f
}

func randomTerms(random *rand.Rand, m model) audit.Filter {
	if random.IntN(8) == 0 {
		return []audit.Filter{{}, {UserID: "everybody"}, {UserID: "everybody", Action: "action.1"}}[random.IntN(3)]
	}
	like := m.drafts[random.IntN(len(m.drafts))]
	var f audit.Filter
	for range 1 + random.IntN(4) {
		if random.IntN(5) == 0 {
			like = m.drafts[random.IntN(len(m.drafts))]
		}
		switch random.IntN(6) {
		case 0:
			f.Action = like.Action
		case 1:
			f.ResourceType = like.ResourceType
		case 2:
			f.UserID = like.UserID
		case 3:
			f.ResourceID = like.ResourceID
		case 4:
			f.Resource = audit.ResourceKey{Type: like.ResourceType, ID: like.ResourceID}
		case 5:
			if random.IntN(5) == 0 {
				f.UserID = "unknown"
			}
		}
	}
	return f
}

func checkRows(t *testing.T, store *postgres.Store, m model, positions []int64) {
	t.Helper()
	rows, err := rowsOf(t.Context(), store, "acme", positions)
	if err != nil || len(rows) != len(positions) {
		t.Fatalf("%d rows of %d positions: %v", len(rows), len(positions), err)
	}
	compareRows(t, m, positions, rows)
}

func compareRows(t *testing.T, m model, positions []int64, rows []audit.Row) {
	t.Helper()
	for i, row := range rows {
		p := positions[i]
		if row.Position != p || !row.CreatedAt.Equal(m.times[p]) || !strings.HasPrefix(string(row.Text), `{"id":"`+m.drafts[p].ID+`",`) {
			t.Fatalf("position %d: %+v", p, row)
		}
	}
}

func TestDatesAtTheEndsOfTime(t *testing.T) {
	t.Parallel()
	store := testkit.NewStore(t, testkit.NewDatabase(t))
	mustAppend(t, store, "acme", plain(t, "entry", 5)...)
	first, last := time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	for _, c := range []struct {
		f    audit.Filter
		want int64
	}{{audit.Filter{From: first}, 5}, {audit.Filter{To: last}, 5}, {audit.Filter{From: last}, 0}, {audit.Filter{To: first}, 0}, {audit.Filter{From: first, To: last}, 5}} {
		if found, err := store.Find(t.Context(), "acme", c.f, all); err != nil || found.Size != 5 || found.Total != c.want || int64(len(found.Positions)) != c.want {
			t.Errorf("%+v: %+v, %v, want %d", c.f, found, err, c.want)
		}
		if found, err := store.Find(t.Context(), "nobody", c.f, all); err != nil || found.Size != 0 || found.Total != 0 || len(found.Positions) != 0 {
			t.Errorf("%+v of nobody: %+v, %v", c.f, found, err)
		}
	}
}

// all is everything that a filter matches in a short trail.
var all = audit.Window{Size: -1, Below: math.MaxInt64, Limit: 10_000}

func TestAReadingConcernsTheSizeThatItBeganWith(t *testing.T) {
	t.Parallel()
	store := testkit.NewStore(t, testkit.NewDatabase(t))
	mustAppend(t, store, "acme", plain(t, "before", 10)...)
	mustAppend(t, store, "acme", plain(t, "after", 10)...)
	for _, f := range []audit.Filter{{}, {Action: "server.created"}, {Action: "server.created", ResourceType: "server"}} {
		for asked, want := range map[int64]int64{-1: 20, 0: 0, 10: 10, 20: 20, 21: 20, math.MaxInt64: 20} {
			w := all
			w.Size = asked
			found, err := store.Find(t.Context(), "acme", f, w)
			if err != nil || found.Size != want || found.Total != want || int64(len(found.Positions)) != want || want > 0 && found.Positions[0] != want-1 {
				t.Errorf("%+v at size %d: %+v, %v, want %d", f, asked, found, err, want)
			}
		}
	}
}

func TestRowsThatAreMissingAreAnError(t *testing.T) {
	t.Parallel()
	store := testkit.NewStore(t, testkit.NewDatabase(t))
	mustAppend(t, store, "acme", plain(t, "entry", 5)...)
	if rows, err := rowsOf(t.Context(), store, "acme", nil); err != nil || len(rows) != 0 {
		t.Errorf("no positions: %v, %v", rows, err)
	}
	for _, positions := range [][]int64{{5}, {5, 4}, {7, 2}} {
		if rows, err := rowsOf(t.Context(), store, "acme", positions); err == nil {
			t.Errorf("%v: %v", positions, rows)
		}
	}
	if _, err := store.Entry(t.Context(), "acme", "entry-5"); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("an unknown id: %v", err)
	}
	if _, err := store.Entry(t.Context(), "globex", "entry-1"); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("another organization's id: %v", err)
	}
}

// 10,000 requests of several organizations over few connections, some cut off at any
// moment, and between them statements that forgot to say whose they are.
func TestOneOrganizationsSettingNeverReachesTheNextRequest(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := openStore(t, postgres.Options{URL: d.ServingURL, ReadConnections: 3})
	organizations := []string{"acme", "globex", "initech", "umbrella"}
	for _, organization := range organizations {
		var entries []audit.Admitted
		for i := range 20 {
			entries = append(entries, admit(t, audit.Draft{ID: fmt.Sprintf("%s-%d", organization, i), UserID: organization}))
		}
		mustAppend(t, store, organization, entries...)
	}
	var workers sync.WaitGroup
	for w := range 20 {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(6, uint64(w)))
			for range 500 {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if random.IntN(5) == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(2000))*time.Microsecond)
				}
				i := random.IntN(len(organizations))
				err := mixedRead(ctx, store, random, organizations[i], organizations[(i+1)%len(organizations)])
				cancel()
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
}

// mixedRead is one read of an organization, or of none, that must see nothing of another.
func mixedRead(ctx context.Context, store *postgres.Store, random *rand.Rand, organization, other string) error {
	switch random.IntN(6) {
	case 0:
		var setting string
		var seen int
		err := store.Reads().QueryRow(ctx, `SELECT coalesce(current_setting('ocore_audit.organization', true), ''),
			(SELECT count(*) FROM entries) + (SELECT count(*) FROM heads) + (SELECT count(*) FROM entry_ids)`).Scan(&setting, &seen)
		if err == nil && (setting != "" || seen != 0) {
			return fmt.Errorf("a connection was left to %q and shows %d rows", setting, seen)
		}
		return err
	case 1:
		found, err := store.Find(ctx, organization, audit.Filter{UserID: other}, all)
		if err == nil && (found.Total != 0 || len(found.Positions) != 0) {
			return fmt.Errorf("%s finds %d entries of %s", organization, found.Total, other)
		}
		return err
	case 2:
		found, err := store.Find(ctx, organization, audit.Filter{UserID: organization}, all)
		if err == nil && (found.Total != 20 || len(found.Positions) != 20) {
			return fmt.Errorf("%s finds %d of its 20 entries", organization, len(found.Positions))
		}
		return err
	case 3:
		rows, err := rowsOf(ctx, store, organization, []int64{19, 7, 3})
		for _, row := range rows {
			if !strings.Contains(string(row.Text), `"userId":"`+organization+`"`) {
				return fmt.Errorf("%s reads %s", organization, row.Text)
			}
		}
		return err
	case 4:
		row, err := store.Entry(ctx, organization, other+"-1")
		if err == nil {
			return fmt.Errorf("%s finds %s", organization, row.Text)
		}
		if errors.Is(err, audit.ErrNotFound) {
			return nil
		}
		return err
	}
	found, rows, err := newestOf(ctx, store, organization, audit.Window{Size: -1, Below: math.MaxInt64, Limit: 5})
	for _, row := range rows {
		if found.Total != 20 || !strings.Contains(string(row.Text), `"userId":"`+organization+`"`) {
			return fmt.Errorf("%s, of %d entries, reads %s", organization, found.Total, row.Text)
		}
	}
	return err
}

// Readers that come together share looks at heads: each still finds everything that was
// recorded before it asked, of its own organization alone.
func TestReadersThatShareALookSeeWhatWasThereBefore(t *testing.T) {
	t.Parallel()
	store := testkit.NewStore(t, testkit.NewDatabase(t))
	var all sync.WaitGroup
	for n := range 8 {
		organization := fmt.Sprint("org-", n%3)
		all.Go(func() {
			for range 30 {
				receipts, err := store.Append(t.Context(), submission(organization, admit(t, audit.Draft{Action: organization, ResourceType: "t"})))
				if err != nil {
					t.Error(err)
					return
				}
				// A state that is far too large takes the path that looks at the head first.
				found, rows, err := newestOf(t.Context(), store, organization, audit.Window{Size: math.MaxInt64, Below: math.MaxInt64, Limit: 1})
				if err != nil || found.Size <= receipts[0].Row.Position || len(rows) != 1 || !strings.Contains(string(rows[0].Text), organization) {
					t.Errorf("%s: position %d was recorded, then the size was %d, %v: %v", organization, receipts[0].Row.Position, found.Size, err, rows)
					return
				}
			}
		})
	}
	all.Wait()
}
