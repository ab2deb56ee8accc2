package auth_test

import (
	"testing"
	"time"

	"ocore.dev/audit/internal/auth"
)

// A token that isn't remembered: the clock goes back and forth by more than a minute.
func BenchmarkVerify(b *testing.B) {
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
			clock := at
			v := must(auth.NewVerifier([]auth.Issuer{kind.issuer}, func() time.Time { return clock }))
			header := []string{"Bearer " + compact(kind.header, payload(nil), kind.sign)}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				clock = at.Add(time.Duration(n%2) * 61 * time.Second)
				if _, err := v.Authenticate(b.Context(), header); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
