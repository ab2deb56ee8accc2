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

func (m model) matches(position int64, terms []audit.Term) bool {
	d := m.drafts[position]
	values := [...]string{audit.ByAction: d.Action, audit.ByResourceType: d.ResourceType, audit.ByResourceID: d.ResourceID, audit.ByUserID: d.UserID}
	for _, term := range terms {
		if values[term.Column] != term.Value {
			return false
		}
	}
	return true
}

// span looks at every time.
func (m model) span(f audit.Filter, size int64) audit.Span {
	span := audit.Span{Size: size, High: size}
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

func (m model) positions(terms []audit.Term, span audit.Span) []int64 {
	var found []int64
	for position := span.High - 1; position >= span.Low; position-- {
		if m.matches(position, terms) {
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

func TestReadsEqualANaiveModel(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	const size = 20_000
	m := modelTrail(t, d, store, size)
	random := rand.New(rand.NewPCG(4, 5))
	date := func() time.Time {
		if random.IntN(3) == 0 {
			return time.Time{}
		}
		return m.times[random.IntN(size)].Add(time.Duration(random.IntN(3)-1) * time.Microsecond)
	}
	longest := 0
	for i := range 250 {
		f := audit.Filter{From: date(), To: date()}
		asked, now := int64(-1), int64(size)
		if random.IntN(3) == 0 {
			asked = random.Int64N(size + 1)
			now = asked
		}
		span, err := store.Span(t.Context(), "acme", f, asked)
		if err != nil {
			t.Fatal(err)
		}
		if want := m.span(f, now); span != want {
			t.Fatalf("span of %s to %s at size %d: got %+v, want %+v", f.From, f.To, asked, span, want)
		}
		terms := randomTerms(random, m)
		want := m.positions(terms, span)
		longest = max(longest, len(want))
		count, err := store.Count(t.Context(), "acme", terms, span)
		if err != nil || count != int64(len(want)) {
			t.Fatalf("count of %v in %+v: %d, %v, want %d", terms, span, count, err, len(want))
		}
		offset := min(random.Int64N(int64(len(want))+3), random.Int64N(int64(len(want))+3))
		limit := []int64{0, 1, 20, 1001, 10_000}[random.IntN(5)]
		got, err := store.Positions(t.Context(), "acme", terms, span, offset, limit)
		want = want[min(offset, int64(len(want))):]
		want = want[:min(limit, int64(len(want)))]
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v in %+v from %d, %d of them: got %d positions, %v, want %d", terms, span, offset, limit, len(got), err, len(want))
		}
		if i%4 == 0 {
			checkRows(t, store, m, got[:min(len(got), 1000)])
		}
	}
	if longest <= postgres.DriverChunk {
		t.Errorf("no filter matched more than %d entries", longest)
	}
}

// randomTerms are one to four, mostly of values that exist, not seldom two of a column.
func randomTerms(random *rand.Rand, m model) []audit.Term {
	if random.IntN(8) == 0 {
		return []audit.Term{{Column: audit.ByUserID, Value: "everybody"}, {Column: audit.ByAction, Value: "action.1"}}[:1+random.IntN(2)]
	}
	like := m.drafts[random.IntN(len(m.drafts))]
	var terms []audit.Term
	for range 1 + random.IntN(4) {
		if random.IntN(5) == 0 {
			like = m.drafts[random.IntN(len(m.drafts))]
		}
		term := []audit.Term{
			{Column: audit.ByAction, Value: like.Action},
			{Column: audit.ByResourceType, Value: like.ResourceType},
			{Column: audit.ByUserID, Value: like.UserID},
			{Column: audit.ByResourceID, Value: like.ResourceID},
		}[random.IntN(4)]
		if term.Value == "" || random.IntN(30) == 0 {
			term.Value = "unknown"
		}
		terms = append(terms, term)
	}
	return terms
}

func checkRows(t *testing.T, store *postgres.Store, m model, positions []int64) {
	t.Helper()
	rows, err := store.Rows(t.Context(), "acme", positions)
	if err != nil || len(rows) != len(positions) {
		t.Fatalf("%d rows of %d positions: %v", len(rows), len(positions), err)
	}
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
		want audit.Span
	}{
		{audit.Filter{From: first}, audit.Span{Size: 5, Low: 0, High: 5}},
		{audit.Filter{To: last}, audit.Span{Size: 5, Low: 0, High: 5}},
		{audit.Filter{From: last}, audit.Span{Size: 5, Low: 5, High: 5}},
		{audit.Filter{To: first}, audit.Span{Size: 5, Low: 0, High: 0}},
		{audit.Filter{From: first, To: last}, audit.Span{Size: 5, Low: 0, High: 5}},
	} {
		if span, err := store.Span(t.Context(), "acme", c.f, -1); err != nil || span != c.want {
			t.Errorf("%+v: %+v, %v, want %+v", c.f, span, err, c.want)
		}
		if span, err := store.Span(t.Context(), "nobody", c.f, -1); err != nil || span != (audit.Span{}) {
			t.Errorf("%+v of nobody: %+v, %v", c.f, span, err)
		}
	}
}

func TestAReadingConcernsTheSizeThatItBeganWith(t *testing.T) {
	t.Parallel()
	store := testkit.NewStore(t, testkit.NewDatabase(t))
	mustAppend(t, store, "acme", plain(t, "before", 10)...)
	before, err := store.Span(t.Context(), "acme", audit.Filter{}, -1)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, store, "acme", plain(t, "after", 10)...)
	term := audit.Term{Column: audit.ByAction, Value: "server.created"}
	for _, terms := range [][]audit.Term{{term}, {term, {Column: audit.ByResourceType, Value: "server"}}} {
		count, err := store.Count(t.Context(), "acme", terms, before)
		if err != nil || count != 10 {
			t.Errorf("%d terms: %d, %v", len(terms), count, err)
		}
		positions, err := store.Positions(t.Context(), "acme", terms, before, 0, 100)
		if err != nil || len(positions) != 10 || positions[0] != 9 {
			t.Errorf("%d terms: %v, %v", len(terms), positions, err)
		}
	}
	for asked, want := range map[int64]int64{-1: 20, 0: 0, 10: 10, 20: 20, 21: 20, math.MaxInt64: 20} {
		if span, err := store.Span(t.Context(), "acme", audit.Filter{}, asked); err != nil || span != (audit.Span{Size: want, High: want}) {
			t.Errorf("size %d: %+v, %v", asked, span, err)
		}
	}
}

func TestRowsThatAreMissingAreAnError(t *testing.T) {
	t.Parallel()
	store := testkit.NewStore(t, testkit.NewDatabase(t))
	mustAppend(t, store, "acme", plain(t, "entry", 5)...)
	if rows, err := store.Rows(t.Context(), "acme", nil); err != nil || len(rows) != 0 {
		t.Errorf("no positions: %v, %v", rows, err)
	}
	for _, positions := range [][]int64{{5}, {5, 4}, {7, 2}} {
		if rows, err := store.Rows(t.Context(), "acme", positions); err == nil {
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
	whole := audit.Span{Size: 20, High: 20}
	theirs := []audit.Term{{Column: audit.ByUserID, Value: other}}
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
		count, err := store.Count(ctx, organization, theirs, whole)
		if err == nil && count != 0 {
			return fmt.Errorf("%s counts %d entries of %s", organization, count, other)
		}
		return err
	case 2:
		positions, err := store.Positions(ctx, organization, []audit.Term{{Column: audit.ByUserID, Value: organization}}, whole, 0, 100)
		if err == nil && len(positions) != 20 {
			return fmt.Errorf("%s finds %d of its 20 entries", organization, len(positions))
		}
		return err
	case 3:
		rows, err := store.Rows(ctx, organization, []int64{19, 7, 3})
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
	span, err := store.Span(ctx, organization, audit.Filter{}, -1)
	if err == nil && span != whole {
		return fmt.Errorf("the span of %s is %+v", organization, span)
	}
	return err
}
