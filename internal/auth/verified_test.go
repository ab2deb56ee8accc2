package auth_test

import (
	"testing"
	"time"

	"ocore.dev/audit/internal/auth"
)

// What is remembered never outlives the token, whichever way the clock moves.
func TestARememberedTokenIsHeldAgainstTheClock(t *testing.T) {
	t.Parallel()
	clock := at
	v, err := auth.NewVerifier([]auth.Issuer{secretIssuer()}, func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	token := signed(edit{"exp": seconds(45), "nbf": seconds(0), "iat": seconds(0)})
	for _, c := range []struct {
		second int64
		good   bool
	}{{0, true}, {1, true}, {59, true}, {61, true}, {74, true}, {75, false}, {200, false}, {40, true}, {-30, true}, {-31, false}, {0, true}} {
		clock = at.Add(time.Duration(c.second) * time.Second)
		if _, err := authenticate(t, v, token); (err == nil) != c.good {
			t.Errorf("after %d s: %v, want accepted: %v", c.second, err, c.good)
		}
	}
}

func TestOneTokenIsNotRememberedForAnother(t *testing.T) {
	t.Parallel()
	v := verifier(t, secretIssuer())
	good := signed(edit{"sub": `"ada"`})
	for range 2 {
		if p := accepted(t, v, good); p.Subject != "ada" {
			t.Errorf("%+v", p)
		}
	}
	refused(t, v, good[:len(good)-1])
	refused(t, v, good+"A")
	if p := accepted(t, v, signed(edit{"sub": `"grace"`})); p.Subject != "grace" {
		t.Errorf("%+v", p)
	}
	if _, err := authenticate(t, verifier(t, auth.Issuer{Issuer: iss, Algorithms: []string{"HS256"}, Secret: append([]byte("x"), secret...)}), good); err == nil {
		t.Error("with another key it is still accepted")
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	v := verifier(b, secretIssuer())
	header := []string{"Bearer " + signed(nil)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Authenticate(b.Context(), header); err != nil {
			b.Fatal(err)
		}
	}
}
