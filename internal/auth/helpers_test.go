package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
)

const (
	iss     = "https://issuer.example"
	generic = "the token is not valid here: get a new one from its issuer"
)

var (
	at       = time.Unix(1_767_225_600, 0)
	now      = func() time.Time { return at }
	secret   = []byte("0123456789abcdef0123456789abcdef")
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edSigner = ed25519.NewKeyFromSeed(secret)
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// signer makes the signature of a JWS signing input. It is written with the standard
// library, so that the tests don't share the library that they test.
type signer func(input []byte) []byte

func hs256(secret []byte) signer {
	return func(input []byte) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write(input)
		return mac.Sum(nil)
	}
}

func rs256(input []byte) []byte {
	digest := sha256.Sum256(input)
	return must(rsa.SignPKCS1v15(rand.Reader, rsaKey(), crypto.SHA256, digest[:]))
}

func ps256(input []byte) []byte {
	digest := sha256.Sum256(input)
	return must(rsa.SignPSS(rand.Reader, rsaKey(), crypto.SHA256, digest[:], nil))
}

func es256(input []byte) []byte {
	digest := sha256.Sum256(input)
	r, s, err := ecdsa.Sign(rand.Reader, ecKey(), digest[:])
	if err != nil {
		panic(err)
	}
	return rawSignature(r, s)
}

func rawSignature(r, s *big.Int) []byte {
	return slices.Concat(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32)))
}

func eddsa(input []byte) []byte { return ed25519.Sign(edSigner, input) }

func fixed(signature []byte) signer { return func([]byte) []byte { return signature } }

func b64(value []byte) string { return base64.RawURLEncoding.EncodeToString(value) }

func compact(header, payload string, sign signer) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	return input + "." + b64(sign([]byte(input)))
}

// edit sets members of an object to raw JSON, or removes them by "".
type edit map[string]string

func object(members, changes edit) string {
	members = maps.Clone(members)
	maps.Copy(members, changes)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if members[name] != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", name, members[name]))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func payload(changes edit) string {
	return object(edit{
		"iss":         `"` + iss + `"`,
		"sub":         `"user-1"`,
		"name":        `"Ada"`,
		"org_id":      `"acme"`,
		"permissions": `["view:audit_logs"]`,
		"iat":         fmt.Sprint(at.Unix()),
		"exp":         fmt.Sprint(at.Unix() + 3600),
	}, changes)
}

// seconds is a NumericDate relative to the tests' clock.
func seconds(offset int64) string { return fmt.Sprint(at.Unix() + offset) }

// signed is a token that the verifier with the secret takes, unless changes are wrong.
func signed(changes edit) string { return compact(`{"alg":"HS256"}`, payload(changes), hs256(secret)) }

func secretIssuer() auth.Issuer {
	return auth.Issuer{Issuer: iss, Algorithms: []string{"HS256"}, Secret: secret}
}

func rsaJWK(changes edit) string {
	return object(edit{
		"kty": `"RSA"`,
		"kid": `"rsa"`,
		"n":   `"` + b64(rsaKey().N.Bytes()) + `"`,
		"e":   `"AQAB"`,
	}, changes)
}

func ecJWK(changes edit) string {
	point := must(ecKey().PublicKey.Bytes())
	return object(edit{
		"kty": `"EC"`,
		"kid": `"ec"`,
		"crv": `"P-256"`,
		"x":   `"` + b64(point[1:33]) + `"`,
		"y":   `"` + b64(point[33:]) + `"`,
	}, changes)
}

func edJWK(changes edit) string {
	return object(edit{
		"kty": `"OKP"`,
		"kid": `"ed"`,
		"crv": `"Ed25519"`,
		"x":   `"` + b64(edSigner.Public().(ed25519.PublicKey)) + `"`,
	}, changes)
}

func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func keySet(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func keySetIssuer(t testing.TB, keys ...string) auth.Issuer {
	t.Helper()
	return auth.Issuer{
		Issuer:     iss,
		Algorithms: []string{"RS256", "ES256", "EdDSA"},
		KeySetFile: file(t, keySet(keys...)),
	}
}

func verifier(t testing.TB, issuers ...auth.Issuer) *auth.Verifier {
	t.Helper()
	v, err := auth.NewVerifier(issuers, now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func authenticate(t testing.TB, v *auth.Verifier, token string) (audit.Principal, error) {
	return v.Authenticate(t.Context(), []string{"Bearer " + token})
}

func accepted(t testing.TB, v *auth.Verifier, token string) audit.Principal {
	t.Helper()
	p, err := authenticate(t, v, token)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return p
}

// refused wants the one answer that tells a client nothing.
func refused(t testing.TB, v *auth.Verifier, token string) {
	t.Helper()
	p, err := authenticate(t, v, token)
	checkRefusal(t, p, err)
	if rejection, ok := errors.AsType[*audit.Rejection](err); !ok || rejection.Detail != generic {
		t.Fatalf("err = %v, want the generic detail", err)
	}
}

func checkRefusal(t testing.TB, p audit.Principal, err error) {
	t.Helper()
	if !errors.Is(err, audit.ErrUnauthenticated) {
		t.Fatalf("principal %+v, err %v, want ErrUnauthenticated", p, err)
	}
	if p.Subject != "" || p.Organizations != nil || p.Permissions != nil {
		t.Fatalf("a refused token gave the principal %+v", p)
	}
	rejection, ok := errors.AsType[*audit.Rejection](err)
	if !ok {
		t.Fatalf("err = %v, want a rejection in it", err)
	}
	reason, ok := strings.CutPrefix(err.Error(), "unauthenticated: ")
	if !ok || reason == "" || strings.ContainsAny(reason, "\r\n") || strings.Contains(rejection.Error(), reason) {
		t.Fatalf("err = %q: want one line with a reason that the client doesn't get in %q", err, rejection)
	}
}

func quoted(text string) string { return string(must(json.Marshal(text))) }
