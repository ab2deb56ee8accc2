package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

// When an issuer is asked for its keys, and for how long they are good.
const (
	fetchTime   = 5 * time.Second
	fetchEvery  = 5 * time.Minute
	fetchFirst  = 2 * time.Second  // between attempts while there are no keys yet
	fetchPause  = 30 * time.Second // at least, once there are: whoever makes up a kid can make us ask
	keysGood    = 24 * time.Hour   // without an answer; a revoked key must not live on behind a blocked line
	maxWaiting  = 100              // calls that wait for an answer at once
	maxHeader   = 64 << 10         // bytes of an answer's header
	clockDiffer = skew * time.Second
)

// published are the keys of an issuer that publishes them. One goroutine, run, asks for
// them; calls take what it has, and those that name an unknown key may wait for what it
// asks next. An answer that is no good key set never replaces one that was.
type published struct {
	issuer  Issuer
	client  *http.Client
	now     func() time.Time
	changed func() // called when other keys hold than before
	wanted  chan struct{}

	mu      sync.Mutex
	set     fetchedSet
	answer  chan struct{} // closed when what is being asked, or is asked next, was answered; nil: nobody asks
	waiting int
	asked   time.Time
	asking  bool
}

// fetchedSet is a set that was good when it was fetched.
type fetchedSet struct {
	keys    []key // nil: there never was one
	digest  [sha256.Size]byte
	fetched time.Time
}

func newPublished(issuer Issuer, now func() time.Time, changed func()) *published {
	transport := issuer.Transport
	if transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented to be one
		own.MaxResponseHeaderBytes = maxHeader
		transport = own
	}
	return &published{
		issuer: issuer, now: now, changed: changed, wanted: make(chan struct{}, 1),
		client: &http.Client{
			Transport: transport,
			// A redirect could lead anywhere, to the cloud's metadata for one.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// current are the keys that hold now; none where the issuer couldn't be asked, at first or
// for a day.
func (p *published) current() []key {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now().Sub(p.set.fetched) > keysGood {
		return nil
	}
	return p.set.keys
}

// everKnown reports whether there were keys once.
func (p *published) everKnown() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.set.keys != nil
}

// from is when the keys that are there were fetched; the zero time when there are none.
func (p *published) from() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.set.fetched
}

// renew has the keys asked for again, unless that was done just now, and waits for the
// answer. Only so many wait: a storm of unknown keys must not hold up everything while the
// issuer hangs.
func (p *published) renew(ctx context.Context) {
	p.mu.Lock()
	if p.answer == nil || p.waiting >= maxWaiting || !p.asking && p.pausing() {
		p.mu.Unlock()
		return
	}
	answer := p.answer
	p.waiting++
	p.mu.Unlock()
	select {
	case p.wanted <- struct{}{}:
	default:
	}
	select {
	case <-answer:
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.waiting--
	p.mu.Unlock()
}

// pausing reports whether it is too early to ask again. The caller holds the lock.
func (p *published) pausing() bool {
	since := p.now().Sub(p.asked)
	return since >= 0 && since < fetchPause // below zero the clock was set back
}

// run asks at once and then again and again, until ctx ends.
func (p *published) run(ctx context.Context, log *slog.Logger) {
	log = log.With(slog.String("issuer", p.issuer.Issuer))
	p.mu.Lock()
	p.answer = make(chan struct{})
	p.mu.Unlock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	failed := 0
	for {
		select {
		case <-ctx.Done():
			p.mu.Lock()
			close(p.answer)
			p.answer = nil
			p.mu.Unlock()
			return
		case <-p.wanted:
			p.mu.Lock()
			pausing := p.pausing()
			p.mu.Unlock()
			if pausing {
				continue
			}
		case <-timer.C:
		}
		if err := p.ask(ctx, log); err == nil {
			failed = 0
		} else if ctx.Err() == nil {
			failed++
			p.complain(ctx, log, failed, err)
		}
		timer.Reset(p.pause(failed))
	}
}

// pause is how long to wait after so many failures in a row.
func (p *published) pause(failed int) time.Duration {
	switch {
	case failed == 0:
		return fetchEvery
	case p.everKnown():
		return fetchPause
	}
	return fetchFirst
}

// complain is louder the second time: one failure is the network's daily life.
func (p *published) complain(ctx context.Context, log *slog.Logger, failed int, err error) {
	level := slog.LevelWarn
	if failed > 1 || !p.everKnown() {
		level = slog.LevelError
	}
	log.LogAttrs(ctx, level, "the issuer's keys can't be had; those from before hold on",
		slog.Any("error", err), slog.Int("failures", failed), slog.Time("keys_from", p.from()))
}

// ask fetches the set once and, if it is good, puts it in place of the one before.
func (p *published) ask(ctx context.Context, log *slog.Logger) error {
	p.mu.Lock()
	p.asked, p.asking = p.now(), true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		close(p.answer)
		p.answer, p.asking = make(chan struct{}), false
		p.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	text, err := p.fetch(ctx, log)
	if err != nil {
		return err
	}
	keys, ignored, err := p.issuer.keysIn(text)
	if err != nil {
		return fmt.Errorf("the published key set is refused: %w", err)
	}
	set := fetchedSet{keys, sha256.Sum256(text), p.now()}
	p.mu.Lock()
	changed := set.digest != p.set.digest
	p.set = set
	p.mu.Unlock()
	if !changed {
		return nil
	}
	p.changed()
	log.LogAttrs(ctx, slog.LevelInfo, "the issuer's keys are loaded", slog.Int("keys", len(keys)))
	for _, line := range ignored {
		log.LogAttrs(ctx, slog.LevelWarn, "a key can't verify tokens here and is ignored", slog.String("key", line))
	}
	return nil
}

func (p *published) fetch(ctx context.Context, log *slog.Logger) ([]byte, error) {
	at := p.issuer.KeySetURL
	if p.issuer.Discover {
		var err error
		if at, err = p.discover(ctx, log); err != nil {
			return nil, err
		}
	}
	return p.get(ctx, log, at)
}

// discover reads the provider's configuration (OpenID Connect Discovery 1.0, section 4),
// each time, since providers move their keys.
func (p *published) discover(ctx context.Context, log *slog.Logger) (string, error) {
	text, err := p.get(ctx, log, strings.TrimSuffix(p.issuer.Issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	members, err := readObject(text)
	if err != nil {
		return "", fmt.Errorf("the issuer's configuration %w", err)
	}
	issuer, _ := stringValue(members["issuer"])
	if issuer != p.issuer.Issuer { // section 4.3
		return "", fmt.Errorf("the configuration is of the issuer %q, not %q", issuer, p.issuer.Issuer)
	}
	at, _ := stringValue(members["jwks_uri"])
	if _, err := publicURL(at); err != nil {
		return "", fmt.Errorf("jwks_uri: %w", err)
	}
	return at, nil
}

func (p *published) get(ctx context.Context, log *slog.Logger, at string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	response, err := p.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", at, response.Status)
	}
	text, err := readAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	p.compareClocks(ctx, log, response.Header.Get("Date"))
	return text, nil
}

// compareClocks warns where tokens would be refused for their times although they are good.
func (p *published) compareClocks(ctx context.Context, log *slog.Logger, date string) {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return
	}
	if differ := p.now().Sub(theirs).Round(time.Second); differ.Abs() > clockDiffer {
		log.LogAttrs(ctx, slog.LevelWarn, "the clock here and the issuer's differ, so that good tokens may be refused",
			slog.Duration("ahead", differ))
	}
}

// publicURL takes what keys may be fetched from: nobody in between can change what https
// or the machine itself carries.
func publicURL(text string) (*url.URL, error) {
	at, err := url.Parse(text)
	if err != nil || at.Host == "" || at.User != nil || at.Fragment != "" || at.Opaque != "" {
		return nil, errors.New("is no URL like https://id.example.com/keys, without a login and fragment")
	}
	name := at.Hostname()
	address, _ := netip.ParseAddr(name) // the zero one is no loopback
	local := name == "localhost" || address.IsLoopback()
	if at.Scheme != "https" && (at.Scheme != "http" || !local) {
		return nil, errors.New("must begin with https:// (http:// is for this machine alone)")
	}
	return at, nil
}
