package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/testkit"
)

// gated is a store that is slow for acme's reads: they wait until the gate is open.
type gated struct {
	audit.Store
	open chan struct{}
}

func (g *gated) wait(ctx context.Context, organization string) error {
	if organization != "acme" {
		return nil
	}
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gated) Newest(ctx context.Context, organization string, w audit.Window, visit func(audit.Row)) (audit.Found, error) {
	if err := g.wait(ctx, organization); err != nil {
		return audit.Found{}, err
	}
	return g.Store.Newest(ctx, organization, w, visit)
}

func (g *gated) Rows(ctx context.Context, organization string, positions []int64, visit func(audit.Row)) error {
	if err := g.wait(ctx, organization); err != nil {
		return err
	}
	return g.Store.Rows(ctx, organization, positions, visit)
}

// behindGate is a service over a gated store with an entry for acme and for globex.
func behindGate(t *testing.T) (*testkit.Service, *gated) {
	t.Helper()
	gate := &gated{open: make(chan struct{})}
	database := testkit.NewDatabase(t)
	gate.Store = testkit.NewStore(t, database)
	s := testkit.ServeDatabase(t, database, func(o *httpapi.Options) { o.Service = audit.NewService(gate) })
	for _, organization := range []string{"acme", "globex"} {
		post(t, s, testkit.Member(organization), "/audit-logs", whole)
	}
	return s, gate
}

// storm sends n calls at once, without waiting for them, and counts their answers.
func storm(t *testing.T, s *testkit.Service, n int, path string) *[600]atomic.Int64 {
	t.Helper()
	token := testkit.Token(t, ada)
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 0, DisableKeepAlives: true}}
	var answers [600]atomic.Int64
	done := make(chan struct{}, n)
	ctx, cancel := context.WithCancel(t.Context())
	for range n {
		go func() {
			defer func() { done <- struct{}{} }()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
			if err != nil {
				return
			}
			r.Header.Set("Authorization", "Bearer "+token)
			response, err := client.Do(r)
			if err != nil {
				return
			}
			defer response.Body.Close()
			if response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") == "" {
				return
			}
			if _, err := io.Copy(io.Discard, response.Body); err == nil {
				answers[response.StatusCode].Add(1)
			}
		}()
	}
	t.Cleanup(func() {
		cancel()
		for range n {
			<-done
		}
	})
	return &answers
}

// running waits until so many of a lane are worked on.
func running(t *testing.T, s *testkit.Service, lane string, n float64) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("%v of %s run", n, lane), func() bool {
		return metric(t, scrape(t, s), `ocore_audit_lane_requests{lane="`+lane+`",state="running"}`) == n
	})
}

// An organization whose reads hold everything that they may is refused at once, while
// another reads as ever, and both write. Afterwards all is as before.
func TestOneOrganizationsStormLeavesTheOthersInPeace(t *testing.T) {
	t.Parallel()
	s, gate := behindGate(t)
	const sent, slots, queue = 400, 6, 96
	answers := storm(t, s, sent, "/audit-logs")
	running(t, s, "reads", slots)
	testkit.Eventually(t, "the rest is refused", func() bool { return answers[503].Load() >= sent-slots-queue })
	globex := testkit.Member("globex")
	for i := range 20 {
		if a := get(t, s, globex, "/audit-logs"); a.status != http.StatusOK {
			t.Fatalf("another organization: %d %s", a.status, a.body)
		}
		for _, by := range []audit.Principal{ada, globex} {
			if a := post(t, s, by, "/audit-logs", fmt.Sprintf(`{"id":"w-%d","action":"a","resourceType":"t"}`, i)); a.status != http.StatusCreated {
				t.Fatalf("a write: %d %s", a.status, a.body)
			}
		}
		if a := get(t, s, globex, "/audit-logs/export"); a.status != http.StatusOK {
			t.Fatalf("an export: %d %s", a.status, a.body)
		}
	}
	refused := get(t, s, ada, "/audit-logs/entries/e-1?")
	if p := refused.problem(t, http.StatusServiceUnavailable); refused.header.Get("Retry-After") != "1" || !strings.Contains(*p.Detail, "overloaded") {
		t.Errorf("%s %v", refused.body, refused.header)
	}
	close(gate.open)
	testkit.Eventually(t, "each is answered", func() bool { return answers[200].Load()+answers[503].Load() == sent })
	running(t, s, "reads", 0)
	if answers[200].Load() < slots {
		t.Errorf("%d went well", answers[200].Load())
	}
	if a := get(t, s, ada, "/audit-logs"); a.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
	scraped := scrape(t, s)
	if n := metric(t, scraped, `ocore_audit_overload_refusals_total{lane="reads"}`); int64(n) != answers[503].Load()+1 {
		t.Errorf("%v refusals are counted of %d", n, answers[503].Load()+1)
	}
}

func TestExportsThatStandStillStarveNobody(t *testing.T) {
	t.Parallel()
	s, gate := behindGate(t)
	answers := storm(t, s, 20, "/audit-logs/export")
	running(t, s, "exports", 3)
	testkit.Eventually(t, "the rest is refused", func() bool { return answers[503].Load() == 17 })
	globex := testkit.Member("globex")
	for _, path := range []string{"/audit-logs/export", "/audit-logs", "/audit-logs/entries/e-1"} {
		if a := get(t, s, globex, path); a.status != http.StatusOK {
			t.Errorf("%s of another organization: %d %s", path, a.status, a.body)
		}
	}
	if a := post(t, s, ada, "/audit-logs", whole); a.status != http.StatusCreated {
		t.Errorf("a write: %d %s", a.status, a.body)
	}
	close(gate.open)
	testkit.Eventually(t, "each is answered", func() bool { return answers[200].Load()+answers[503].Load() == 20 })
	running(t, s, "exports", 0)
}

// Bodies that are on their way are bounded for all together, and for one organization to
// three quarters of that.
func TestBodiesOnTheirWayAreBounded(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	address := strings.TrimSuffix(strings.TrimPrefix(s.URL, "http://"), httpapi.BasePath)
	almost := strings.Repeat(" ", audit.MaxBodyBytes-1)
	var held []net.Conn
	for range 6 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		held = append(held, conn)
		fmt.Fprintf(conn, "POST /api/audit-logs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			testkit.Token(t, ada), audit.MaxBodyBytes, almost)
	}
	inUse := func() float64 { return metric(t, scrape(t, s), "ocore_audit_body_bytes") }
	testkit.Eventually(t, "the bodies are there", func() bool { return inUse() == float64(6*len(almost)) })
	post(t, s, ada, "/audit-logs", whole).problem(t, http.StatusServiceUnavailable)
	if a := post(t, s, testkit.Member("globex"), "/audit-logs", whole); a.status != http.StatusCreated {
		t.Errorf("another organization: %d %s", a.status, a.body)
	}
	if a := get(t, s, ada, "/audit-logs"); a.status != http.StatusOK {
		t.Errorf("a read: %d %s", a.status, a.body)
	}
	for _, conn := range held {
		conn.Close()
	}
	testkit.Eventually(t, "the bodies are gone", func() bool { return inUse() == 0 })
	if a := post(t, s, ada, "/audit-logs", whole); a.status != http.StatusCreated {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}

func TestCallersAreLimitedAndTold(t *testing.T) {
	t.Parallel()
	s := testkit.ServeDatabase(t, testkit.NewDatabase(t), func(o *httpapi.Options) {
		o.CredentialLimit = httpapi.Limit{Rate: 0.001, Burst: 3}
		o.OrganizationLimit = httpapi.Limit{Rate: 0.001, Burst: 5}
	})
	for want, a := range map[string]answer{
		`"credential";r=2;t=1000, "organization";r=4;t=1000`: post(t, s, ada, "/audit-logs", whole),
		`"credential";r=1;t=1000, "organization";r=3;t=1000`: get(t, s, ada, "/audit-logs?page=-1"), // refused, and counted
	} {
		if got := a.header.Get("RateLimit"); !sameBut(got, want) || a.header.Get("RateLimit-Policy") != `"credential";q=3;w=3000, "organization";q=5;w=5000` {
			t.Errorf("%d: %v, want %s", a.status, a.header, want)
		}
	}
	if a := get(t, s, audit.Principal{}, "/audit-logs"); a.header.Get("RateLimit")+a.header.Get("RateLimit-Policy") != "" {
		t.Errorf("nobody's limit is told: %v", a.header)
	}
	get(t, s, ada, "/audit-logs")
	a := get(t, s, ada, "/audit-logs")
	a.problem(t, http.StatusTooManyRequests)
	if !sameBut(a.header.Get("RateLimit"), `"credential";r=0;t=1000`) || !sameBut(a.header.Get("Retry-After"), "1000") {
		t.Errorf("%v", a.header)
	}
	grace := ada
	grace.Subject = "grace"
	get(t, s, grace, "/audit-logs")
	get(t, s, grace, "/audit-logs")
	if a := get(t, s, grace, "/audit-logs"); a.status != http.StatusTooManyRequests || !strings.HasPrefix(a.header.Get("RateLimit"), `"organization";r=0`) {
		t.Errorf("the organization's sixth: %d %v", a.status, a.header)
	}
	if a := get(t, s, testkit.Member("globex"), "/audit-logs"); a.status != http.StatusTooManyRequests {
		t.Errorf("ada's fourth, elsewhere: %d", a.status) // her credential is one
	}
	if scraped := scrape(t, s); metric(t, scraped, `ocore_audit_rate_limited_total{limit="organization"}`) != 1 || metric(t, scraped, `ocore_audit_rate_limited_total{limit="credential"}`) != 2 {
		t.Error(scraped)
	}
}

// sameBut compares headers whose 1000 seconds have begun to run.
func sameBut(got, want string) bool {
	for second := 1000; second > 900; second-- {
		if got == strings.ReplaceAll(want, "1000", fmt.Sprint(second)) {
			return true
		}
	}
	return false
}
