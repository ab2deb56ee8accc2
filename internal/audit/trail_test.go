package audit_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
)

func TestRecordStoresAllOrNone(t *testing.T) {
	t.Parallel()
	good := audit.Draft{ID: "x", Action: "a", ResourceType: "b"}
	numbered := func(n int) []audit.Draft {
		drafts := make([]audit.Draft, n)
		for i := range drafts {
			drafts[i] = audit.Draft{ID: fmt.Sprint(i), Action: "a", ResourceType: "b"}
		}
		return drafts
	}
	var twenty []string
	for i := range 20 {
		twenty = append(twenty, fmt.Sprintf("/items/%d/action", i))
	}
	for name, c := range map[string]struct {
		drafts   []audit.Draft
		kind     error
		pointers []string
	}{
		"one":                {[]audit.Draft{good}, nil, nil},
		"the most":           {numbered(audit.MaxBatch), nil, nil},
		"none":               {nil, audit.ErrMalformed, []string{"/items"}},
		"too many":           {numbered(audit.MaxBatch + 1), audit.ErrMalformed, []string{"/items"}},
		"an id twice":        {[]audit.Draft{good, {ID: "y", Action: "a", ResourceType: "b"}, good}, audit.ErrMalformed, []string{"/items/2/id"}},
		"an id thrice":       {[]audit.Draft{good, good, good}, audit.ErrMalformed, []string{"/items/1/id", "/items/2/id"}},
		"without ids":        {[]audit.Draft{{Action: "a", ResourceType: "b"}, {Action: "a", ResourceType: "b"}}, nil, nil},
		"two faults":         {[]audit.Draft{good, {Action: "a"}, {ID: "/", Action: "a", ResourceType: "b"}}, audit.ErrUnprocessable, []string{"/items/1/resourceType", "/items/2/id"}},
		"the worst counts":   {[]audit.Draft{{Action: "a"}, {Action: "a", ResourceType: "b", AfterState: []byte("x")}}, audit.ErrMalformed, []string{"/items/0/resourceType", "/items/1/afterState"}},
		"faults without end": {slices.Repeat([]audit.Draft{{ResourceType: "b"}}, 30), audit.ErrUnprocessable, twenty},
	} {
		m := newMemory()
		receipts, err := audit.NewService(m).Record(t.Context(), "acme", audit.Principal{Subject: "s"}, c.drafts)
		if c.kind == nil {
			if err != nil || len(receipts) != len(c.drafts) || len(m.trails["acme"]) != len(c.drafts) {
				t.Errorf("%s: %d receipts, %v", name, len(receipts), err)
			}
			continue
		}
		checkFaults(t, err, c.kind, c.pointers...)
		if len(m.calls) > 0 {
			t.Errorf("%s: the store was asked to %q", name, m.calls)
		}
	}
}

func TestRecordedEntriesSayWhoRecordedThem(t *testing.T) {
	t.Parallel()
	m := newMemory()
	service := audit.NewService(m)
	by := audit.Principal{Subject: "emitter", Name: "not kept"}
	receipt, err := service.RecordOne(t.Context(), "acme", by, audit.Draft{ID: "x", Action: "a", ResourceType: "b"})
	if err != nil || string(receipt.Row.Text) != `{"id":"x","action":"a","resourceType":"b","recordedBy":"emitter"}` {
		t.Errorf("recorded %s, %v", receipt.Row.Text, err)
	}
	receipt, err = service.RecordAdmin(t.Context(), by, []byte(`{"id":"x","action":"a"}`))
	if err != nil || string(receipt.Row.Text) != `{"id":"x","action":"a","recordedBy":"emitter"}` || len(m.trails[audit.AdminOrganization]) != 1 {
		t.Errorf("recorded %s, %v", receipt.Row.Text, err)
	}
	old := audit.Admitted{ID: "y", Content: []byte(`{"id":"y"`), OriginalTime: time.Unix(0, 0).UTC()}
	receipts, err := service.Import(t.Context(), "acme", by, []audit.Admitted{old})
	if err != nil || string(receipts[0].Row.Text) != `{"id":"y","recordedBy":"emitter","importedAt":"2026-11-23T06:05:00.000000Z"}` || !receipts[0].Row.CreatedAt.Equal(old.OriginalTime) {
		t.Errorf("imported %+v, %v", receipts, err)
	}
	_, err = service.RecordOne(t.Context(), "acme", by, audit.Draft{ResourceType: "b"})
	checkFaults(t, err, audit.ErrUnprocessable, "/action")
	_, err = service.RecordAdmin(t.Context(), by, []byte("{"))
	checkFaults(t, err, audit.ErrMalformed, "")
	m.fail = "append acme"
	if _, err := service.RecordOne(t.Context(), "acme", by, audit.Draft{Action: "a", ResourceType: "b"}); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("error = %v", err)
	}
}

func TestEntryIsFoundByItsIDInItsOrganization(t *testing.T) {
	t.Parallel()
	m := newMemory()
	service := audit.NewService(m)
	m.keep(t, "acme", 1, audit.Draft{ID: "x", Action: "a", ResourceType: "b"})
	if row, err := service.Entry(t.Context(), "acme", "x"); err != nil || row.Position != 0 {
		t.Errorf("row = %+v, %v", row, err)
	}
	for _, c := range [][2]string{{"other", "x"}, {"acme", "X"}, {"acme", ""}, {"acme", ".."}, {"acme", "x\x00"}, {"acme", strings.Repeat("x", 129)}} {
		if _, err := service.Entry(t.Context(), c[0], c[1]); !errors.Is(err, audit.ErrNotFound) {
			t.Errorf("%q: %v", c, err)
		}
	}
}

func TestRejectionsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", audit.MaxPointer)
	for want, err := range map[string]error{
		"malformed: page counts from 1":                    audit.BadParameter("page", "page counts from %d", 1),
		"forbidden: no":                                    audit.Denied("no"),
		"unprocessable; /a: is bad; /b: is worse":          &audit.Rejection{Kind: audit.ErrUnprocessable, Faults: []audit.Fault{{Pointer: "/a", Detail: "is bad"}, {Pointer: "/b", Detail: "is worse"}}},
		"unprocessable; /" + long + ": is bad; and 2 more": &audit.Rejection{Kind: audit.ErrUnprocessable, Faults: []audit.Fault{{Pointer: "/" + long, Detail: "is bad"}, {}, {}}},
		"/a/0: is nested too deeply":                       &audit.JSONError{Pointer: "/a/0", Reason: "is nested too deeply"},
	} {
		if err.Error() != want {
			t.Errorf("%q; want %q", err, want)
		}
	}
}
