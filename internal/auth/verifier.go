package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"ocore.dev/audit/internal/audit"
)

// Verifier authenticates calls by the tokens of the issuers that it trusts. Any number of
// goroutines may share it. Keys from files never change: to change them, make another. Keys
// that an issuer publishes are asked for by [Verifier.Run].
type Verifier struct {
	issuers  map[string]*trusted // by iss; "" alone stands for any
	now      func() time.Time
	ignored  []string
	verified *verified
}

// trusted is an [Issuer] whose settings were checked, with its keys.
type trusted struct {
	Issuer
	fixed     []key
	ignored   []string
	published *published // nil where the keys are fixed
	lifetime  time.Duration
}

// keys are those that hold now.
func (i *trusted) keys() []key {
	if i.published != nil {
		return i.published.current()
	}
	return i.fixed
}

// NewVerifier checks the settings of issuers, of which there must be at least one, and
// reads their keys as far as they are in files. now is the clock, [time.Now] but for tests. An error names the
// setting (issuers[0]: key_set_file) and what to do about it.
func NewVerifier(issuers []Issuer, now func() time.Time) (*Verifier, error) {
	if err := checkIssuers(issuers); err != nil {
		return nil, err
	}
	v := &Verifier{issuers: map[string]*trusted{}, now: now, verified: newVerified()}
	for n, issuer := range issuers {
		trust, err := issuer.load()
		if err != nil {
			return nil, fmt.Errorf("issuers[%d]: %w", n, err)
		}
		if issuer.publishes() {
			trust.published = newPublished(issuer, now, v.verified.forget)
		}
		v.issuers[issuer.Issuer] = trust
		for _, line := range trust.ignored {
			v.ignored = append(v.ignored, fmt.Sprintf("issuers[%d]: %s", n, line))
		}
	}
	return v, nil
}

// Run keeps the keys that issuers publish, and returns when ctx has ended. Without it none of
// their tokens are accepted. It asks at once, every 5 minutes, and when a token names a key
// that isn't known, but then at most twice a minute; it follows no redirect, waits 5 seconds
// and reads 1 MB at most. What it gets replaces what was there if it is a key set that
// KeySetFile could name; otherwise that holds on, for up to 24 hours, and the log says so.
func (v *Verifier) Run(ctx context.Context, log *slog.Logger) {
	var running sync.WaitGroup
	for _, issuer := range v.issuers {
		if issuer.published != nil {
			running.Go(func() { issuer.published.run(ctx, log) })
		}
	}
	running.Wait()
}

// Ready fails until there were keys of every issuer once, naming one that there were none of.
func (v *Verifier) Ready() error {
	for _, issuer := range v.issuers {
		if issuer.published != nil && !issuer.published.everKnown() {
			return fmt.Errorf("no keys yet of the issuer %q", issuer.Issuer.Issuer)
		}
	}
	return nil
}

// KeysFrom is when the keys were had of the issuer that was asked least lately, the zero time
// where there are none yet; published is false where no issuer publishes its keys.
func (v *Verifier) KeysFrom() (oldest time.Time, published bool) {
	for _, issuer := range v.issuers {
		if issuer.published == nil {
			continue
		}
		if from := issuer.published.from(); !published || from.Before(oldest) {
			oldest = from
		}
		published = true
	}
	return oldest, published
}

// Ignored names the keys in key set files that verify nothing here, and why, for the log: one
// line a key, like `issuers[0]: key "abc": use is "enc"`, or keys[2] for one without kid.
func (v *Verifier) Ignored() []string { return slices.Clone(v.ignored) }

// load fills in defaults and reads the keys.
func (i Issuer) load() (*trusted, error) {
	keys, ignored, err := i.loadKeys()
	if err != nil {
		return nil, err
	}
	lifetime, err := i.maxLifetime()
	if err != nil {
		return nil, err
	}
	types := i.Types
	if len(types) == 0 {
		types = defaultTypes
	}
	i.Types = nil
	for _, typ := range types {
		i.Types = append(i.Types, mediaType(typ))
	}
	i.Claims = i.Claims.withDefaults()
	return &trusted{Issuer: i, fixed: keys, ignored: ignored, lifetime: lifetime}, nil
}

// Authenticate takes the values of a request's Authorization header and returns who its
// bearer token (RFC 6750, section 2.1; RFC 7519) says is calling.
//
// The token is a compact JWS of at most 8 KB, of an algorithm and a type that its issuer
// may use, signed with that issuer's key; "exp" and "sub" are required, clocks may differ
// by 30 seconds, and every claim that is read must have its type (RFC 8725, section 3).
// What was verified is remembered for up to a minute.
//
// A token that names a key which its issuer may have published just now waits for the
// answer, or for ctx to end.
//
// Every error is an [audit.ErrUnauthenticated] as an [*audit.Rejection], but for an
// [audit.ErrNotReady] where there are no keys of the issuer, so that nobody can tell. Its Detail says
// how to send a token where there is no bearer token or more than one header, and is
// otherwise always the same. The error's own text tells why, as one line without any byte
// of the token. It is for the log: telling it to a client would help whoever forges tokens.
func (v *Verifier) Authenticate(ctx context.Context, authorization []string) (audit.Principal, error) {
	compact, err := bearer(authorization)
	if err != nil {
		return audit.Principal{}, err
	}
	principal, err := v.verify(ctx, compact)
	if errors.Is(err, errNoKeys) {
		return audit.Principal{}, &refusal{audit.Rejection{Kind: audit.ErrNotReady}, "no_keys", err.Error()}
	}
	if err != nil {
		return audit.Principal{}, refuse(notValid, reasonOf(err), err.Error())
	}
	return principal, nil
}

// bearer takes the token out of the one Authorization header that there must be.
func bearer(authorization []string) (string, error) {
	switch len(authorization) {
	case 0:
		return "", refuse("there is no token: "+whatToSend, "no_token", "no Authorization header")
	case 1:
	default:
		return "", refuse("there are several Authorization headers: send one", "several_headers", "more than one Authorization header")
	}
	scheme, compact, _ := strings.Cut(authorization[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || compact == "" {
		return "", refuse("the Authorization header holds no bearer token: "+whatToSend, "no_bearer", "no Bearer scheme")
	}
	return compact, nil
}

func (v *Verifier) verify(ctx context.Context, compact string) (audit.Principal, error) {
	if len(compact) > maxToken { // before it is even hashed
		return audit.Principal{}, &failure{"malformed", errTooLong}
	}
	now := v.now()
	principal, known, era := v.verified.get(compact, now)
	if known {
		return principal, nil
	}
	t, err := parseToken(compact)
	if err != nil {
		return audit.Principal{}, &failure{"malformed", err}
	}
	issuer, err := v.issuer(t)
	if err != nil {
		return audit.Principal{}, &failure{"issuer", err}
	}
	k, err := issuer.key(ctx, t)
	if err != nil {
		return audit.Principal{}, &failure{"key", err}
	}
	if err := verifySignature(t, k); err != nil {
		return audit.Principal{}, &failure{"signature", err}
	}
	principal, err = issuer.principal(t.claims, now)
	if err != nil {
		return audit.Principal{}, &failure{"claims", err}
	}
	v.verified.put(compact, principal, now, expiry(t.claims), era)
	return principal, nil
}

// failure says at which step a token failed, for counting: malformed, issuer, key,
// signature or claims.
type failure struct {
	step string
	error
}

func (f *failure) Unwrap() error { return f.error }

func reasonOf(err error) string {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.step
	}
	return "other"
}

// issuer finds whom the token names. That choice is not verified yet, and needn't be:
// what follows holds the token against this issuer's keys and no others.
func (v *Verifier) issuer(t token) (*trusted, error) {
	if anyone, ok := v.issuers[""]; ok {
		return anyone, nil
	}
	iss, _ := stringValue(t.claims["iss"])
	named, ok := v.issuers[iss]
	if !ok {
		return nil, errors.New("the claim iss names no trusted issuer")
	}
	return named, nil
}

// key finds the one key that the header may mean: by "kid" if it has one, else by being
// the only one of the algorithm. What fits none may be of a key that is newly published.
func (i *trusted) key(ctx context.Context, t token) (key, error) {
	switch {
	case !slices.Contains(i.Algorithms, t.algorithm):
		return key{}, errors.New("the issuer may not use this alg")
	case !slices.Contains(i.Types, mediaType(t.typ)):
		return key{}, errors.New("the issuer may not use this typ")
	case t.kid == "" && i.RequireKID:
		return key{}, errors.New("the header has no kid")
	}
	found, err := i.fitting(t)
	if err == nil && len(found) == 0 && i.published != nil {
		i.published.renew(ctx)
		found, err = i.fitting(t)
	}
	if err != nil {
		return key{}, err
	}
	if len(found) != 1 {
		return key{}, fmt.Errorf("%d keys of the issuer fit the header's kid and alg", len(found))
	}
	return found[0], nil
}

// errNoKeys is that a token can't be judged, whether it is good or not.
var errNoKeys = errors.New("the issuer's keys couldn't be had, so no token of its can be judged")

func (i *trusted) fitting(t token) (found []key, err error) {
	keys := i.keys()
	if len(keys) == 0 {
		return nil, errNoKeys
	}
	for _, k := range keys {
		if k.algorithm == t.algorithm && (t.kid == "" || t.kid == k.id) {
			found = append(found, k)
		}
	}
	return found, nil
}

const (
	whatToSend = "send `Authorization: Bearer <token>`"
	notValid   = "the token is not valid here: get a new one from its issuer"
)

// refusal tells the client one thing and the log another.
type refusal struct {
	rejection audit.Rejection
	reason    string
	why       string
}

func refuse(detail, reason, why string) error {
	return &refusal{audit.Rejection{Kind: audit.ErrUnauthenticated, Detail: detail}, reason, why}
}

// Reason is one word of a fixed list, for counting: no_token, several_headers, no_bearer,
// malformed, issuer, key, signature, claims, api_key_unknown, api_key_secret, api_key_revoked,
// api_key_expired or other; no_keys where nobody can tell.
func (r *refusal) Reason() string { return r.reason }

// Error is one line for the log. It holds no byte of the token.
func (r *refusal) Error() string { return r.rejection.Kind.Error() + ": " + r.why }

// Unwrap gives the part that is safe to show.
func (r *refusal) Unwrap() error { return &r.rejection }
