package auth_test

import (
	"testing"

	"ocore.dev/audit/internal/auth"
)

// The same token again and again, as a caller sends it.
func BenchmarkAuthenticate(b *testing.B) {
	keys := keySetIssuer(b, rsaJWK(nil), ecJWK(nil), edJWK(nil))
	for _, kind := range []struct {
		name   string
		issuer auth.Issuer
		header string
		sign   signer
	}{
		{"HS256", secretIssuer(), `{"alg":"HS256"}`, hs256(secret)},
		{"RS256", keys, `{"alg":"RS256","kid":"rsa"}`, rs256},
		{"ES256", keys, `{"alg":"ES256","kid":"ec"}`, es256},
		{"EdDSA", keys, `{"alg":"EdDSA","kid":"ed"}`, eddsa},
	} {
		b.Run(kind.name, func(b *testing.B) {
			v := verifier(b, kind.issuer)
			header := []string{"Bearer " + compact(kind.header, payload(nil), kind.sign)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Authenticate(b.Context(), header); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
