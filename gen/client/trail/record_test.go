package trail_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"ocore.dev/audit/gen/client/trail"
	"ocore.dev/audit/internal/testkit"
)

func TestWhatIsRecordedComesBack(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	c := direct(t, s, ada)
	sent := trail.Entry{
		ID: "order-66", Action: "server.updated", ResourceType: "server", ResourceID: "web-01", ResourceName: "Shop <front> & end",
		UserID: "ada", UserName: "Ada Lovelace", IPAddress: "192.0.2.14", UserAgent: "agent",
		BeforeState: json.RawMessage(`{"price": 1.10, "serial":12345678901234567890,"b":"<&>\u003c","a":1e2}`),
		AfterState: struct {
			Note string `json:"note"`
		}{"<b>"},
		OccurredAt: time.Date(2026, 11, 23, 9, 30, 26, 900_000_999, time.FixedZone("", 3600)),
	}
	stored, err := c.Record(t.Context(), sent)
	if err != nil {
		t.Fatal(err)
	}
	read, err := c.Entry(t.Context(), "order-66")
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []trail.AuditLog{stored, read} {
		if string(got.BeforeState) != `{"price":1.10,"serial":12345678901234567890,"b":"<&>\u003c","a":1e2}` || string(got.AfterState) != `{"note":"<b>"}` {
			t.Errorf("states %s and %s", got.BeforeState, got.AfterState)
		}
		if got.ID != "order-66" || *got.ResourceName != "Shop <front> & end" || *got.IPAddress != "192.0.2.14" || *got.UserAgent != "agent" ||
			*got.UserID != "ada" || *got.UserName != "Ada Lovelace" || *got.ResourceID != "web-01" || got.RecordedBy != "ada" ||
			!got.OccurredAt.Equal(time.Date(2026, 11, 23, 8, 30, 26, 900_000_000, time.UTC)) {
			t.Errorf("%+v", got)
		}
	}
	if again, err := c.Record(t.Context(), sent); err != nil || again.Position != stored.Position || total(t, s) != 1 {
		t.Errorf("again: %+v, %v", again, err)
	}
}

func TestEmptyMembersAndStatesAreNotSent(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	var none *struct{}
	for _, state := range []any{nil, none, json.RawMessage(nil), json.RawMessage("null")} {
		e := login("")
		e.BeforeState = state
		stored, err := direct(t, s, ada).Record(t.Context(), e)
		if err != nil || stored.BeforeState != nil || stored.UserID != nil || stored.OccurredAt != nil {
			t.Errorf("%#v: %+v, %v", state, stored, err)
		}
	}
}

func TestAnEntryWithoutAnIDGetsOneOfVersion7(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	stored, err := direct(t, s, ada).Record(t.Context(), login("ada"))
	if err != nil {
		t.Fatal(err)
	}
	if id, err := uuid.Parse(stored.ID); err != nil || id.Version() != 7 {
		t.Errorf("id %q", stored.ID)
	}
}

// Whatever befalls an attempt, the next one is the same, and the entry is stored once.
func TestAttemptsStoreOnce(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string][]fault{
		"answer lost after the commit":        {dropped},
		"answer late after the commit":        {lateBy(time.Second)},
		"answer cut after the commit":         {halved},
		"overload, without a word":            {refuses(503), refuses(429)},
		"gateways":                            {refuses(502), refuses(504), refuses(500)},
		"lost, refused, lost, and then there": {dropped, refuses(503), dropped, halved},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.NewService(t)
			proxy, url := between(t, s, faults...)
			c := connect(t, url, ada, trail.WithAttemptTimeout(500*time.Millisecond))
			stored, err := c.Record(t.Context(), login("ada"))
			if err != nil {
				t.Fatal(err)
			}
			if len(proxy.bodies) != len(faults)+1 || len(slices.Compact(slices.Clone(proxy.bodies))) != 1 {
				t.Errorf("sent %q", proxy.bodies)
			}
			if read, err := direct(t, s, ada).Entry(t.Context(), stored.ID); err != nil || read.Position != stored.Position || total(t, s) != 1 {
				t.Errorf("%+v, %v; %d entries", read, err, total(t, s))
			}
		})
	}
}

func TestBatchesAreRepeatedWhole(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	_, url := between(t, s, dropped, halved)
	entries := []trail.Entry{login("ada"), login("grace")}
	receipts, err := connect(t, url, ada).RecordBatch(t.Context(), entries)
	if err != nil || len(receipts) != 2 || !receipts[0].Existing || receipts[1].ID != entries[1].ID || total(t, s) != 2 {
		t.Errorf("%+v, %v", receipts, err)
	}
}

func TestAttemptsAreBoundedAndTheIDIsTold(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	proxy, url := between(t, s, dropped, dropped, dropped)
	c := connect(t, url, ada, trail.WithAttempts(3))
	failed, err := c.Record(t.Context(), login("ada"))
	if err == nil || proxy.requests() != 3 {
		t.Fatalf("%d requests, %v", proxy.requests(), err)
	}
	e := login("ada")
	e.ID = failed.ID
	if stored, err := c.Record(t.Context(), e); err != nil || stored.ID != failed.ID || total(t, s) != 1 {
		t.Errorf("%+v, %v", stored, err)
	}
}

func TestRefusalsAreNotRepeated(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 403, 404, 409, 413, 415, 422, 501, 505} {
		s := testkit.NewService(t)
		proxy, url := between(t, s, refuses(status, "X-Request-Id", "r-1"))
		_, err := connect(t, url, ada).Record(t.Context(), login("ada"))
		var p *trail.Problem
		if !errors.As(err, &p) || p.Status != status || p.Type != "about:blank" || p.RequestID != "r-1" || proxy.requests() != 1 {
			t.Errorf("%d: %d requests, %v", status, proxy.requests(), err)
		}
	}
}

func TestRetryAfterIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 503} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			s := testkit.NewService(t)
			_, url := between(t, s, refuses(status, "Retry-After", "1"))
			begun := time.Now()
			_, err := connect(t, url, ada).Record(t.Context(), login("ada"))
			if took := time.Since(begun); err != nil || took < time.Second || took > 20*time.Second {
				t.Errorf("after %s: %v", took, err)
			}
		})
	}
}

func TestARetryAfterTooFarAwayIsTheCallersToDecide(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	for header, least := range map[string]time.Duration{
		"3600": time.Hour,
		time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat): time.Hour,
	} {
		proxy, url := between(t, s, refuses(429, "Retry-After", header))
		_, err := connect(t, url, ada).Record(t.Context(), login("ada"))
		var p *trail.Problem
		if !errors.As(err, &p) || p.RetryAfter < least || !errors.Is(err, trail.ErrTooManyRequests) || proxy.requests() != 1 {
			t.Errorf("%s: %d requests, %v", header, proxy.requests(), err)
		}
	}
}

func TestSplitBatchesKeepOrder(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	proxy, url := between(t, s)
	c := connect(t, url, ada)
	entries := make([]trail.Entry, 2001)
	for i := range entries {
		entries[i] = login(fmt.Sprint(i))
	}
	receipts, err := c.RecordBatch(t.Context(), entries)
	if err != nil || len(receipts) != len(entries) || proxy.requests() != 3 {
		t.Fatalf("%d receipts in %d requests, %v", len(receipts), proxy.requests(), err)
	}
	for i, r := range receipts {
		if r.Position != int64(i) || r.ID != entries[i].ID || r.Existing {
			t.Fatalf("receipt %d: %+v", i, r)
		}
	}
	again, err := c.RecordBatch(t.Context(), entries)
	if err != nil || !again[2000].Existing || again[2000].Position != 2000 || total(t, s) != 2001 {
		t.Errorf("again: %v", err)
	}
	if none, err := c.RecordBatch(t.Context(), nil); err != nil || len(none) != 0 || proxy.requests() != 6 {
		t.Errorf("nothing: %v, %v, %d requests", none, err, proxy.requests())
	}
}

// 40 entries of 250 KiB are more than 8 MiB, and no request is.
func TestBatchesAreSplitByTheirBytes(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	proxy, url := between(t, s)
	entries := make([]trail.Entry, 40)
	for i := range entries {
		entries[i] = login("ada")
		entries[i].AfterState = map[string]string{"text": strings.Repeat("é", 125<<10)}
	}
	receipts, err := connect(t, url, ada).RecordBatch(t.Context(), entries)
	if err != nil || len(receipts) != 40 || receipts[39].Position != 39 || proxy.requests() != 2 {
		t.Fatalf("%d receipts in %d requests, %v", len(receipts), proxy.requests(), err)
	}
	for _, body := range proxy.bodies {
		if len(body) > 8<<20 || len(body) < 1<<20 {
			t.Errorf("a body of %d bytes", len(body))
		}
	}
}

func TestABatchTellsWhatIsStoredAndWhichEntryIsAtFault(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	c := direct(t, s, ada)
	entries := make([]trail.Entry, 1500)
	for i := range entries {
		entries[i] = login("ada")
	}
	entries[1203].AfterState = json.RawMessage(`{"twice":1,"twice":2}`)
	receipts, err := c.RecordBatch(t.Context(), entries)
	var p *trail.Problem
	if !errors.As(err, &p) || !errors.Is(err, trail.ErrUnprocessable) || len(p.Faults) != 1 || !strings.HasPrefix(p.Faults[0].Pointer, "/items/1203/afterState") {
		t.Fatalf("%v", err)
	}
	if len(receipts) != 1000 || total(t, s) != 1000 {
		t.Errorf("%d receipts, %d stored", len(receipts), total(t, s))
	}
	entries[1203].AfterState = nil
	if receipts, err = c.RecordBatch(t.Context(), entries); err != nil || len(receipts) != 1500 || total(t, s) != 1500 {
		t.Errorf("mended: %d receipts, %d stored, %v", len(receipts), total(t, s), err)
	}
}

func TestNothingIsSentWhenAnEntryCannotBeEncoded(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	proxy, url := between(t, s)
	c := connect(t, url, ada)
	for _, state := range []any{json.RawMessage(`{"open":`), make(chan int)} {
		bad := login("ada")
		bad.AfterState = state
		if _, err := c.Record(t.Context(), bad); err == nil {
			t.Errorf("%v was recorded", state)
		}
		if _, err := c.RecordBatch(t.Context(), []trail.Entry{login("ada"), bad}); err == nil || !strings.Contains(err.Error(), "entry 1") {
			t.Errorf("%v in a batch: %v", state, err)
		}
	}
	if proxy.requests() != 0 {
		t.Errorf("%d requests", proxy.requests())
	}
}
