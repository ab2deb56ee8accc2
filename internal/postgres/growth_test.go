package postgres

import (
	"testing"
	"time"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// What an earlier attempt of the same request stored, unseen, is no replay; what somebody
// else stored is.
func TestAnAttemptWhoseAnswerWasLostIsNoReplay(t *testing.T) {
	t.Parallel()
	entry, err := audit.Admit(audit.Draft{ID: "x", Action: "a", ResourceType: "t"}, "")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	submission := audit.Submission{Organization: "acme", RecordedBy: "ada", Entries: []audit.Admitted{entry}}
	sealed, err := seal(&submission)
	if err != nil {
		t.Fatal(err)
	}
	mine := &request{submission: submission, sealed: sealed, placed: map[string]int64{}}
	first := &growth{organization: "acme", requests: []*request{mine}}
	if err := first.place(db.HeadLockRow{Now: now}, nil); err != nil {
		t.Fatal(err)
	}
	stored := []db.EntryKnownRow{{ID: "x", Position: 0, CreatedAt: now, Entry: entry.Seal("ada", time.Time{})}}
	theirs := &request{submission: submission, sealed: sealed, placed: map[string]int64{}}
	again := &growth{organization: "acme", requests: []*request{mine, theirs}}
	if err := again.place(db.HeadLockRow{Now: now}, stored); err != nil {
		t.Fatal(err)
	}
	if again.outcomes[0].receipts[0].Existing || !again.outcomes[1].receipts[0].Existing {
		t.Errorf("existing: %v for the one who stored it, %v for the other",
			again.outcomes[0].receipts[0].Existing, again.outcomes[1].receipts[0].Existing)
	}
}
