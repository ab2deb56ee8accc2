package postgres_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

// sameRow reports whether two readings show one entry.
func sameRow(a, b audit.Row) bool {
	return a.Position == b.Position && a.CreatedAt.Equal(b.CreatedAt) && bytes.Equal(a.Text, b.Text)
}

func TestAppendGivesDensePositionsAndReceiptsInTheOrderSent(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	conn := testkit.Connect(t, d.SuperuserURL)
	before := scan[time.Time](t, conn, "SELECT clock_timestamp()")
	next := int64(0)
	for i, n := range []int{1, 7, 2, 300} {
		entries := plain(t, fmt.Sprint("batch", i), n)
		for j, receipt := range mustAppend(t, store, "acme", entries...) {
			if receipt.ID != entries[j].ID || receipt.Existing || receipt.Row.Position != next {
				t.Fatalf("receipt %d of batch %d: %+v, want id %s at position %d", j, i, receipt, entries[j].ID, next)
			}
			if receipt.Row.CreatedAt.Before(before) {
				t.Fatalf("accepted at %s, which is not by the database's clock after %s", receipt.Row.CreatedAt, before)
			}
			row, err := store.Entry(t.Context(), "acme", receipt.ID)
			if err != nil || !sameRow(row, receipt.Row) {
				t.Fatalf("entry %+v, %v is not its receipt's %+v", row, err, receipt.Row)
			}
			if want := string(entries[j].Content) + `,"recordedBy":"ada"}`; string(row.Text) != want {
				t.Fatalf("stored %s, want %s", row.Text, want)
			}
			next++
		}
	}
	if stored := checkTrail(t, d, "acme"); len(stored) != int(next) {
		t.Fatalf("%d entries are stored of %d", len(stored), next)
	}
}

func TestGeneratedIDsAreUUIDsOfVersion7(t *testing.T) {
	t.Parallel()
	store := testkit.NewStore(t, testkit.NewDatabase(t))
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for _, receipt := range mustAppend(t, store, "acme", admit(t, audit.Draft{}), admit(t, audit.Draft{})) {
		if row, err := store.Entry(t.Context(), "acme", receipt.ID); err != nil || !form.MatchString(receipt.ID) ||
			!strings.HasPrefix(string(row.Text), `{"id":"`+receipt.ID+`"`) {
			t.Errorf("id %s, entry %s, %v", receipt.ID, row.Text, err)
		}
	}
}

func TestSameContentAgainIsTheSameEntry(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	known := plain(t, "known", 3)
	first := mustAppend(t, store, "acme", known...)
	fresh := plain(t, "new", 2)
	// Somebody else may send it again, among others, in another order.
	again := submission("acme", known[2], fresh[0], known[0], fresh[1])
	again.RecordedBy = "grace"
	receipts, err := store.Append(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		existing bool
		position int64
	}{{true, 2}, {false, 3}, {true, 0}, {false, 4}} {
		r := receipts[i]
		if r.Existing != want.existing || r.Row.Position != want.position || r.ID != again.Entries[i].ID {
			t.Errorf("receipt %d: %+v, want %+v", i, r, want)
		}
		if r.Existing && !sameRow(r.Row, first[want.position].Row) {
			t.Errorf("replayed %+v, recorded %+v", r.Row, first[want.position].Row)
		}
	}
	if stored := checkTrail(t, d, "acme"); len(stored) != 5 {
		t.Errorf("%d entries are stored, want 5", len(stored))
	}
}

func TestOtherContentUnderAKnownIDIsAConflictAndStoresNothing(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	mustAppend(t, store, "acme", admit(t, audit.Draft{ID: "known", ResourceID: "1"}))
	// An id belongs to its organization alone.
	mustAppend(t, store, "globex", admit(t, audit.Draft{ID: "known", ResourceID: "2"}))
	for name, other := range map[string]audit.Draft{
		"another value":  {ID: "known", ResourceID: "2"},
		"a member less":  {ID: "known"},
		"a member more":  {ID: "known", ResourceID: "1", UserID: "ada"},
		"a state more":   {ID: "known", ResourceID: "1", AfterState: []byte("{}")},
		"another action": {ID: "known", ResourceID: "1", Action: "server.deleted"},
	} {
		_, err := store.Append(t.Context(), submission("acme", admit(t, audit.Draft{ID: "fresh"}), admit(t, other)))
		var rejection *audit.Rejection
		if !errors.Is(err, audit.ErrConflict) || !errors.As(err, &rejection) || rejection.ID != "known" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if stored := checkTrail(t, d, "acme"); len(stored) != 1 {
		t.Errorf("%d entries are stored, want 1", len(stored))
	}
}

func TestOneNewIDInTwoRequestsOfAGroup(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := openStore(t, postgres.Options{URL: d.ServingURL, Writers: 1})
	release := stall(t, d, store, "acme")
	type request struct {
		submission audit.Submission
		outcome    <-chan outcome
	}
	var requests []request
	send := func(organization string, entries ...audit.Admitted) {
		t.Helper()
		s := submission(organization, entries...)
		requests = append(requests, request{s, appending(t, store, s)})
		testkit.Eventually(t, "the request waits", func() bool { return store.Waiting() == len(requests) })
	}
	one := admit(t, audit.Draft{ID: "one", ResourceID: "1"})
	send("acme", one)
	send("acme", admit(t, audit.Draft{ID: "a"}), one)                                                                 // the same entry
	send("acme", admit(t, audit.Draft{ID: "b"}), admit(t, audit.Draft{ID: "one", ResourceID: "2"}))                   // a conflict
	send("globex", admit(t, audit.Draft{ID: "one", ResourceID: "3"}))                                                 // another trail's
	send("acme", admit(t, audit.Draft{ID: "b", ResourceID: "the refused request's id is free"}), plain(t, "c", 1)[0]) // a neighbour
	release()
	for i, want := range []struct {
		existing  []bool
		positions []int64
	}{{[]bool{false}, []int64{2}}, {[]bool{false, true}, []int64{3, 2}}, {nil, nil}, {[]bool{false}, []int64{0}}, {[]bool{false, false}, []int64{4, 5}}} {
		o := <-requests[i].outcome
		if want.existing == nil {
			if !errors.Is(o.err, audit.ErrConflict) || o.receipts != nil {
				t.Errorf("request %d: %+v, want a conflict", i, o)
			}
			continue
		}
		if o.err != nil {
			t.Errorf("request %d: %v", i, o.err)
			continue
		}
		for j, r := range o.receipts {
			if r.Existing != want.existing[j] || r.Row.Position != want.positions[j] {
				t.Errorf("request %d: receipt %d is %+v, want %v at %d", i, j, r, want.existing[j], want.positions[j])
			}
		}
	}
	if stored := checkTrail(t, d, "acme"); len(stored) != 6 {
		t.Errorf("%d entries are stored, want 6", len(stored))
	}
	checkTrail(t, d, "globex")
}

func TestARequestsFaultNeverReachesItsNeighbours(t *testing.T) {
	t.Parallel()
	early := []string{"a text that has no leaf", "no text"} // are noticed before they wait
	for name, spoil := range map[string]func(*audit.Admitted){
		"a NUL, which PostgreSQL refuses": func(e *audit.Admitted) {
			e.Content = append(e.Content, `,"afterState":{"a":"`+"\x00"+`"}`...)
		},
		"invalid UTF-8":                func(e *audit.Admitted) { e.Action = "\xff" },
		"a text that has no leaf":      func(e *audit.Admitted) { e.Content = []byte(`{"action"`) },
		"no text":                      func(e *audit.Admitted) { e.Content = nil },
		"an id that no index can hold": func(e *audit.Admitted) { e.ID = incompressible(20_000) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := testkit.NewDatabase(t)
			store := openStore(t, postgres.Options{URL: d.ServingURL, Writers: 1})
			release := stall(t, d, store, "acme")
			organizations := []string{"acme", "globex", "acme", "initech"}
			good, bad := map[string]<-chan outcome{}, map[string]<-chan outcome{}
			for i := range 40 {
				organization := organizations[i%len(organizations)]
				entries := plain(t, fmt.Sprint("request", i), 1+i%3)
				if i%10 == 2 {
					spoil(&entries[len(entries)-1])
					bad[fmt.Sprint(i)] = appending(t, store, submission(organization, entries...))
				} else {
					good[fmt.Sprint(i)] = appending(t, store, submission(organization, entries...))
				}
			}
			waiting := 40
			if slices.Contains(early, name) {
				waiting -= len(bad)
			}
			testkit.Eventually(t, "all wait", func() bool { return store.Waiting() == waiting })
			release()
			for i, done := range good {
				if o := <-done; o.err != nil {
					t.Errorf("good request %s: %v", i, o.err)
				}
			}
			for i, done := range bad {
				if o := <-done; o.err == nil || errors.Is(o.err, audit.ErrUnavailable) {
					t.Errorf("bad request %s: %v, want an error that trying again won't mend", i, o.err)
				}
			}
			stored := 0
			for _, organization := range []string{"acme", "globex", "initech"} {
				stored += len(checkTrail(t, d, organization))
			}
			want := 2 // the stall's
			for i := range 40 {
				if i%10 != 2 {
					want += 1 + i%3
				}
			}
			if stored != want {
				t.Errorf("%d entries are stored, want the %d of good requests", stored, want)
			}
		})
	}
}

func TestImportsKeepTheirTimeAndTellWhenTheyCame(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	conn := testkit.Connect(t, d.SuperuserURL)
	imported := func(id string, at time.Time) audit.Admitted {
		entry := admit(t, audit.Draft{ID: id})
		entry.OriginalTime = at
		return entry
	}
	noon := time.Date(2021, 2, 3, 12, 0, 0, 123456000, time.UTC)
	before := scan[time.Time](t, conn, "SELECT clock_timestamp()")
	receipts := mustAppend(t, store, "acme", imported("a", noon), imported("b", noon), imported("c", noon.Add(time.Microsecond)))
	after := scan[time.Time](t, conn, "SELECT clock_timestamp()")
	for i, at := range []time.Time{noon, noon, noon.Add(time.Microsecond)} {
		row := receipts[i].Row
		_, text, _ := strings.Cut(string(row.Text), `"importedAt":"`)
		importedAt, err := time.Parse(audit.TimeFormat, strings.TrimSuffix(text, `"}`))
		if !row.CreatedAt.Equal(at) || err != nil || importedAt.Before(before) || importedAt.After(after) {
			t.Errorf("%s at %s, want %s and imported between %s and %s", row.Text, row.CreatedAt, at, before, after)
		}
	}
	refused := func(what string, kind error, id string, entries ...audit.Admitted) {
		t.Helper()
		_, err := store.Append(t.Context(), submission("acme", entries...))
		var rejection *audit.Rejection
		if !errors.Is(err, kind) || !errors.As(err, &rejection) || rejection.ID != id {
			t.Errorf("%s: %v, want %v of %s", what, err, kind, id)
		}
	}
	refused("earlier than the last", audit.ErrUnprocessable, "e", imported("d", noon.Add(time.Hour)), imported("e", noon))
	refused("earlier than the one before it", audit.ErrUnprocessable, "e", imported("d", noon.Add(2*time.Hour)), imported("e", noon.Add(time.Hour)))
	refused("in the future", audit.ErrUnprocessable, "e", imported("d", noon.Add(time.Hour)), imported("e", after.Add(time.Hour)))
	refused("another time under a known id", audit.ErrConflict, "a", imported("d", noon.Add(time.Hour)), imported("a", noon.Add(time.Microsecond)))
	for i, r := range mustAppend(t, store, "acme", imported("a", noon), imported("c", noon.Add(time.Microsecond)), imported("d", noon.Add(time.Microsecond))) {
		if r.Existing != (i < 2) {
			t.Errorf("imported again: %+v", r)
		}
	}
	mustAppend(t, store, "acme", admit(t, audit.Draft{ID: "now"}))
	refused("earlier than what was recorded", audit.ErrUnprocessable, "late", imported("late", before))
	if stored := checkTrail(t, d, "acme"); len(stored) != 5 {
		t.Errorf("%d entries are stored, want 5", len(stored))
	}
}

// A clock that was set back must not make a trail run backwards.
func TestCreatedAtNeverDecreasesWhenTheClockDoes(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	mustAppend(t, store, "acme", admit(t, audit.Draft{}))
	ahead := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	conn := testkit.Connect(t, d.SuperuserURL)
	mustExec(t, conn, "UPDATE heads SET last_created_at = $1", ahead)
	for _, r := range mustAppend(t, store, "acme", plain(t, "later", 3)...) {
		if !r.Row.CreatedAt.Equal(ahead) {
			t.Errorf("created at %s while the trail is at %s", r.Row.CreatedAt, ahead)
		}
	}
	checkTrail(t, d, "acme")
}

func TestASubmissionOfNothingStoresNothing(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	if receipts := mustAppend(t, store, "acme"); len(receipts) != 0 {
		t.Errorf("receipts %+v", receipts)
	}
	if stored := checkTrail(t, d, "acme"); len(stored) != 0 {
		t.Errorf("%d entries are stored", len(stored))
	}
}
