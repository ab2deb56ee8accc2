package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
	"ocore.dev/audit/internal/testkit"
)

// event is one of a stream.
type event struct{ id, kind, data string }

// stream is a tail as it arrives, unlike what passes through the service's own client, which
// reads answers whole before it shows them.
type stream struct {
	t        testing.TB
	response *http.Response
	lines    *bufio.Reader
}

func follow(t testing.TB, s *testkit.Service, by audit.Principal, query, last string) *stream {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/audit-logs/tail?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testkit.Token(t, by))
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	response, err := http.DefaultTransport.RoundTrip(r) //nolint:bodyclose // closed when the test ends
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(response.Body)
		t.Fatalf("a tail is a %d: %s", response.StatusCode, body)
	}
	f := &stream{t, response, bufio.NewReader(response.Body)}
	t.Cleanup(func() { f.response.Body.Close() })
	return f
}

// next is the next whole event; ok is false where the stream ends, cut or not.
func (f *stream) next() (e event, ok bool) {
	f.t.Helper()
	for {
		line, err := f.lines.ReadString('\n')
		if err != nil {
			return e, false
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case name == "id":
			e.id = value
		case name == "event":
			e.kind = value
		case name == "data":
			e.data = value
		case name == "" && e.kind != "":
			return e, true
		}
	}
}

// want reads one event that must be of the kind.
func (f *stream) want(kind, data string) event {
	f.t.Helper()
	e, ok := f.next()
	if !ok || e.kind != kind || data != "" && e.data != data {
		f.t.Fatalf("%+v, %v, want %s %s", e, ok, kind, data)
	}
	return e
}

// Done when 5: 5,000 entries recorded through two instances while the connection is cut ten
// times arrive once each, in order; and so does what a filter leaves of them.
func TestATailMissesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	const entries, cuts = 5000, 10
	d := testkit.NewDatabase(t)
	services := []*testkit.Service{testkit.ServeDatabase(t, d), testkit.ServeDatabase(t, d)}
	var writers, readers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(20, uint64(w)))
			for left := entries / 4; left > 0; {
				items := make([]string, min(left, 1+random.IntN(40)))
				for i := range items {
					items[i] = fmt.Sprintf(`{"action":"action.%d","resourceType":"t","userId":"user-%d"}`, random.IntN(5), random.IntN(3))
				}
				if a := post(t, services[w%2], ada, "/audit-logs/batch", `{"items":[`+strings.Join(items, ",")+`]}`); a.status != http.StatusCreated {
					t.Errorf("%d %s", a.status, a.body)
					return
				}
				left -= len(items)
			}
		})
	}
	queries := []string{"", "action=action.1", "exclude_action=action.1&exclude_action=action.2&exclude_user_id=user-0", "user_id=nobody"}
	got := make([][]int64, len(queries))
	for i, query := range queries {
		readers.Go(func() {
			got[i] = readAlong(t, services, query, entries, cuts, rand.New(rand.NewPCG(21, uint64(i))))
		})
	}
	writers.Wait()
	readers.Wait()
	for i, query := range queries {
		var want []int64
		for _, entry := range slices.Backward(list(t, services[0], ada, "/audit-logs/export?"+query).Items) {
			var e struct{ Position int64 }
			if err := json.Unmarshal(entry, &e); err != nil {
				t.Fatal(err)
			}
			want = append(want, e.Position)
		}
		if !slices.Equal(got[i], want) || len(want) == 0 != strings.Contains(query, "nobody") {
			t.Errorf("%q: %d entries arrived in place of %d", query, len(got[i]), len(want))
		}
	}
}

// readAlong follows until the trail has so many entries, through one instance or the other,
// and cuts its connection so many times, at times in the middle of an event.
func readAlong(t *testing.T, services []*testkit.Service, query string, entries, cuts int, random *rand.Rand) (positions []int64) {
	t.Helper()
	last := "-1"
	for connection := 0; ; connection++ {
		f := follow(t, services[random.IntN(2)], ada, query, last)
		if connection < cuts {
			f.lines = bufio.NewReaderSize(io.LimitReader(f.response.Body, 200+random.Int64N(60_000)), 16)
			time.AfterFunc(300*time.Millisecond, func() { f.response.Body.Close() }) // nothing may come
		}
		for {
			e, ok := f.next()
			if !ok {
				break
			}
			last = e.id
			if e.kind == "entry" {
				var entry struct{ Position int64 }
				if err := json.Unmarshal([]byte(e.data), &entry); err != nil || strconv.FormatInt(entry.Position, 10) != e.id {
					t.Errorf("%+v: %v", e, err)
				}
				positions = append(positions, entry.Position)
			}
			if at, _ := strconv.Atoi(last); connection >= cuts && at >= entries-1 {
				f.response.Body.Close()
				return positions
			}
		}
		f.response.Body.Close()
	}
}

func TestATailEndsWithAReasonAndSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	seed(t, s, numbered(3)...)
	whole := list(t, s, ada, "/audit-logs").Items

	f := follow(t, s, ada, "position=1&wait=0", "")
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := f.response.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if e := f.want("at", `{"next":1,"size":3}`); e.id != "0" {
		t.Errorf("%+v", e)
	}
	f.want("entry", string(whole[1]))
	if e := f.want("entry", string(whole[0])); e.id != "2" {
		t.Errorf("%+v", e)
	}
	f.want("end", `{"reason":"waited","next":3}`)
	if e, ok := f.next(); ok {
		t.Errorf("after the end: %+v", e)
	}

	f = follow(t, s, ada, "", "")
	if e := f.want("at", `{"next":3,"size":3}`); e.id != "2" {
		t.Errorf("%+v", e)
	}
	post(t, s, ada, "/audit-logs", least)
	if e := f.want("entry", ""); e.id != "3" {
		t.Errorf("%+v", e)
	}
	s.Drain()
	f.want("end", `{"reason":"restart","next":4}`)

	f = follow(t, s, testkit.Member("empty"), "", "")
	if e := f.want("at", `{"next":0,"size":0}`); e.id != "-1" {
		t.Errorf("of an empty trail: %+v", e)
	}
}

// What doesn't match is passed over without a word, and not gone through again.
func TestATailPassesOverWhatDoesNotMatch(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	shop(t, s, 20_000) // more than one step of a search
	total := list(t, s, ada, "/audit-logs?resource_id=r%2F7&exclude_action=action.1").Total
	f := follow(t, s, ada, "position=0&wait=0&resource_id=r%2F7&exclude_action=action.1", "")
	f.want("at", `{"next":0,"size":20000}`)
	for range total {
		f.want("entry", "")
	}
	f.want("end", `{"reason":"waited","next":20000}`)
	f = follow(t, s, ada, "position=0&wait=0&user_id=nobody", "")
	f.want("at", "")
	f.want("end", `{"reason":"waited","next":20000}`)
}

func TestATailEndsWithItsToken(t *testing.T) {
	t.Parallel()
	var later atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	verifier, err := auth.NewVerifier([]auth.Issuer{{Issuer: "testkit", Algorithms: []string{"HS256"}, Secret: []byte("a secret of the tests, long enough for HS256")}}, now)
	if err != nil {
		t.Fatal(err)
	}
	s := testkit.ServeTrusting(t, testkit.NewDatabase(t), verifier, slog.New(slog.DiscardHandler))
	f := follow(t, s, ada, "", "")
	f.want("at", "")
	later.Store(int64(2 * time.Hour))
	f.want("end", `{"reason":"expired","next":0}`)
}

func TestATailBehindTheEndIsRefused(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	s.Drain()
	seed(t, s, numbered(3)...)
	for _, c := range []struct {
		query, last string
		status      int
		parameter   string
	}{
		{"position=3", "", 200, ""},
		{"position=4", "", 400, "position"},
		{"", "2", 200, ""},
		{"", "3", 400, "Last-Event-ID"},
		{"", "-1", 200, ""},
		{"", "-2", 400, "Last-Event-ID"},
		{"", "x", 400, "Last-Event-ID"},
		{"", "9007199254740992", 400, "Last-Event-ID"},
		{"position=9", "1", 200, ""},
		{"wait=3601", "", 400, "wait"},
		{"start_date=2026-01-01T00:00:00Z", "", 400, "start_date"},
	} {
		a := send(t, s, ada, http.MethodGet, "/audit-logs/tail?"+c.query, "", "Last-Event-ID", c.last)
		if c.status == http.StatusOK {
			if a.status != c.status {
				t.Errorf("%+v: %d %s", c, a.status, a.body)
			}
			continue
		}
		if p := a.problem(t, c.status); p.Parameter == nil || *p.Parameter != c.parameter {
			t.Errorf("%+v: %s", c, a.body)
		}
	}
}

// Each connection is recorded before its first event, or there is none.
func TestTailsAreRecorded(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	s.Drain()
	seed(t, s, numbered(3)...)
	get(t, s, ada, "/audit-logs/tail?position=1&action=a&exclude_user_id=u&exclude_user_id=b")
	send(t, s, ada, http.MethodGet, "/audit-logs/tail", "", "Last-Event-ID", "1")
	p := list(t, s, grace, "/admin/audit-logs")
	want := []string{
		`"action":"audit_log.tailed","userId":"ada","userName":"Ada Lovelace","organizationId":"acme","details":{"filter":{},"position":2},"recordedBy":"ada"`,
		`"action":"audit_log.tailed","userId":"ada","userName":"Ada Lovelace","organizationId":"acme","details":{"filter":{"action":"a","exclude_user_id":["b","u"]},"position":1},"recordedBy":"ada"`,
	}
	for i, text := range want {
		if p.Total != 2 || !strings.Contains(string(p.Logs[i]), text) {
			t.Errorf("%d: %s", p.Total, p.Logs[i])
		}
	}
	if _, err := testkit.Connect(t, s.Database.SuperuserURL).Exec(t.Context(), "REVOKE INSERT ON admin_search FROM ocore_audit_serving"); err != nil {
		t.Fatal(err)
	}
	if a := get(t, s, ada, "/audit-logs/tail"); strings.Contains(a.body, "event:") {
		t.Errorf("unrecorded: %s", a.body)
	} else {
		a.problem(t, http.StatusServiceUnavailable)
	}
}

func TestThereIsRoomForSoManyTails(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	var open []*stream
	for range audit.MaxTailsOfOne {
		f := follow(t, s, ada, "", "")
		f.want("at", "")
		open = append(open, f)
	}
	a := get(t, s, ada, "/audit-logs/tail?wait=0")
	if a.problem(t, http.StatusServiceUnavailable); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if a := get(t, s, testkit.Member("globex"), "/audit-logs/tail?wait=0"); a.status != http.StatusOK {
		t.Errorf("another organization: %d", a.status)
	}
	open[0].response.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for get(t, s, ada, "/audit-logs/tail?wait=0").status != http.StatusOK {
		if ctx.Err() != nil {
			t.Fatal("a tail that was left keeps its room")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
