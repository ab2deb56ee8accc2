package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

// heavy is a submission of nearly 8 MiB, the most that one body brings.
func heavy(t testing.TB, organization, prefix string) audit.Submission {
	t.Helper()
	s := submission(organization)
	state := []byte(`{"a":"` + strings.Repeat("x", audit.MaxEntryBytes-1000) + `"}`)
	for i := range 31 {
		s.Entries = append(s.Entries, admit(t, audit.Draft{ID: fmt.Sprint(prefix, "-", i), AfterState: state}))
	}
	return s
}

const heaviest = postgres.MaxWaitingBytes / (31 * audit.MaxEntryBytes) // how many heavy ones may wait

func TestMoreBytesThanMayWaitAreRefusedRatherThanKept(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := openStore(t, postgres.Options{URL: d.ServingURL, Writers: 1})
	var accepted, refused []audit.Submission // made before the lock is held, which has its time-out
	for i := range heaviest {
		accepted = append(accepted, heavy(t, "acme", fmt.Sprint("accepted-", i)))
	}
	for i := range 3 {
		refused = append(refused, heavy(t, "globex", fmt.Sprint("refused-", i)))
	}
	release := stall(t, d, store, "acme")
	var waiting []<-chan outcome
	for _, s := range accepted {
		waiting = append(waiting, appending(t, store, s))
	}
	testkit.Eventually(t, "all wait", func() bool { return store.Waiting() == heaviest })
	for _, s := range refused {
		if _, err := store.Append(t.Context(), s); !errors.Is(err, audit.ErrOverloaded) {
			t.Errorf("over the bound: %v", err)
		}
	}
	release()
	for _, done := range waiting {
		if o := <-done; o.err != nil {
			t.Error(o.err)
		}
	}
	// What was refused may be sent again, once there is room.
	mustAppend(t, store, "globex", refused[0].Entries...)
	if stored := checkTrail(t, d, "acme"); len(stored) != 2+31*heaviest {
		t.Errorf("%d entries are stored", len(stored))
	}
}

// Callers that give up leave their requests behind: these must go on counting.
func TestWhatCallersGaveUpOnCountsAsLongAsItIsKept(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := openStore(t, postgres.Options{URL: d.ServingURL, Writers: 1})
	s, more := heavy(t, "acme", "given-up"), heavy(t, "acme", "refused")
	release := stall(t, d, store, "acme")
	impatient, giveUp := context.WithCancel(t.Context())
	given := make(chan error, heaviest)
	for range heaviest {
		go func() {
			_, err := store.Append(impatient, s)
			given <- err
		}()
	}
	testkit.Eventually(t, "all wait", func() bool { return store.Waiting() == heaviest })
	giveUp()
	for range heaviest {
		if err := <-given; !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that gave up got %v", err)
		}
	}
	if _, err := store.Append(t.Context(), more); !errors.Is(err, audit.ErrOverloaded) {
		t.Errorf("%d requests are kept for nobody, and one more was not refused: %v", heaviest, err)
	}
	release()
	// Nothing was promised to those who gave up while they waited.
	mustAppend(t, store, "acme", heavy(t, "acme", "later").Entries...)
	if stored := checkTrail(t, d, "acme"); len(stored) != 2+31 {
		t.Errorf("%d entries are stored, want the stall's 2 and 31", len(stored))
	}
}

func TestMoreRequestsThanMayWaitAreRefused(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := openStore(t, postgres.Options{URL: d.ServingURL, Writers: 1})
	release := stall(t, d, store, "acme")
	const more = 100
	var outcomes []<-chan outcome
	for _, entry := range plain(t, "entry", postgres.MaxQueue+more) {
		outcomes = append(outcomes, appending(t, store, submission("acme", entry)))
	}
	refused := 0
	next := func(done <-chan outcome) {
		if o := <-done; errors.Is(o.err, audit.ErrOverloaded) {
			refused++
		} else if o.err != nil {
			t.Error(o.err)
		}
	}
	testkit.Eventually(t, "the queue is full", func() bool { return store.Waiting() == postgres.MaxQueue })
	time.Sleep(20 * time.Millisecond) // let the last ones meet the full queue
	release()
	for _, done := range outcomes {
		next(done)
	}
	if refused == 0 || refused > more {
		t.Errorf("%d were refused of %d too many", refused, more)
	}
	if stored := checkTrail(t, d, "acme"); len(stored) != 2+postgres.MaxQueue+more-refused {
		t.Errorf("%d entries are stored, and %d refused", len(stored), refused)
	}
}

// An import's batch may weigh more than all that may wait.
func TestASubmissionOverTheBoundIsTakenWhenNothingElseWaits(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	s := submission("acme")
	for i := range heaviest + 1 {
		s.Entries = append(s.Entries, heavy(t, "acme", fmt.Sprint(i)).Entries...)
	}
	if _, err := store.Append(t.Context(), s); err != nil {
		t.Error(err)
	}
}

func TestACallerThatGaveUpDoesNotHoldTheWriter(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := openStore(t, postgres.Options{URL: d.ServingURL, Writers: 1})
	release := stall(t, d, store, "acme")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := store.Append(ctx, submission("acme", plain(t, "late", 1)...)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if waited := time.Since(began); waited > 5*time.Second {
		t.Errorf("waited %v", waited)
	}
	release()
	mustAppend(t, store, "acme", plain(t, "next", 1)...)
	if stored := checkTrail(t, d, "acme"); len(stored) != 3 {
		t.Errorf("%d entries are stored, want 3", len(stored))
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Append(gone, submission("acme", plain(t, "gone", 1)...)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCloseDrainsWhatWaitsAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := openStore(t, postgres.Options{URL: d.ServingURL, Writers: 2})
	release := stall(t, d, store, "acme")
	var waiting []<-chan outcome
	for i := range 50 {
		waiting = append(waiting, appending(t, store, submission("acme", plain(t, fmt.Sprint(i), 2)...)))
	}
	testkit.Eventually(t, "all wait", func() bool { return store.Waiting() == len(waiting) })
	closed := make(chan struct{})
	go func() {
		store.Close()
		close(closed)
	}()
	testkit.Eventually(t, "new ones are refused", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := store.Append(ctx, submission("globex"))
		return errors.Is(err, audit.ErrOverloaded)
	})
	select {
	case <-closed:
		t.Error("closed before what waits has its outcome")
	default:
	}
	release()
	for i, done := range waiting {
		if o := <-done; o.err != nil {
			t.Errorf("request %d: %v", i, o.err)
		}
	}
	<-closed
	if _, err := store.Append(t.Context(), submission("acme", plain(t, "late", 1)...)); !errors.Is(err, audit.ErrOverloaded) {
		t.Errorf("after Close: %v", err)
	}
	store.Close() // once more does nothing
	if stored := checkTrail(t, d, "acme"); len(stored) != 2+100 {
		t.Errorf("%d entries are stored", len(stored))
	}
}
