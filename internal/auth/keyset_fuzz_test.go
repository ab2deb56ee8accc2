package auth

import (
	"crypto/rsa"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// FuzzKeySet reads what a provider may publish. Whatever is accepted holds public keys alone,
// strong ones, and each can be meant by one token header.
func FuzzKeySet(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"keys":[]}`, `{"keys":[null]}`, `{"keys":[{}]}`, `{"keys":[{"kty":"oct","k":"AAAA"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`,
		`{"keys":[{"kty":"EC","crv":"P-256","kid":"ec","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc"}]}`,
		`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"},` +
			`{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		`{"keys":[{"kty":"RSA","n":"` + strings.Repeat("_", 342) + `8","e":"AQAB","kid":"r"},{"kty":"AKP","alg":"ML-DSA-44"}]}`,
	} {
		f.Add([]byte(seed))
	}
	issuer := Issuer{Algorithms: []string{"RS256", "ES256", "EdDSA"}}
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, _, err := issuer.keysIn(text)
		if err != nil {
			return
		}
		if len(keys) == 0 || len(keys) > maxKeys {
			t.Fatalf("%d keys", len(keys))
		}
		for n, k := range keys {
			if modulus, ok := k.material.(*rsa.PublicKey); ok && modulus.N.BitLen() < minModulus {
				t.Errorf("a modulus of %d bits", modulus.N.BitLen())
			}
			if !slices.Contains(issuer.Algorithms, k.algorithm) || slices.ContainsFunc(keys[:n], func(other key) bool {
				return other.algorithm == k.algorithm && other.id == k.id
			}) {
				t.Errorf("key %d, %q of %s, can't be told from another", n, k.id, k.algorithm)
			}
		}
		var set struct {
			Keys []map[string]json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal(text, &set); err != nil {
			t.Fatal(err)
		}
		for _, published := range set.Keys {
			for _, private := range []string{"k", "d", "p", "q", "priv"} {
				if published[private] != nil {
					t.Errorf("a set with the member %q of a private key", private)
				}
			}
		}
	})
}

// FuzzTrust reads settings; it opens no file, since ParseTrust doesn't.
func FuzzTrust(f *testing.F) {
	for _, seed := range []string{
		"", `{"issuers":[]}`, `{"issuers":[{"issuer":"a","algorithms":["HS256"],"secret_file":"s"}]}`,
		`{"issuers":[{"issuer":"https://a.example","algorithms":["RS256"],"discover":true,"claims":{"name":"n"},"roles":{"a":["b"]},"scopes":{},"max_lifetime":"1h"}]}`,
		`{"issuers":[{"issuer":"a","algorithms":["ES256"],"key_set_url":"https://a.example/keys","require_claims":{"b":["c"]}},{"issuer":"b","algorithms":["EdDSA"],"key_set_file":"k"}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		issuers, err := ParseTrust(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, issuer := range issuers {
			if issuer.hasSecret() != slices.Contains(issuer.Algorithms, "HS256") {
				t.Errorf("a public key could be taken for a secret: %+v", issuer)
			}
			if _, err := issuer.maxLifetime(); err != nil {
				t.Error(err)
			}
		}
	})
}
