package auth_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
)

// The clock of these tests is synctest's: minutes pass when everything waits for them. So
// the network has to be pipes within the process; HTTP over them is real.

// provider is an issuer that publishes its keys, or does something else.
type provider struct {
	pipes
	mu     sync.Mutex
	answer http.HandlerFunc
	asked  []time.Time // for keys
	paths  []string
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	if !strings.HasPrefix(r.URL.Path, "/.well-known/") {
		p.asked = append(p.asked, time.Now())
	}
	p.paths = append(p.paths, r.URL.Path)
	answer := p.answer
	p.mu.Unlock()
	answer(w, r)
}

func (p *provider) answers(with http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = with
}

func (p *provider) publishes(keys ...string) { p.answers(text(keySet(keys...))) }

// count is how often keys were asked for since a time.
func (p *provider) count(since time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked) - slices.IndexFunc(append(p.asked, time.Now().Add(time.Hour)), func(at time.Time) bool { return !at.Before(since) })
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// hang takes a request and never answers.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// pipes is a network of one listener.
type pipes struct {
	connections chan net.Conn
	closed      chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.connections:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.connections <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// journal keeps a log for the test to read.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// publishing runs a verifier against a provider, on synctest's clock, until the test ends.
func publishing(t *testing.T, first http.HandlerFunc, test func(t *testing.T, p *provider, v *auth.Verifier, logged *journal)) {
	t.Helper()
	publishingAs(t, func(issuer *auth.Issuer) { issuer.KeySetURL = "http://localhost/keys" }, first, test)
}

func publishingAs(t *testing.T, set func(*auth.Issuer), first http.HandlerFunc, test func(t *testing.T, p *provider, v *auth.Verifier, logged *journal)) {
	t.Helper()
	rsaKey() // outside the bubble, since others make use of them
	ecKey()
	synctest.Test(t, func(t *testing.T) {
		p := &provider{pipes: pipes{connections: make(chan net.Conn), closed: make(chan struct{})}, answer: first}
		server := &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0)}
		go server.Serve(p)
		transport := &http.Transport{DialContext: p.dial}
		issuer := auth.Issuer{Issuer: iss, Algorithms: []string{"RS256", "ES256", "EdDSA"}, Transport: transport}
		set(&issuer)
		v, err := auth.NewVerifier([]auth.Issuer{issuer}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var logged journal
		var running sync.WaitGroup
		running.Go(func() { v.Run(ctx, slog.New(slog.NewJSONHandler(&logged, nil))) })
		defer func() {
			stop()
			running.Wait()
			close(p.closed)
			server.Close()
			transport.CloseIdleConnections()
		}()
		synctest.Wait()
		test(t, p, v, &logged)
	})
}

// fresh is a token issued now, of the key with that id.
func fresh(kid string, sign signer) string {
	alg := map[string]string{"rsa": "RS256", "ec": "ES256"}[kid]
	if alg == "" {
		alg = "EdDSA"
	}
	now := time.Now().Unix()
	return compact(`{"alg":"`+alg+`","kid":"`+kid+`"}`, payload(edit{"iat": fmt.Sprint(now), "exp": fmt.Sprint(now + 3600)}), sign)
}

func notReady(t *testing.T, v *auth.Verifier, token string) {
	t.Helper()
	if _, err := authenticate(t, v, token); !errors.Is(err, audit.ErrNotReady) || errors.Is(err, audit.ErrUnauthenticated) {
		t.Errorf("err = %v, want that nobody can tell", err)
	}
}

func TestPublishedKeys(t *testing.T) {
	t.Parallel()
	publishing(t, text(keySet(rsaJWK(nil), ecJWK(nil), edJWK(nil))), func(t *testing.T, p *provider, v *auth.Verifier, _ *journal) {
		if err := v.Ready(); err != nil {
			t.Error(err)
		}
		for kid, sign := range map[string]signer{"rsa": rs256, "ec": es256, "ed": eddsa} {
			accepted(t, v, fresh(kid, sign))
			refused(t, v, fresh(kid, hs256(secret)))
		}
		time.Sleep(time.Hour + time.Second)
		if n := p.count(time.Time{}); n != 13 {
			t.Errorf("asked %d times in an hour, want every 5 minutes", n)
		}
	})
}

func TestDiscoveredKeys(t *testing.T) {
	t.Parallel()
	configuration := func(issuer, at string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/realm/.well-known/openid-configuration", "/.well-known/openid-configuration":
				fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"scopes_supported":["openid"]}`, issuer, at)
			case "/certs":
				io.WriteString(w, keySet(edJWK(nil)))
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		}
	}
	for _, c := range []struct {
		name, issuer, said, at string
		want                   string // in the log; "": it works
	}{
		{"with a path", "http://localhost/realm", "http://localhost/realm", "http://localhost/certs", ""},
		{"with a slash at the end", "http://localhost/", "http://localhost/", "http://localhost/certs", ""},
		{"of another issuer", "http://localhost/realm", "http://localhost/other", "http://localhost/certs", "is of the issuer"},
		{"of another spelling", "http://localhost/realm", "http://localhost/realm/", "http://localhost/certs", "is of the issuer"},
		{"keys without TLS", "http://localhost/realm", "http://localhost/realm", "http://elsewhere.example/certs", "jwks_uri: must begin with https"},
		{"keys in a file", "http://localhost/realm", "http://localhost/realm", "file:///etc/passwd", "jwks_uri: is no URL"},
		{"keys nowhere", "http://localhost/realm", "http://localhost/realm", "", "jwks_uri: is no URL"},
		{"keys missing", "http://localhost/realm", "http://localhost/realm", "http://localhost/none", "answers 404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			set := func(issuer *auth.Issuer) { issuer.Issuer, issuer.Discover = c.issuer, true }
			publishingAs(t, set, configuration(c.said, c.at), func(t *testing.T, _ *provider, v *auth.Verifier, logged *journal) {
				now := time.Now().Unix()
				token := compact(`{"alg":"EdDSA","kid":"ed"}`, payload(edit{
					"iss": quoted(c.issuer), "iat": fmt.Sprint(now), "exp": fmt.Sprint(now + 60),
				}), eddsa)
				if c.want == "" {
					accepted(t, v, token)
					return
				}
				notReady(t, v, token)
				if !strings.Contains(logged.String(), c.want) {
					t.Errorf("logged %s, want %q", logged, c.want)
				}
			})
		})
	}
}

// JK-01
func TestTheIssuerIsDownAtStart(t *testing.T) {
	t.Parallel()
	publishing(t, status(http.StatusBadGateway), func(t *testing.T, p *provider, v *auth.Verifier, logged *journal) {
		for range 30 {
			if err := v.Ready(); err == nil || !strings.Contains(err.Error(), iss) {
				t.Fatalf("ready: %v", err)
			}
			notReady(t, v, fresh("ed", eddsa))
			time.Sleep(time.Second)
		}
		p.publishes(edJWK(nil))
		time.Sleep(5 * time.Second)
		if err := v.Ready(); err != nil {
			t.Error(err)
		}
		accepted(t, v, fresh("ed", eddsa))
		if !strings.Contains(logged.String(), `"level":"ERROR"`) || !strings.Contains(logged.String(), "502") {
			t.Errorf("logged %s", logged)
		}
	})
}

// JK-02, JK-03: whatever an outage looks like, what was known holds, and nobody waits.
func TestTheIssuerIsDownInService(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]http.HandlerFunc{
		"503":     status(http.StatusServiceUnavailable),
		"404":     status(http.StatusNotFound),
		"204":     status(http.StatusNoContent),
		"HTML":    text("<!doctype html><title>Sorry</title>"),
		"nothing": text(""),
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "999")
			io.WriteString(w, keySet(edJWK(nil)))
		},
		"broken off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"hang":       hang,
		"slow":       slowly(keySet(edJWK(nil))),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			publishing(t, text(keySet(edJWK(nil))), func(t *testing.T, p *provider, v *auth.Verifier, logged *journal) {
				accepted(t, v, fresh("ed", eddsa))
				p.answers(outage)
				for range 60 {
					time.Sleep(time.Minute)
					begun := time.Now()
					accepted(t, v, fresh("ed", eddsa))
					if waited := time.Since(begun); waited != 0 {
						t.Fatalf("a good token waited %s", waited)
					}
					if err := v.Ready(); err != nil {
						t.Fatal(err)
					}
				}
				if lines := strings.Count(logged.String(), `"level":"ERROR"`); lines < 10 || lines > 120 {
					t.Errorf("%d alarms in an hour", lines)
				}
				p.publishes(edJWK(nil), rsaJWK(nil))
				time.Sleep(36 * time.Second)
				accepted(t, v, fresh("rsa", rs256))
			})
		})
	}
}

// slowly sends a byte a second.
func slowly(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for n := range body {
			io.WriteString(w, body[n:n+1])
			http.NewResponseController(w).Flush()
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				return
			}
		}
	}
}

// A key that was revoked must not live on because somebody cuts the line to the issuer. No
// token that was issued before outlives the day by default.
func TestKeysAreGoodForADay(t *testing.T) {
	t.Parallel()
	publishing(t, text(keySet(edJWK(nil))), func(t *testing.T, p *provider, v *auth.Verifier, _ *journal) {
		p.answers(hang)
		time.Sleep(24 * time.Hour)
		accepted(t, v, fresh("ed", eddsa))
		time.Sleep(2 * time.Second)
		notReady(t, v, fresh("ed", eddsa))
		if err := v.Ready(); err != nil {
			t.Errorf("one issuer's outage takes everything away: %v", err)
		}
		p.publishes(edJWK(nil))
		time.Sleep(36 * time.Second)
		accepted(t, v, fresh("ed", eddsa))
	})
}

// JK-03: a call that names an unknown key gives up with the fetch, or when its caller does.
func TestNobodyWaitsLongerThanAFetch(t *testing.T) {
	t.Parallel()
	publishing(t, text(keySet(edJWK(nil))), func(t *testing.T, p *provider, v *auth.Verifier, _ *journal) {
		p.answers(hang)
		time.Sleep(time.Minute)
		begun := time.Now()
		refused(t, v, fresh("next", eddsa))
		if waited := time.Since(begun); waited != 5*time.Second {
			t.Errorf("waited %s", waited)
		}
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun = time.Now()
		if _, err := v.Authenticate(ctx, []string{"Bearer " + fresh("next", eddsa)}); err == nil || time.Since(begun) != time.Second {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}

// JK-04, JK-05, JK-08, J-13, J-25, J-28 where the set is published: what isn't a good one
// replaces nothing, and is told.
func TestPublishedSetsThatReplaceNothing(t *testing.T) {
	t.Parallel()
	many := make([]string, 101)
	for n := range many {
		many[n] = edJWK(edit{"kid": fmt.Sprintf(`"%d"`, n)})
	}
	for name, c := range map[string]struct{ set, want string }{
		"JK-04 empty":                {keySet(), "0 keys"},
		"JK-04 no member":            {`{}`, "keys"},
		"JK-04 none usable":          {keySet(rsaJWK(edit{"use": `"enc"`})), "no key in it verifies"},
		"JK-05 newer types alone":    {keySet(`{"kty":"AKP","alg":"ML-DSA-44","pub":"AQAB"}`), "no key in it verifies"},
		"JK-08 101 keys":             {keySet(many...), "101 keys"},
		"JK-08 100,000 keys":         {keySet(slices.Repeat([]string{`{"kty":"AKP"}`}, 100_000)...), "more than 1 MB"},
		"JK-08 more than 1 MB":       {keySet(rsaJWK(edit{"x5c": quoted(strings.Repeat("x", 1<<20))})), "more than 1 MB"},
		"JK-08 100 MB":               {strings.Repeat(" ", 100<<20) + keySet(rsaJWK(nil)), "more than 1 MB"},
		"J-13 a secret":              {keySet(rsaJWK(nil), `{"kty":"oct","k":"`+b64(secret)+`"}`), "holds a secret"},
		"J-25 one kid twice":         {keySet(rsaJWK(nil), edJWK(edit{"kid": `"rsa"`})), "twice"},
		"J-28 a private key":         {keySet(rsaJWK(nil), edJWK(edit{"d": quoted(b64(secret))})), "private"},
		"J-17 a weak key":            {keySet(rsaJWK(edit{"e": `"Aw"`})), "65537"},
		"a member twice":             {`{"keys":[],"keys":[` + rsaJWK(nil) + `]}`, "duplicate"},
		"something behind it":        {keySet(rsaJWK(nil)) + "<!-- -->", "after its end"},
		"nested to no end":           {`{"keys":` + strings.Repeat("[", 500_000), "deep"},
		"an error page that is JSON": {`{"error":"unavailable"}`, "keys"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			publishing(t, text(keySet(edJWK(nil))), func(t *testing.T, p *provider, v *auth.Verifier, logged *journal) {
				p.answers(text(c.set))
				time.Sleep(11 * time.Minute)
				accepted(t, v, fresh("ed", eddsa))
				refused(t, v, fresh("rsa", rs256))
				if !strings.Contains(logged.String(), `"level":"ERROR"`) || !strings.Contains(logged.String(), c.want) {
					t.Errorf("logged %s, want an alarm with %q", logged, c.want)
				}
				if strings.Contains(logged.String(), b64(secret)) {
					t.Error("the log has the key")
				}
			})
			publishing(t, text(c.set), func(t *testing.T, _ *provider, v *auth.Verifier, _ *journal) {
				if v.Ready() == nil {
					t.Error("ready without keys")
				}
			})
		})
	}
}

// JK-05: what we can't use doesn't keep us from using the rest.
func TestNewerKeyTypesAreSkipped(t *testing.T) {
	t.Parallel()
	set := keySet(`{"kty":"AKP","kid":"pq","alg":"ML-DSA-44","pub":"AQAB"}`, edJWK(nil), rsaJWK(edit{"use": `"enc"`}))
	publishing(t, text(set), func(t *testing.T, _ *provider, v *auth.Verifier, logged *journal) {
		accepted(t, v, fresh("ed", eddsa))
		time.Sleep(time.Hour)
		if n := strings.Count(logged.String(), `kty is \"AKP\"`); n != 1 {
			t.Errorf("told %d times, want once for a set", n)
		}
	})
}

// JK-06, JK-10: a new key is used within the pause, by each instance; the old one until it
// is withdrawn, and J-60 no longer: not even tokens that are remembered.
func TestRotation(t *testing.T) {
	t.Parallel()
	_, second, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	next := edJWK(edit{"kid": `"next"`, "x": quoted(b64(second.Public().(ed25519.PublicKey)))})
	signNext := func(input []byte) []byte { return ed25519.Sign(second, input) }
	publishing(t, text(keySet(edJWK(nil))), func(t *testing.T, p *provider, v *auth.Verifier, _ *journal) {
		time.Sleep(3 * time.Minute)
		old := fresh("ed", eddsa)
		accepted(t, v, old)
		p.publishes(edJWK(nil), next)
		accepted(t, v, fresh("next", signNext)) // at once: nothing was asked lately
		accepted(t, v, old)
		p.publishes(next)
		time.Sleep(time.Minute)
		accepted(t, v, old) // nobody has asked since
		time.Sleep(4*time.Minute + time.Second)
		refused(t, v, old)

		p.publishes(edJWK(nil), next)
		time.Sleep(5 * time.Minute)
		old = fresh("ed", eddsa)
		accepted(t, v, old)
		p.publishes(next)
		time.Sleep(30 * time.Second)
		refused(t, v, fresh("unknown", eddsa)) // has the set asked for
		refused(t, v, old)                     // remembered, and for less than a minute
	})
	publishing(t, text(keySet(edJWK(nil))), func(t *testing.T, p *provider, v *auth.Verifier, _ *journal) {
		refused(t, v, fresh("next", signNext)) // too early to ask again
		p.publishes(next)
		refused(t, v, fresh("next", signNext))
		time.Sleep(30 * time.Second)
		accepted(t, v, fresh("next", signNext))
	})
}

// JK-07
func TestUnknownKeyStorm(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{"up": text(keySet(edJWK(nil))), "hanging": hang, "down": status(http.StatusBadGateway)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			publishing(t, text(keySet(edJWK(nil))), func(t *testing.T, p *provider, v *auth.Verifier, _ *journal) {
				time.Sleep(time.Minute)
				p.answers(answer)
				begun := time.Now()
				var storm sync.WaitGroup
				for n := range 60*20 - 1 { // less than a minute
					for range 10 {
						storm.Go(func() { refused(t, v, fresh(fmt.Sprintf("k%d", n), fixed([]byte("x")))) })
					}
					time.Sleep(50 * time.Millisecond)
					before := time.Now()
					accepted(t, v, fresh("ed", eddsa))
					if time.Since(before) != 0 {
						t.Fatal("a good token waited")
					}
				}
				if n := p.count(begun); n < 1 || n > 2 {
					t.Errorf("asked %d times in a minute", n)
				}
				storm.Wait()
			})
		})
	}
}

// Of those who name unknown keys only so many wait; the others are refused at once.
func TestFewWaitForAnAnswer(t *testing.T) {
	t.Parallel()
	publishing(t, text(keySet(edJWK(nil))), func(t *testing.T, p *provider, v *auth.Verifier, _ *journal) {
		time.Sleep(time.Minute)
		p.answers(hang)
		var mu sync.Mutex
		waited := map[time.Duration]int{}
		var all sync.WaitGroup
		begun := time.Now()
		for range 500 {
			all.Go(func() {
				refused(t, v, fresh("unknown", eddsa))
				mu.Lock()
				defer mu.Unlock()
				waited[time.Since(begun)]++
			})
		}
		all.Wait()
		if waited[5*time.Second] != 100 || waited[0] != 400 {
			t.Errorf("waited %v, want 100 for 5 s and the others not at all", waited)
		}
	})
}

// JK-09: no redirect is followed, wherever it leads.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/elsewhere", "http://169.254.169.254/latest/meta-data", "http://localhost/elsewhere", "file:///etc/passwd"} {
		for _, code := range []int{301, 302, 303, 307, 308} {
			redirect := func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/keys" {
					io.WriteString(w, keySet(edJWK(nil)))
					return
				}
				w.Header().Set("Location", target)
				w.WriteHeader(code)
			}
			publishing(t, redirect, func(t *testing.T, p *provider, v *auth.Verifier, _ *journal) {
				time.Sleep(time.Minute)
				notReady(t, v, fresh("ed", eddsa))
				p.mu.Lock()
				defer p.mu.Unlock()
				for _, path := range p.paths {
					if path != "/keys" {
						t.Errorf("followed to %s", path)
					}
				}
			})
		}
	}
}

// JK-11: where clocks differ the log says so, and why a token is refused.
func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	for offset, want := range map[time.Duration]bool{
		0: false, 20 * time.Second: false, -20 * time.Second: false, 5 * time.Minute: true, -5 * time.Minute: true,
	} {
		dated := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(offset).UTC().Format(http.TimeFormat))
			io.WriteString(w, keySet(edJWK(nil)))
		}
		publishing(t, dated, func(t *testing.T, _ *provider, v *auth.Verifier, logged *journal) {
			if got := strings.Contains(logged.String(), "clock"); got != want {
				t.Errorf("%s: logged %s", offset, logged)
			}
			now := time.Now().Add(offset).Unix()
			token := compact(`{"alg":"EdDSA","kid":"ed"}`, payload(edit{"iat": fmt.Sprint(now), "exp": fmt.Sprint(now + 120)}), eddsa)
			_, err := authenticate(t, v, token)
			if (err != nil) != want || err != nil && !strings.Contains(err.Error(), "the claim exp has passed") && !strings.Contains(err.Error(), "compare the clocks") {
				t.Errorf("%s: %v", offset, err)
			}
		})
	}
}

// Operators are told how old the keys are before those end.
func TestHowOldKeysAre(t *testing.T) {
	t.Parallel()
	publishing(t, text(keySet(edJWK(nil))), func(t *testing.T, p *provider, v *auth.Verifier, _ *journal) {
		begun := time.Now()
		if from, published := v.KeysFrom(); !published || !from.Equal(begun) {
			t.Errorf("keys from %s, want %s", from, begun)
		}
		time.Sleep(time.Hour)
		if from, _ := v.KeysFrom(); time.Since(from) > 5*time.Minute {
			t.Errorf("keys from %s, of an issuer that answers", from)
		}
		p.answers(status(http.StatusServiceUnavailable))
		time.Sleep(time.Hour)
		if from, _ := v.KeysFrom(); time.Since(from) < 55*time.Minute {
			t.Errorf("keys from %s, of an issuer that hasn't answered for an hour", from)
		}
	})
	v, err := auth.NewVerifier([]auth.Issuer{secretIssuer()}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if from, published := v.KeysFrom(); published || !from.IsZero() {
		t.Errorf("%s, %v of keys that nobody publishes", from, published)
	}
}

// Without a transport of the tests': TLS as it is, which this server's certificate isn't for,
// and no header without end.
func TestTheLineItself(t *testing.T) {
	t.Parallel()
	for want, start := range map[string]func(*httptest.Server){"certificate": (*httptest.Server).StartTLS, "server response headers exceeded": (*httptest.Server).Start} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 128<<10))
			io.WriteString(w, keySet(edJWK(nil)))
		}))
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		start(server)
		t.Cleanup(server.Close)
		v, err := auth.NewVerifier([]auth.Issuer{{Issuer: iss, Algorithms: []string{"EdDSA"}, KeySetURL: server.URL}}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		logged := make(lines, 100)
		go v.Run(t.Context(), slog.New(slog.NewTextHandler(logged, nil)))
		if line := <-logged; !strings.Contains(line, want) || v.Ready() == nil {
			t.Errorf("logged %s, want %q", line, want)
		}
	}
}

// lines are a log's.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	select {
	case l <- string(line):
	default:
	}
	return len(line), nil
}
