package trail_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ocore.dev/audit/gen/client/trail"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/testkit"
)

// A token that expired is replaced by asking the source once more.
func TestAnExpiredTokenIsReplaced(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	expired, fresh := testkit.ExpiredToken(t, ada), testkit.Token(t, ada)
	var asked atomic.Int64
	source := func(context.Context) (string, error) {
		if asked.Add(1) == 1 {
			return expired, nil
		}
		return fresh, nil
	}
	proxy, url := between(t, s)
	stored, err := connect(t, url, ada, trail.WithTokenSource(source)).Record(t.Context(), login("ada"))
	if err != nil || stored.Position != 0 || asked.Load() != 2 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
	if len(proxy.tokens) != 2 || proxy.tokens[0] != "Bearer "+expired || proxy.tokens[1] != "Bearer "+fresh {
		t.Errorf("sent %q", proxy.tokens)
	}
}

func TestTheSourceIsAskedForEveryAttemptAndOnceMoreForA401(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	good, expired := testkit.Token(t, ada), testkit.ExpiredToken(t, ada)
	for name, c := range map[string]struct {
		tokens   []string // in turn, the last for ever
		faults   []fault
		asked    int64
		requests int
		err      error
	}{
		"two lost attempts":                {[]string{good}, []fault{dropped, dropped}, 3, 3, nil},
		"the same token again":             {[]string{expired}, nil, 2, 1, trail.ErrUnauthorized},
		"another bad token":                {[]string{expired, "other"}, nil, 2, 2, trail.ErrUnauthorized},
		"expires between the attempts":     {[]string{good, expired, good}, []fault{dropped}, 3, 3, nil},
		"refused after a fresh one is bad": {[]string{"x", expired, good}, nil, 2, 2, trail.ErrUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy, url := between(t, s, c.faults...)
			var asked atomic.Int64
			source := func(context.Context) (string, error) {
				return c.tokens[min(int(asked.Add(1))-1, len(c.tokens)-1)], nil
			}
			_, err := connect(t, url, ada, trail.WithTokenSource(source)).List(t.Context(), trail.Filter{}, trail.Page{})
			if !errors.Is(err, c.err) || asked.Load() != c.asked || proxy.requests() != c.requests {
				t.Errorf("asked %d times for %d requests: %v", asked.Load(), proxy.requests(), err)
			}
		})
	}
}

func TestASourcesErrorEndsTheCall(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	proxy, url := between(t, s)
	broken := errors.New("the issuer is away")
	_, err := connect(t, url, ada, trail.WithTokenSource(func(context.Context) (string, error) { return "", broken })).
		List(t.Context(), trail.Filter{}, trail.Page{})
	if !errors.Is(err, broken) || proxy.requests() != 0 {
		t.Errorf("%d requests, %v", proxy.requests(), err)
	}
}

func TestTheOrganizationIsChosen(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	both := testkit.Member("acme", "globex")
	if _, err := connect(t, s.URL, both, trail.WithOrganization("globex")).Record(t.Context(), login("ada")); err != nil {
		t.Fatal(err)
	}
	list, err := direct(t, s, testkit.Member("globex")).List(t.Context(), trail.Filter{}, trail.Page{})
	if err != nil || list.Total != 1 || total(t, s) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	for _, slug := range []string{"", "initech"} {
		if _, err := connect(t, s.URL, both, trail.WithOrganization(slug)).List(t.Context(), trail.Filter{}, trail.Page{}); !errors.Is(err, trail.ErrForbidden) {
			t.Errorf("%q: %v", slug, err)
		}
	}
}

func TestTheContextEndsAPause(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	proxy, url := between(t, s, refuses(503, "Retry-After", "5"))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		asked(t, proxy)
		time.Sleep(100 * time.Millisecond) // in the pause by then
		cancel()
	}()
	begun := time.Now()
	_, err := connect(t, url, ada).Record(ctx, login("ada"))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, trail.ErrUnavailable) || time.Since(begun) > 4*time.Second || proxy.requests() != 1 {
		t.Errorf("after %s and %d requests: %v", time.Since(begun), proxy.requests(), err)
	}
}

func TestTheContextEndsAnAttempt(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	proxy, url := between(t, s, lateBy(time.Second))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		asked(t, proxy)
		cancel()
	}()
	if _, err := connect(t, url, ada).Record(ctx, login("ada")); !errors.Is(err, context.Canceled) || proxy.requests() != 1 {
		t.Errorf("%d requests: %v", proxy.requests(), err)
	}
}

// An attempt that takes too long is the attempt's fault, and must not look like the caller's
// own cancellation.
func TestASlowAttemptIsToldAsOne(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	proxy, url := between(t, s, lateBy(3*time.Second), lateBy(3*time.Second))
	_, err := connect(t, url, ada, trail.WithAttempts(2), trail.WithAttemptTimeout(time.Second)).Record(t.Context(), login("ada"))
	if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled) || proxy.requests() != 2 {
		t.Errorf("%d requests: %v", proxy.requests(), err)
	}
}

func TestNobodyAtTheAddressIsAnErrorAfterAllAttempts(t *testing.T) {
	t.Parallel()
	_, err := connect(t, "http://127.0.0.1:1/api", ada).List(t.Context(), trail.Filter{}, trail.Page{})
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}

// Each kind of problem that the service can be brought to is the error that its name says,
// and tells all that the document holds.
func TestProblemsAreErrors(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	c := direct(t, s, ada)
	first := login("ada")
	first.ID = "known"
	if _, err := c.Record(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	other := first
	other.UserID = "grace"
	huge := login("ada")
	huge.AfterState = map[string]string{"text": strings.Repeat("x", 9<<20)}
	emitter := ada
	emitter.Permissions = []audit.Permission{audit.CreateAuditLogs}
	record := func(c *trail.Client, e trail.Entry) error {
		_, err := c.Record(t.Context(), e)
		return err
	}
	list := func(c *trail.Client, p trail.Page) error {
		_, err := c.List(t.Context(), trail.Filter{}, p)
		return err
	}
	_, unknown := c.Entry(t.Context(), "unknown")
	asked := 0
	proof := func() error {
		if _, err := testkit.Connect(t, s.Database.SuperuserURL).Exec(t.Context(), "UPDATE entries SET created_at = created_at + interval '1 us'"); err != nil {
			t.Fatal(err)
		}
		counting := &http.Client{Transport: counter{&asked}}
		_, err := connect(t, s.URL, ada, trail.WithHTTPClient(counting)).Proof(t.Context(), "known")
		return err
	}
	for name, test := range map[string]struct {
		err    error
		kind   error
		status int
		told   func(*trail.Problem) bool
	}{
		"bad-request":           {list(c, trail.Page{Size: 1001}), trail.ErrBadRequest, 400, func(p *trail.Problem) bool { return p.Parameter == "per_page" && p.Detail != "" }},
		"unauthorized":          {list(connect(t, s.URL, ada, trail.WithToken("none")), trail.Page{}), trail.ErrUnauthorized, 401, nil},
		"forbidden":             {list(connect(t, s.URL, emitter), trail.Page{}), trail.ErrForbidden, 403, nil},
		"not-found":             {unknown, trail.ErrNotFound, 404, nil},
		"conflict":              {record(c, other), trail.ErrConflict, 409, func(p *trail.Problem) bool { return p.ID == "known" }},
		"content-too-large":     {record(c, huge), trail.ErrContentTooLarge, 413, nil},
		"altered":               {proof(), trail.ErrAltered, 500, func(p *trail.Problem) bool { return strings.HasPrefix(p.Detail, "position 0: ") && asked == 1 }},
		"unprocessable-content": {record(c, trail.Entry{ID: ".", Action: "a", ResourceType: "b"}), trail.ErrUnprocessable, 422, func(p *trail.Problem) bool { return len(p.Faults) == 1 && p.Faults[0].Pointer == "/id" }},
	} {
		var p *trail.Problem
		if !errors.As(test.err, &p) || !errors.Is(test.err, test.kind) || p.Status != test.status ||
			p.Type != "https://docs.ocore.dev/audit/problems/"+name || p.Title == "" || p.RequestID == "" || !strings.Contains(p.Error(), p.RequestID) {
			t.Errorf("%s: %#v", name, test.err)
			continue
		}
		if test.told != nil && !test.told(p) {
			t.Errorf("%s tells %+v", name, p)
		}
		if errors.Is(test.err, trail.ErrTooManyRequests) {
			t.Errorf("%s is another kind too", name)
		}
	}
}

// counter counts calls.
type counter struct{ calls *int }

func (c counter) RoundTrip(r *http.Request) (*http.Response, error) {
	*c.calls++
	return http.DefaultTransport.RoundTrip(r)
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "audit.acme.example/api", "ftp://audit.acme.example", "https://", "https://a.example/api?x=1", "http://%zz"} {
		if _, err := trail.New(url, trail.WithToken("x")); err == nil {
			t.Errorf("%q is taken", url)
		}
	}
	if _, err := trail.New("https://audit.acme.example/api"); err == nil {
		t.Error("no token is taken")
	}
}
