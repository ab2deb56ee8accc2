package auth_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
)

const fuzzedSetIssuer = "https://set.example"

func fuzzedVerifier(t testing.TB) *auth.Verifier {
	set := keySetIssuer(t, edJWK(nil))
	set.Issuer = fuzzedSetIssuer
	return verifier(t, secretIssuer(), set)
}

// FuzzAuthenticate holds whatever is accepted against the standard library's own idea of
// a signature by our keys. Neither algorithm has a second signature for the same bytes
// that could be made without the key.
func FuzzAuthenticate(f *testing.F) {
	v := fuzzedVerifier(f)
	fromSet := payload(edit{"iss": quoted(fuzzedSetIssuer)})
	unsigned := b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(payload(nil))) + "."
	for _, seed := range []string{
		"", "Bearer", "Bearer ", "Bearer ..", "Basic x",
		"Bearer " + signed(nil),
		"bearer " + signed(edit{"exp": `"1"`}),
		"Bearer " + compact(`{"alg":"EdDSA","kid":"ed"}`, fromSet, eddsa),
		"Bearer " + compact(`{"alg":"HS256","kid":"ed"}`, fromSet, hs256(edSigner.Public().(ed25519.PublicKey))),
		"Bearer " + compact(`{"alg":"HS256","crit":[]}`, payload(nil), hs256(secret)),
		"Bearer " + compact(`{"alg":"HS256"}`, payload(nil), hs256(nil)),
		"Bearer " + unsigned, "Bearer " + unsigned + "AA",
		"Bearer " + signed(nil) + "=", "Bearer " + signed(nil) + "\n",
		`Bearer {"payload":"","signatures":[]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, authorization string) {
		p, err := v.Authenticate(t.Context(), []string{authorization})
		if err != nil {
			checkRefusal(t, p, err)
			return
		}
		parts := strings.Split(authorization[len("Bearer "):], ".")
		if len(parts) != 3 {
			t.Fatalf("accepted %d parts", len(parts))
		}
		input := []byte(parts[0] + "." + parts[1])
		signature := must(base64.RawURLEncoding.DecodeString(parts[2]))
		if !bytes.Equal(signature, hs256(secret)(input)) && !bytes.Equal(signature, eddsa(input)) {
			t.Fatalf("accepted a signature that our keys didn't make: %q", authorization)
		}
		checkPrincipal(t, p)
	})
}

// FuzzSignedToken gives the rules behind the signature what only an issuer could send.
func FuzzSignedToken(f *testing.F) {
	v := fuzzedVerifier(f)
	for _, header := range []string{`{"alg":"HS256"}`, `{"alg":"HS256","typ":"JWT","kid":"x"}`, `{"alg":"HS256","b64":false}`} {
		f.Add([]byte(header), []byte(payload(nil)))
		f.Add([]byte(header), []byte(payload(edit{"org_ids": `["a","b"]`, "scope": `"a b"`, "role": `["x"]`, "aud": `["y"]`})))
	}
	f.Fuzz(func(t *testing.T, header, payload []byte) {
		p, err := authenticate(t, v, compact(string(header), string(payload), hs256(secret)))
		if err != nil {
			checkRefusal(t, p, err)
			return
		}
		checkPrincipal(t, p)
	})
}

func checkPrincipal(t *testing.T, p audit.Principal) {
	t.Helper()
	if p.Subject == "" || len(p.Subject) > 512 || len(p.Name) > 512 || p.Issuer == "" {
		t.Fatalf("principal = %+v", p)
	}
	for _, organization := range p.Organizations {
		if !audit.ValidOrganization(organization) {
			t.Fatalf("organization %q", organization)
		}
	}
}
