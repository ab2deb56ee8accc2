package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ocore.dev/audit/internal/audit"
)

// Verifier authenticates calls by the tokens of the issuers that it trusts. It opens no
// connection and its trust never changes, so any number of goroutines may share it; to
// change keys, make another.
type Verifier struct {
	issuers  map[string]trusted // by iss; "" alone stands for any
	now      func() time.Time
	ignored  []string
	verified *verified
}

// trusted is an [Issuer] whose settings were checked, with its keys.
type trusted struct {
	Issuer
	keys     []key
	ignored  []string
	lifetime time.Duration
}

// NewVerifier checks the settings of issuers, of which there must be at least one, and
// reads their keys. now is the clock, [time.Now] but for tests. An error names the
// setting (issuers[0]: key_set_file) and what to do about it.
func NewVerifier(issuers []Issuer, now func() time.Time) (*Verifier, error) {
	if err := checkIssuers(issuers); err != nil {
		return nil, err
	}
	v := &Verifier{issuers: map[string]trusted{}, now: now, verified: newVerified()}
	for n, issuer := range issuers {
		trust, err := issuer.load()
		if err != nil {
			return nil, fmt.Errorf("issuers[%d]: %w", n, err)
		}
		v.issuers[issuer.Issuer] = trust
		for _, line := range trust.ignored {
			v.ignored = append(v.ignored, fmt.Sprintf("issuers[%d]: %s", n, line))
		}
	}
	return v, nil
}

// Ignored names the keys in key sets that verify nothing here, and why, for the log: one
// line a key, like `issuers[0]: key "abc": use is "enc"`, or keys[2] for one without kid.
func (v *Verifier) Ignored() []string { return slices.Clone(v.ignored) }

// load fills in defaults and reads the keys.
func (i Issuer) load() (trusted, error) {
	keys, ignored, err := i.loadKeys()
	if err != nil {
		return trusted{}, err
	}
	lifetime, err := i.maxLifetime()
	if err != nil {
		return trusted{}, err
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
	return trusted{i, keys, ignored, lifetime}, nil
}

// Authenticate takes the values of a request's Authorization header and returns who its
// bearer token (RFC 6750, section 2.1; RFC 7519) says is calling.
//
// The token is a compact JWS of at most 8 KB, of an algorithm and a type that its issuer
// may use, signed with that issuer's key; "exp" and "sub" are required, clocks may differ
// by 30 seconds, and every claim that is read must have its type (RFC 8725, section 3).
// What was verified is remembered for up to a minute.
//
// The context is for key sources that have to ask somebody; files don't.
//
// Every error is an [audit.ErrUnauthenticated] as an [*audit.Rejection]. Its Detail says
// how to send a token where there is no bearer token or more than one header, and is
// otherwise always the same. The error's own text tells why, as one line without any byte
// of the token. It is for the log: telling it to a client would help whoever forges tokens.
func (v *Verifier) Authenticate(_ context.Context, authorization []string) (audit.Principal, error) {
	compact, err := bearer(authorization)
	if err != nil {
		return audit.Principal{}, err
	}
	principal, err := v.verify(compact)
	if err != nil {
		return audit.Principal{}, refuse(notValid, err.Error())
	}
	return principal, nil
}

// bearer takes the token out of the one Authorization header that there must be.
func bearer(authorization []string) (string, error) {
	switch len(authorization) {
	case 0:
		return "", refuse("there is no token: "+whatToSend, "no Authorization header")
	case 1:
	default:
		return "", refuse("there are several Authorization headers: send one", "more than one Authorization header")
	}
	scheme, compact, _ := strings.Cut(authorization[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || compact == "" {
		return "", refuse("the Authorization header holds no bearer token: "+whatToSend, "no Bearer scheme")
	}
	return compact, nil
}

func (v *Verifier) verify(compact string) (audit.Principal, error) {
	now := v.now()
	if principal, known := v.verified.get(compact, now); known {
		return principal, nil
	}
	t, err := parseToken(compact)
	if err != nil {
		return audit.Principal{}, err
	}
	issuer, err := v.issuer(t)
	if err != nil {
		return audit.Principal{}, err
	}
	k, err := issuer.key(t)
	if err != nil {
		return audit.Principal{}, err
	}
	if err := verifySignature(t, k); err != nil {
		return audit.Principal{}, err
	}
	principal, err := issuer.principal(t.claims, now)
	if err == nil {
		v.verified.put(compact, principal, now, expiry(t.claims))
	}
	return principal, err
}

// issuer finds whom the token names. That choice is not verified yet, and needn't be:
// what follows holds the token against this issuer's keys and no others.
func (v *Verifier) issuer(t token) (trusted, error) {
	if anyone, ok := v.issuers[""]; ok {
		return anyone, nil
	}
	iss, _ := stringValue(t.claims["iss"])
	named, ok := v.issuers[iss]
	if !ok {
		return trusted{}, errors.New("the claim iss names no trusted issuer")
	}
	return named, nil
}

// key finds the one key that the header may mean: by "kid" if it has one, else by being
// the only one of the algorithm.
func (i trusted) key(t token) (key, error) {
	switch {
	case !slices.Contains(i.Algorithms, t.algorithm):
		return key{}, errors.New("the issuer may not use this alg")
	case !slices.Contains(i.Types, mediaType(t.typ)):
		return key{}, errors.New("the issuer may not use this typ")
	case t.kid == "" && i.RequireKID:
		return key{}, errors.New("the header has no kid")
	}
	var found []key
	for _, k := range i.keys {
		if k.algorithm == t.algorithm && (t.kid == "" || t.kid == k.id) {
			found = append(found, k)
		}
	}
	if len(found) != 1 {
		return key{}, fmt.Errorf("%d keys of the issuer fit the header's kid and alg", len(found))
	}
	return found[0], nil
}

const (
	whatToSend = "send `Authorization: Bearer <token>`"
	notValid   = "the token is not valid here: get a new one from its issuer"
)

// refusal tells the client one thing and the log another.
type refusal struct {
	rejection audit.Rejection
	reason    string
}

func refuse(detail, reason string) error {
	return &refusal{audit.Rejection{Kind: audit.ErrUnauthenticated, Detail: detail}, reason}
}

// Error is one line for the log. It holds no byte of the token.
func (r *refusal) Error() string { return r.rejection.Kind.Error() + ": " + r.reason }

// Unwrap gives the part that is safe to show.
func (r *refusal) Unwrap() error { return &r.rejection }
