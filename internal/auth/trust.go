package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"ocore.dev/audit/internal/audit"
)

// maxFile bounds a trust file, a key set and a secret, in bytes.
const maxFile = 1 << 20

const defaultLifetime = 24 * time.Hour

var (
	algorithms   = []string{"HS256", "RS256", "ES256", "EdDSA"}
	defaultTypes = []string{"at+jwt", "JWT", ""}
)

// Issuer is who may issue tokens, how its tokens look and with which keys they are
// verified. Exactly one of Secret, SecretFile, KeySetFile, KeySetURL and Discover is set.
type Issuer struct {
	// Issuer is the exact "iss" (RFC 7519, section 4.1.1). Empty stands for whatever a
	// token says or leaves out, and is allowed only where no other issuer is trusted.
	Issuer string `json:"issuer"`
	// Algorithms is the allow-list (RFC 8725, section 3.1), out of HS256 (which needs a
	// secret), RS256, ES256 and EdDSA (which need a key set).
	Algorithms []string `json:"algorithms"`
	// Secret is the HS256 key, at least 32 bytes (RFC 7518, section 3.2).
	Secret []byte `json:"-"`
	// SecretFile is the path of a file with the secret, byte for byte but for one
	// newline at its end.
	SecretFile string `json:"secret_file"`
	// KeySetFile is the path of a JWK set (RFC 7517, section 5): public keys only, at
	// most 100 in 1 MB. Keys for other uses, of other types or for algorithms that are
	// not in Algorithms are ignored; of the rest, of which there must be one, each has a
	// "kid" of its own unless it is the only one of its algorithm.
	KeySetFile string `json:"key_set_file"`
	// KeySetURL is where the issuer publishes such a set: https, or http on this machine.
	KeySetURL string `json:"key_set_url"`
	// Discover finds that URL at the issuer (OpenID Connect Discovery 1.0, section 4), which
	// then is a URL itself.
	Discover bool `json:"discover"`
	// Transport carries requests for published keys; nil is one of this issuer's own.
	Transport http.RoundTripper `json:"-"`
	// RequireKID refuses tokens without a "kid" (RFC 7515, section 4.1.4).
	RequireKID bool `json:"require_kid"`
	// Audience is what "aud" must contain (RFC 7519, section 4.1.3); empty: unchecked.
	Audience string `json:"audience"`
	// Types lists the accepted "typ" (RFC 7515, section 4.1.9: without regard to case,
	// with or without "application/"), "" for none. Default: at+jwt, JWT and none.
	Types []string `json:"types"`
	// Claims renames the claims that this issuer names in its own way.
	Claims ClaimNames `json:"claims"`
	// RequireClaims lists for each claim the values of which it must have one, as a string
	// or in an array of strings. It is for issuers that put what "aud" is for elsewhere.
	RequireClaims map[string][]string `json:"require_claims"`
	// Roles maps a role to the permissions that it stands for; a role that is not here
	// stands for none.
	Roles map[string][]string `json:"roles"`
	// Scopes does the same for scopes, for issuers that can't spell one like a permission.
	// Without it (nil, not empty) each scope stands for the permission of its name.
	Scopes map[string][]string `json:"scopes"`
	// MaxLifetime is the longest accepted time from "iat" to "exp", as a Go duration of
	// at least a second. Default: 24h.
	MaxLifetime string `json:"max_lifetime"`
}

// ClaimNames are the names of an issuer's claims. An empty name means the default.
type ClaimNames struct {
	Organization  string `json:"organization"`  // a string; default org_id
	Organizations string `json:"organizations"` // an array of strings; default org_ids
	Permissions   string `json:"permissions"`   // an array of strings; default permissions
	Scope         string `json:"scope"`         // a string split at its spaces; default scope
	Name          string `json:"name"`          // a string; default name
	Role          string `json:"role"`          // a string or an array of strings; default role
}

// UnmarshalJSON refuses members that ClaimNames doesn't have.
func (c *ClaimNames) UnmarshalJSON(text []byte) error {
	type members ClaimNames
	if err := decodeExactly(text, (*members)(c)); err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	return nil
}

// ParseTrust reads a trust file, {"issuers":[…]} of at most 1 MB with at least one
// [Issuer]. It refuses duplicate and unknown members, and settings that contradict each
// other; the error names the setting and what to write instead. It opens no other file.
func ParseTrust(r io.Reader) ([]Issuer, error) {
	text, err := readAll(r)
	if err != nil {
		return nil, fmt.Errorf("trust file: %w", err)
	}
	object, err := audit.CompactObject(nil, text, audit.MaxDepth)
	if err != nil {
		return nil, fmt.Errorf("trust file%w", err)
	}
	var file struct {
		Issuers []json.RawMessage `json:"issuers"`
	}
	if err := decodeExactly(object, &file); err != nil {
		return nil, fmt.Errorf("trust file: %w", err)
	}
	issuers := make([]Issuer, len(file.Issuers))
	for n, raw := range file.Issuers {
		if err := decodeExactly(raw, &issuers[n]); err != nil {
			return nil, fmt.Errorf("trust file: issuers[%d]: %w", n, err)
		}
	}
	if err := checkIssuers(issuers); err != nil {
		return nil, fmt.Errorf("trust file: %w", err)
	}
	return issuers, nil
}

// decodeExactly decodes an object into the zero struct that target points at. Names must
// match exactly: encoding/json alone would also take "Issuer" for "issuer".
func decodeExactly(object []byte, target any) error {
	names, err := json.Marshal(target)
	if err != nil {
		return err
	}
	var known, given map[string]json.RawMessage
	if err := json.Unmarshal(names, &known); err != nil {
		return err
	}
	if err := json.Unmarshal(object, &given); err != nil {
		return errors.New("must be a JSON object")
	}
	for name := range given {
		if _, ok := known[name]; !ok {
			return fmt.Errorf("%s: unknown; remove it, or correct its spelling", name)
		}
	}
	err = json.Unmarshal(object, target)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: is a JSON %s where a %s belongs", wrong.Field, wrong.Value, wrong.Type)
	}
	return err
}

func readAll(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = errors.New("has more than 1 MB")
	}
	return text, err
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAll(file)
}

func checkIssuers(issuers []Issuer) error {
	if len(issuers) == 0 {
		return errors.New("issuers: is empty; name at least one issuer")
	}
	seen := map[string]bool{}
	for n, issuer := range issuers {
		if issuer.Issuer == "" && len(issuers) > 1 {
			return fmt.Errorf("issuers[%d]: issuer: is empty; with several issuers each needs its exact iss", n)
		}
		if seen[issuer.Issuer] {
			return fmt.Errorf("issuers[%d]: issuer: %q is there twice; put its keys into one key set", n, issuer.Issuer)
		}
		seen[issuer.Issuer] = true
		if err := issuer.check(); err != nil {
			return fmt.Errorf("issuers[%d]: %w", n, err)
		}
	}
	return nil
}

func (i Issuer) check() error {
	for _, check := range []func() error{i.checkKeySource, i.checkAlgorithms, i.checkClaims, i.checkRequired, i.checkGrants} {
		if err := check(); err != nil {
			return err
		}
	}
	_, err := i.maxLifetime()
	return err
}

func (i Issuer) checkKeySource() error {
	sources := 0
	for _, given := range []bool{i.Secret != nil, i.SecretFile != "", i.KeySetFile != "", i.KeySetURL != "", i.Discover} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		return errors.New("secret_file, key_set_file, key_set_url, discover: set exactly one of them")
	}
	if i.RequireKID && i.hasSecret() {
		return errors.New("require_kid: a secret has no kid; remove require_kid, or use a key set")
	}
	if i.KeySetURL != "" {
		if _, err := publicURL(i.KeySetURL); err != nil {
			return fmt.Errorf("key_set_url: %w", err)
		}
	}
	if i.Discover {
		if at, err := publicURL(i.Issuer); err != nil || at.RawQuery != "" {
			return fmt.Errorf("discover: issuer must be the https URL that tokens have as iss, without a query, not %q", i.Issuer)
		}
	}
	return nil
}

func (i Issuer) hasSecret() bool { return i.Secret != nil || i.SecretFile != "" }

// publishes reports whether the keys have to be asked for.
func (i Issuer) publishes() bool { return i.KeySetURL != "" || i.Discover }

// checkAlgorithms keeps HS256 away from public keys, whose bytes are no secret
// (RFC 8725, section 2.1).
func (i Issuer) checkAlgorithms() error {
	if len(i.Algorithms) == 0 {
		return fmt.Errorf("algorithms: is empty; choose from %s", strings.Join(algorithms, ", "))
	}
	for _, algorithm := range i.Algorithms {
		switch {
		case !slices.Contains(algorithms, algorithm):
			return fmt.Errorf("algorithms: %q is not supported; choose from %s", algorithm, strings.Join(algorithms, ", "))
		case algorithm == "HS256" && !i.hasSecret():
			return errors.New("algorithms: HS256 needs secret_file, not a key set")
		case algorithm != "HS256" && i.hasSecret():
			return fmt.Errorf("algorithms: %s needs a key set (key_set_url, discover or key_set_file), not a secret", algorithm)
		}
	}
	return nil
}

func (i Issuer) checkClaims() error {
	c := i.Claims.withDefaults()
	names := []string{c.Organization, c.Organizations, c.Permissions, c.Scope, c.Name, c.Role}
	slices.Sort(names)
	if distinct := slices.Compact(slices.Clone(names)); len(distinct) != len(names) {
		return errors.New("claims: two settings name the same claim; give each its own")
	}
	return nil
}

// checkRequired refuses a claim that no token could have.
func (i Issuer) checkRequired() error {
	for claim, values := range i.RequireClaims {
		if claim == "" || len(values) == 0 || slices.Contains(values, "") {
			return fmt.Errorf("require_claims: %q needs a name and values that are not empty; write them like \"token_use\": [\"access\"]", claim)
		}
	}
	return nil
}

func (i Issuer) checkGrants() error {
	for setting, grants := range map[string]map[string][]string{"roles": i.Roles, "scopes": i.Scopes} {
		for name, permissions := range grants {
			if slices.Contains(permissions, "") {
				return fmt.Errorf("%s: %q has an empty permission; write it like view:audit_logs", setting, name)
			}
		}
	}
	return nil
}

func (i Issuer) maxLifetime() (time.Duration, error) {
	if i.MaxLifetime == "" {
		return defaultLifetime, nil
	}
	lifetime, err := time.ParseDuration(i.MaxLifetime)
	if err != nil || lifetime < time.Second {
		return 0, fmt.Errorf("max_lifetime: %q is no duration of at least a second; write it like 24h or 15m", i.MaxLifetime)
	}
	return lifetime, nil
}

func (c ClaimNames) withDefaults() ClaimNames {
	for _, claim := range []struct {
		name     *string
		fallback string
	}{
		{&c.Organization, "org_id"},
		{&c.Organizations, "org_ids"},
		{&c.Permissions, "permissions"},
		{&c.Scope, "scope"},
		{&c.Name, "name"},
		{&c.Role, "role"},
	} {
		if *claim.name == "" {
			*claim.name = claim.fallback
		}
	}
	return c
}

// mediaType is the form in which two values of "typ" are compared (RFC 7515,
// section 4.1.9). No "typ" stays "".
func mediaType(typ string) string {
	if typ != "" && !strings.Contains(typ, "/") {
		typ = "application/" + typ
	}
	return strings.ToLower(typ)
}
