package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"ocore.dev/audit/internal/audit"
)

const (
	minSecret  = 32   // bytes; RFC 7518, section 3.2
	minModulus = 2048 // bits; RFC 7518, section 3.3
	maxKeys    = 100
)

// key verifies signatures of one algorithm (RFC 8725, section 3.1).
type key struct {
	id        string // "" when it has none
	algorithm string
	material  any // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// loadKeys reads and checks the keys of an issuer whose settings were checked, unless it
// publishes them. ignored has a line for each key that verifies nothing here.
func (i Issuer) loadKeys() (keys []key, ignored []string, err error) {
	if i.publishes() {
		return nil, nil, nil
	}
	if i.KeySetFile != "" {
		text, err := readFile(i.KeySetFile)
		if err == nil {
			keys, ignored, err = i.keysIn(text)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("key_set_file: %w", err)
		}
		return keys, ignored, nil
	}
	secret, err := i.loadSecret()
	if err != nil {
		return nil, nil, fmt.Errorf("secret_file: %w", err)
	}
	return []key{{algorithm: "HS256", material: secret}}, nil, nil
}

func (i Issuer) loadSecret() ([]byte, error) {
	secret := bytes.Clone(i.Secret)
	if i.SecretFile != "" {
		text, err := readFile(i.SecretFile)
		if err != nil {
			return nil, err
		}
		secret = text
		if line, ok := bytes.CutSuffix(text, []byte("\n")); ok {
			secret = bytes.TrimSuffix(line, []byte("\r"))
		}
	}
	switch {
	case len(secret) < minSecret:
		return nil, fmt.Errorf("a secret of %d bytes; use at least %d random ones", len(secret), minSecret)
	case bytes.Contains(secret, []byte("-----BEGIN")):
		// Whoever has a public key could sign, if it were taken for a secret.
		return nil, errors.New("this is a PEM file, not a secret; use RS256, ES256 or EdDSA with key_set_file")
	}
	return secret, nil
}

// keysIn reads the text of a key set whole or not at all: one that was published by mistake
// must not be believed in part.
func (i Issuer) keysIn(text []byte) (keys []key, ignored []string, err error) {
	members, err := parseKeySet(text)
	if err != nil {
		return nil, nil, err
	}
	for n, j := range members {
		if err := j.checkPublic(); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", j.name(n), err)
		}
		algorithm, err := i.algorithmOf(j)
		if err != nil {
			ignored = append(ignored, j.name(n)+": "+err.Error())
			continue
		}
		k, err := parseKey(j, algorithm)
		if err == nil {
			err = i.checkKey(k, keys)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", j.name(n), err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, nil, fmt.Errorf("no key in it verifies tokens here; add a public signature key for %s (%s)",
			strings.Join(i.Algorithms, ", "), strings.Join(ignored, "; "))
	}
	return keys, ignored, nil
}

// algorithmOf is the algorithm that j is for; the error says why j verifies nothing here.
// Such a key is ignored (RFC 7517, section 5): issuers publish keys for encryption or of
// newer types in the same set, and those must not keep the service from starting.
func (i Issuer) algorithmOf(j jwk) (string, error) {
	if err := j.checkUse(); err != nil {
		return "", err
	}
	algorithm, err := j.algorithm()
	switch {
	case err != nil:
		return "", err
	case j["alg"] != nil && j.text("alg") != algorithm:
		return "", fmt.Errorf("alg is %q, not %s", j.text("alg"), algorithm)
	case !slices.Contains(i.Algorithms, algorithm):
		return "", fmt.Errorf("it is for %s, which is not among the issuer's algorithms", algorithm)
	}
	return algorithm, nil
}

// checkKey makes sure that a token can mean k, and k alone.
func (i Issuer) checkKey(k key, others []key) error {
	if i.RequireKID && k.id == "" {
		return errors.New("has no kid, but require_kid is set; give it one")
	}
	for _, other := range others {
		if k.id != "" && k.id == other.id {
			return fmt.Errorf("kid %q is there twice; give each key its own", k.id)
		}
		if k.algorithm == other.algorithm && (k.id == "" || other.id == "") {
			return fmt.Errorf("there are several keys for %s; give each a kid", k.algorithm)
		}
	}
	return nil
}

// parseKeySet reads a JWK set (RFC 7517, section 5).
func parseKeySet(text []byte) ([]jwk, error) {
	object, err := audit.CompactObject(nil, text, audit.MaxDepth)
	if err != nil {
		return nil, fmt.Errorf("JWK set%w", err)
	}
	var set map[string]json.RawMessage
	if err := json.Unmarshal(object, &set); err != nil {
		return nil, err
	}
	var keys []jwk
	err = json.Unmarshal(set["keys"], &keys)
	if err != nil || slices.ContainsFunc(keys, func(j jwk) bool { return j == nil }) {
		return nil, errors.New(`not a JWK set: "keys" must be an array of objects`)
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("has %d keys; 1 to %d are allowed", len(keys), maxKeys)
	}
	return keys, nil
}

// jwk is one JSON Web Key (RFC 7517, section 4).
type jwk map[string]json.RawMessage

// name is what the file's n-th key is called in errors and logs.
func (j jwk) name(n int) string {
	if kid := j.text("kid"); kid != "" {
		return fmt.Sprintf("key %q", kid)
	}
	return fmt.Sprintf("keys[%d]", n)
}

// checkPublic refuses keys that whoever has the file could sign with, whatever they are for.
func (j jwk) checkPublic() error {
	if j.text("kty") == "oct" || j["k"] != nil {
		return errors.New("holds a secret; use secret_file for it")
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "priv"} {
		if j[private] != nil {
			return fmt.Errorf("holds the private member %q; publish the public key only, and replace this one", private)
		}
	}
	return nil
}

// checkUse tells keys for signatures from others (RFC 7517, sections 4.2 and 4.3).
func (j jwk) checkUse() error {
	if j["use"] != nil && j.text("use") != "sig" {
		return fmt.Errorf("use is %q", j.text("use"))
	}
	if j["key_ops"] == nil {
		return nil
	}
	if uses, ok := stringValues(j["key_ops"]); !ok || !slices.Contains(uses, "verify") {
		return errors.New(`key_ops doesn't contain "verify"`)
	}
	return nil
}

// algorithm is the one that the key's type stands for here (RFC 7518, section 6;
// RFC 8037, section 2), which is why "alg" may be absent.
func (j jwk) algorithm() (string, error) {
	kty, crv := j.text("kty"), j.text("crv")
	switch {
	case kty == "RSA":
		return "RS256", nil
	case kty == "EC" && crv == "P-256":
		return "ES256", nil
	case kty == "OKP" && crv == "Ed25519":
		return "EdDSA", nil
	case kty == "EC":
		return "", fmt.Errorf("crv is %q, not P-256", crv)
	case kty == "OKP":
		return "", fmt.Errorf("crv is %q, not Ed25519", crv)
	}
	return "", fmt.Errorf("kty is %q, not RSA, EC or OKP", kty)
}

// parseKey reads a public key that is for algorithm.
func parseKey(j jwk, algorithm string) (key, error) {
	kid, err := j.keyID()
	if err != nil {
		return key{}, err
	}
	k := key{id: kid, algorithm: algorithm}
	switch algorithm {
	case "RS256":
		k.material, err = j.rsa()
	case "ES256":
		k.material, err = j.p256()
	default:
		k.material, err = j.ed25519()
	}
	return k, err
}

func (j jwk) keyID() (string, error) {
	kid := j.text("kid")
	if j["kid"] != nil && kid == "" {
		return "", errors.New("kid is no string, or empty; write one, or leave it out")
	}
	return kid, nil
}

// text is a member's string, or "" when it is absent or something else.
func (j jwk) text(name string) string {
	text, _ := stringValue(j[name])
	return text
}

func (j jwk) bytes(name string) ([]byte, error) {
	value, err := decodeBase64(j.text(name))
	if err != nil {
		return nil, fmt.Errorf("%s is no unpadded base64url string", name)
	}
	return value, nil
}

func (j jwk) rsa() (*rsa.PublicKey, error) {
	n, err := j.bytes("n")
	if err != nil {
		return nil, err
	}
	e, err := j.bytes("e")
	if err != nil {
		return nil, err
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	if modulus.BitLen() < minModulus || modulus.Bit(0) == 0 {
		return nil, fmt.Errorf("n is even or has %d bits; use an RSA key of at least %d", modulus.BitLen(), minModulus)
	}
	if rocaPrint(modulus) {
		return nil, errors.New("n is of a generator whose keys can be factored (CVE-2017-15361); replace the key")
	}
	// FIPS 186-5, appendix A.1.1, within what crypto/rsa takes.
	if exponent.BitLen() < 17 || exponent.BitLen() > 31 || exponent.Bit(0) == 0 {
		return nil, errors.New("e must be odd and from 65537 to 2147483647")
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, nil
}

func (j jwk) p256() (*ecdsa.PublicKey, error) {
	x, err := j.bytes("x")
	if err != nil {
		return nil, err
	}
	y, err := j.bytes("y")
	if err != nil {
		return nil, err
	}
	if len(x) != 32 || len(y) != 32 {
		return nil, errors.New("x and y must have 32 bytes each")
	}
	const uncompressed = 4 // SEC 1, section 2.3.3
	point, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{uncompressed}, x, y))
	if err != nil {
		return nil, errors.New("x and y are no point of P-256")
	}
	return point, nil
}

func (j jwk) ed25519() (ed25519.PublicKey, error) {
	x, err := j.bytes("x")
	if err == nil && len(x) != ed25519.PublicKeySize {
		err = fmt.Errorf("x must have %d bytes", ed25519.PublicKeySize)
	}
	return x, err
}

// rocaPrint reports whether a modulus is, by every small prime, a power of 65537, as those
// that a faulty chip generated are (Nemec et al., "The Return of Coppersmith's Attack",
// section 2.3). Of other moduli fewer than one in a hundred million are.
func rocaPrint(modulus *big.Int) bool {
	for _, prime := range []int64{
		3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
		101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
	} {
		rest := new(big.Int).Mod(modulus, big.NewInt(prime)).Int64()
		power, found := int64(1), false
		for range prime {
			power = power * 65537 % prime
			found = found || power == rest
		}
		if !found {
			return false
		}
	}
	return true
}
