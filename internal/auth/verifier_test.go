package auth_test

import (
	"encoding/base64"
	"errors"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
)

func TestEveryAlgorithm(t *testing.T) {
	t.Parallel()
	withSecret := verifier(t, secretIssuer())
	withSet := verifier(t, keySetIssuer(t, rsaJWK(nil), ecJWK(nil), edJWK(nil)))
	want := audit.Principal{
		Issuer: iss, Subject: "user-1", Name: "Ada",
		Organizations: []string{"acme"},
		Permissions:   []audit.Permission{audit.ViewAuditLogs},
	}
	for _, c := range []struct {
		name, header string
		sign         signer
		v            *auth.Verifier
	}{
		{"HS256", `{"alg":"HS256"}`, hs256(secret), withSecret},
		{"HS256 at+jwt", `{"alg":"HS256","typ":"at+jwt"}`, hs256(secret), withSecret},
		{"HS256 application/at+jwt", `{"typ":"application/at+jwt","alg":"HS256"}`, hs256(secret), withSecret},
		{"HS256 jwt", `{ "alg": "HS256", "typ": "jwt" }`, hs256(secret), withSecret},
		{"HS256 thumbprint", `{"alg":"HS256","x5t":"a","x5t#S256":"b"}`, hs256(secret), withSecret},
		{"RS256", `{"alg":"RS256","kid":"rsa"}`, rs256, withSet},
		{"RS256 without kid", `{"alg":"RS256"}`, rs256, withSet},
		{"ES256", `{"alg":"ES256","kid":"ec"}`, es256, withSet},
		{"ES256 without kid", `{"alg":"ES256"}`, es256, withSet},
		{"EdDSA", `{"alg":"EdDSA","kid":"ed"}`, eddsa, withSet},
		{"EdDSA without kid", `{"alg":"EdDSA"}`, eddsa, withSet},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := accepted(t, c.v, compact(c.header, payload(nil), c.sign)); !reflect.DeepEqual(got, want) {
				t.Errorf("principal = %+v, want %+v", got, want)
			}
		})
	}
}

func TestAuthorizationHeader(t *testing.T) {
	t.Parallel()
	v := verifier(t, secretIssuer())
	token := signed(nil)
	for _, good := range []string{"Bearer " + token, "bearer " + token, "BEARER " + token} {
		if _, err := v.Authenticate(t.Context(), []string{good}); err != nil {
			t.Errorf("%.8q: %v", good, err)
		}
	}
	const send = "send `Authorization: Bearer <token>`"
	for _, c := range []struct {
		name, detail  string
		authorization []string
	}{
		{"none", send, nil},
		{"empty", send, []string{""}},
		{"token only (J-58)", send, []string{token}},
		{"scheme only", send, []string{"Bearer"}},
		{"scheme and space", send, []string{"Bearer "}},
		{"BearerX (J-58)", send, []string{"BearerX " + token}},
		{"Bearer and token in one (J-58)", send, []string{"Bearer" + token}},
		{"Basic (J-58)", send, []string{"Basic " + token}},
		{"tab", send, []string{"Bearer\t" + token}},
		{"leading space", send, []string{" Bearer " + token}},
		{"two headers (J-58)", "send one", []string{"Bearer " + token, "Bearer " + token}},
		{"two spaces", generic, []string{"Bearer  " + token}},
		{"scheme twice", generic, []string{"Bearer Bearer " + token}},
		{"list", generic, []string{"Bearer " + token + ", Bearer " + token}},
		{"parameters", generic, []string{"Bearer " + token + " x=y"}},
		{"API key", generic, []string{"Bearer ocore_0123456789"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, err := v.Authenticate(t.Context(), c.authorization)
			checkRefusal(t, p, err)
			if rejection, ok := errors.AsType[*audit.Rejection](err); !ok || !strings.Contains(rejection.Detail, c.detail) {
				t.Errorf("err = %v, want a detail with %q", err, c.detail)
			}
		})
	}
}

func TestTokenShape(t *testing.T) {
	t.Parallel()
	v := verifier(t, secretIssuer())
	token := signed(nil)
	parts := strings.Split(token, ".")
	head, body, signature := parts[0], parts[1], parts[2]
	raw := must(base64.RawURLEncoding.DecodeString(signature))
	for name, bad := range map[string]string{
		"J-01 two parts":                 head + "." + body,
		"J-02 empty signature":           head + "." + body + ".",
		"J-04 truncated signature":       head + "." + body + "." + b64(raw[:31]),
		"J-04 lengthened signature":      head + "." + body + "." + b64(append(slices.Clone(raw), 0)),
		"J-05 four parts":                token + "." + signature,
		"J-05 five parts":                token + "." + body + "." + signature,
		"J-06 dots":                      "..",
		"J-06 a.b.c":                     "a.b.c",
		"J-06 one dot":                   ".",
		"J-35 flattened JSON":            `{"payload":"` + body + `","protected":"` + head + `","signature":"` + signature + `"}`,
		"J-36 general JSON":              `{"payload":"` + body + `","signatures":[{"protected":"` + head + `","signature":"` + signature + `"},{"protected":"` + head + `","signature":"AA"}]}`,
		"J-37 unprotected header":        `{"payload":"` + body + `","signatures":[{"header":{"alg":"HS256"},"signature":"` + signature + `"}]}`,
		"J-38 raw claims":                payload(nil),
		"J-54 leading space":             " " + token,
		"J-54 trailing line feed":        token + "\n",
		"J-54 line feed in signature":    head + "." + body + "." + signature[:9] + "\n" + signature[9:],
		"J-54 CR LF in payload":          head + "." + body[:8] + "\r\n" + body[8:] + "." + signature,
		"J-54 padding":                   token + "=",
		"J-54 padded header":             head + "=." + body + "." + signature,
		"J-54 unused bits":               head + "." + body + "." + signature[:42] + nextLetter(signature[42]),
		"J-54 standard alphabet":         head + "." + body + "." + strings.Repeat("+/", 21) + "8",
		"J-57 one megabyte":              head + "." + strings.Repeat("A", 1<<20) + "." + signature,
		"J-57 100,000 dots":              head + strings.Repeat(".", 100_000),
		"more than 8 KB, rightly signed": signed(edit{"x": quoted(strings.Repeat("x", 8<<10))}),
		"percent-encoded":                strings.ReplaceAll(token, ".", "%2E"),
		"NUL behind":                     token + "\x00",
		"not UTF-8":                      token + "\xff",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, v, bad)
		})
	}
}

// nextLetter changes the unused bits in the last letter of a 32 byte value.
func nextLetter(letter byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, letter)^1])
}

func TestLargestToken(t *testing.T) {
	t.Parallel()
	v := verifier(t, secretIssuer())
	padding := func(n int) string { return signed(edit{"x": quoted(strings.Repeat("x", n))}) }
	n := 5800
	for len(padding(n+1)) <= 8<<10 {
		n++
	}
	accepted(t, v, padding(n))
	refused(t, v, padding(n+1))
}

// J-03: not one bit of what was signed, nor of the signature, may change.
func TestBitFlips(t *testing.T) {
	t.Parallel()
	withSecret := verifier(t, secretIssuer())
	withSet := verifier(t, keySetIssuer(t, rsaJWK(nil), ecJWK(nil), edJWK(nil)))
	for alg, c := range map[string]struct {
		v    *auth.Verifier
		sign signer
	}{
		"HS256": {withSecret, hs256(secret)},
		"RS256": {withSet, rs256},
		"ES256": {withSet, es256},
		"EdDSA": {withSet, eddsa},
	} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			token := compact(`{"alg":"`+alg+`"}`, payload(nil), c.sign)
			accepted(t, c.v, token)
			parts := strings.Split(token, ".")
			for n, part := range parts {
				value := must(base64.RawURLEncoding.DecodeString(part))
				for bit := range len(value) * 8 {
					flipped := slices.Clone(value)
					flipped[bit/8] ^= 1 << (bit % 8)
					changed := slices.Clone(parts)
					changed[n] = b64(flipped)
					refused(t, c.v, strings.Join(changed, "."))
				}
			}
		})
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	v := verifier(t, secretIssuer())
	for name, header := range map[string]string{
		"J-09 empty alg":             `{"alg":""}`,
		"J-09 no alg":                `{}`,
		"J-09 no alg, typ":           `{"typ":"JWT"}`,
		"alg null":                   `{"alg":null}`,
		"alg array":                  `{"alg":["HS256"]}`,
		"alg in lower case":          `{"alg":"hs256"}`,
		"alg with space":             `{"alg":"HS256 "}`,
		"HS384":                      `{"alg":"HS384"}`,
		"HS512":                      `{"alg":"HS512"}`,
		"RS256 for a secret":         `{"alg":"RS256"}`,
		"case variant of alg":        `{"Alg":"HS256"}`,
		"case variant beside alg":    `{"alg":"HS256","ALG":"none"}`,
		"J-18 jwk":                   `{"alg":"HS256","jwk":{"kty":"oct","k":"c2VjcmV0"}}`,
		"J-19 jku":                   `{"alg":"HS256","jku":"https://attacker.example/keys"}`,
		"J-19 x5u":                   `{"alg":"HS256","x5u":"https://attacker.example/chain"}`,
		"J-20 x5c":                   `{"alg":"HS256","x5c":["MIIB"]}`,
		"J-22 unknown kid":           `{"alg":"HS256","kid":"unknown"}`,
		"J-23 kid number":            `{"alg":"HS256","kid":1}`,
		"J-23 kid null":              `{"alg":"HS256","kid":null}`,
		"J-23 kid array":             `{"alg":"HS256","kid":["a"]}`,
		"kid empty":                  `{"alg":"HS256","kid":""}`,
		"J-24 kid path":              `{"alg":"HS256","kid":"../../dev/null"}`,
		"J-24 kid SQL":               `{"alg":"HS256","kid":"' UNION SELECT 'x"}`,
		"J-24 kid command":           `{"alg":"HS256","kid":"|sleep 10"}`,
		"J-24 kid CR LF":             `{"alg":"HS256","kid":"a\r\nlevel=ERROR"}`,
		"J-24 kid NUL":               `{"alg":"HS256","kid":"\u0000"}`,
		"J-29 crit":                  `{"alg":"HS256","crit":["exp"],"exp":1}`,
		"J-30 crit empty":            `{"alg":"HS256","crit":[]}`,
		"J-31 b64 false":             `{"alg":"HS256","b64":false}`,
		"J-31 b64 false, crit":       `{"alg":"HS256","b64":false,"crit":["b64"]}`,
		"J-31 b64 true":              `{"alg":"HS256","b64":true}`,
		"J-32 logout+jwt":            `{"alg":"HS256","typ":"logout+jwt"}`,
		"J-32 secevent+jwt":          `{"alg":"HS256","typ":"secevent+jwt"}`,
		"J-32 dpop+jwt":              `{"alg":"HS256","typ":"dpop+jwt"}`,
		"typ empty":                  `{"alg":"HS256","typ":""}`,
		"typ null":                   `{"alg":"HS256","typ":null}`,
		"typ of another tree":        `{"alg":"HS256","typ":"text/jwt"}`,
		"J-33 cty":                   `{"alg":"HS256","cty":"JWT"}`,
		"J-34 enc":                   `{"alg":"HS256","enc":"A128GCM"}`,
		"J-34 PBES2":                 `{"alg":"PBES2-HS256+A128KW","p2c":10000000}`,
		"J-34 zip":                   `{"alg":"HS256","zip":"DEF"}`,
		"J-39 duplicate alg":         `{"alg":"none","alg":"HS256"}`,
		"J-39 duplicate alg, escape": `{"alg":"HS256","\u0061lg":"HS256"}`,
		"unknown member":             `{"alg":"HS256","x":"y"}`,
		"trailing bytes":             `{"alg":"HS256"} x`,
		"second object":              `{"alg":"HS256"}{}`,
		"byte order mark":            "\ufeff" + `{"alg":"HS256"}`,
		"not UTF-8":                  `{"alg":"HS256","x5t":"` + "\xff" + `"}`,
		"array":                      `["HS256"]`,
		"string":                     `"HS256"`,
		"null":                       `null`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, v, compact(header, payload(nil), hs256(secret)))
		})
	}
}

// J-07, J-08: the "none" of RFC 7515, appendix A.5, in any spelling.
func TestNone(t *testing.T) {
	t.Parallel()
	v := verifier(t, secretIssuer())
	for _, none := range []string{"none", "None", "NONE", "nOnE", "none ", "n\\u006fne"} {
		header := `{"alg":"` + none + `"}`
		unsigned := b64([]byte(header)) + "." + b64([]byte(payload(nil))) + "."
		refused(t, v, unsigned)
		refused(t, v, unsigned+"AA")
		refused(t, v, unsigned+strings.Split(signed(nil), ".")[2])
		refused(t, v, compact(header, payload(nil), hs256(secret)))
	}
}

// J-12: no secret but ours verifies.
func TestForeignSecrets(t *testing.T) {
	t.Parallel()
	v := verifier(t, secretIssuer())
	for _, guess := range []string{"", "1", "secret", "password", "\x00", string(secret[:31]), string(secret) + "\n", b64(secret)} {
		refused(t, v, compact(`{"alg":"HS256"}`, payload(nil), hs256([]byte(guess))))
	}
}

func TestES256Signatures(t *testing.T) {
	t.Parallel()
	v := verifier(t, keySetIssuer(t, ecJWK(nil)))
	order := ecKey().Params().N
	zero, one := big.NewInt(0), big.NewInt(1)
	last := new(big.Int).Sub(order, one)
	for _, r := range []*big.Int{zero, one, last, order} {
		for _, s := range []*big.Int{zero, one, last, order} {
			refused(t, v, compact(`{"alg":"ES256"}`, payload(nil), fixed(rawSignature(r, s))))
		}
	}
	for name, change := range map[string]func(signature []byte) []byte{
		"trailing zeros": func(s []byte) []byte { return append(s, 0, 0) },
		"leading zeros":  func(s []byte) []byte { return append([]byte{0, 0}, s...) },
		"shortened":      func(s []byte) []byte { return s[:63] },
		"halves swapped": func(s []byte) []byte { return append(slices.Clone(s[32:]), s[:32]...) },
		"DER":            func(s []byte) []byte { return append([]byte{0x30, 0x44, 2, 32}, s...) },
	} {
		t.Run("J-16 "+name, func(t *testing.T) {
			t.Parallel()
			refused(t, v, compact(`{"alg":"ES256"}`, payload(nil), func(input []byte) []byte { return change(es256(input)) }))
		})
	}
}

func TestTwoIssuers(t *testing.T) {
	t.Parallel()
	const other = "https://other.example"
	otherSecret := []byte(strings.Repeat("other", 8))
	v := verifier(t, secretIssuer(),
		auth.Issuer{Issuer: other, Algorithms: []string{"HS256"}, Secret: otherSecret})
	otherPayload := payload(edit{"iss": quoted(other)})
	if p := accepted(t, v, compact(`{"alg":"HS256"}`, otherPayload, hs256(otherSecret))); p.Issuer != other {
		t.Errorf("issuer = %q", p.Issuer)
	}
	accepted(t, v, signed(nil))
	// J-59
	refused(t, v, compact(`{"alg":"HS256"}`, otherPayload, hs256(secret)))
	refused(t, v, compact(`{"alg":"HS256"}`, payload(nil), hs256(otherSecret)))
}

func TestAnyIssuer(t *testing.T) {
	t.Parallel()
	v := verifier(t, auth.Issuer{Algorithms: []string{"HS256"}, Secret: secret})
	for claim, want := range map[string]string{"": "", `"anybody"`: "anybody"} {
		if p := accepted(t, v, signed(edit{"iss": claim})); p.Issuer != want {
			t.Errorf("iss %s: issuer = %q, want %q", claim, p.Issuer, want)
		}
	}
	refused(t, v, signed(edit{"iss": "1"}))
	refused(t, v, signed(edit{"iss": "null"}))
}

func TestTypes(t *testing.T) {
	t.Parallel()
	issuer := secretIssuer()
	issuer.Types = []string{"AT+JWT"}
	v := verifier(t, issuer)
	for typ, ok := range map[string]bool{
		`,"typ":"at+jwt"`:             true,
		`,"typ":"application/AT+jwt"`: true,
		`,"typ":"JWT"`:                false,
		``:                            false,
	} {
		token := compact(`{"alg":"HS256"`+typ+`}`, payload(nil), hs256(secret))
		if _, err := authenticate(t, v, token); (err == nil) != ok {
			t.Errorf("typ %q: %v, want accepted: %v", typ, err, ok)
		}
	}
}

// One verifier serves all requests at once; run with -race.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	v := verifier(t, keySetIssuer(t, ecJWK(nil), edJWK(nil)))
	good := compact(`{"alg":"EdDSA"}`, payload(nil), eddsa)
	bad := compact(`{"alg":"ES256"}`, payload(nil), eddsa)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				if _, err := authenticate(t, v, good); err != nil {
					t.Error(err)
				}
				if _, err := authenticate(t, v, bad); err == nil {
					t.Error("accepted a forged token")
				}
			}
		})
	}
	group.Wait()
}

func TestReasonTellsNothingOfTheToken(t *testing.T) {
	t.Parallel()
	v := verifier(t, secretIssuer())
	const marker = "MARKER"
	for _, token := range []string{
		marker,
		compact(`{"alg":"HS256","`+marker+`":"x"}`, payload(nil), hs256(secret)),
		compact(`{"alg":"`+marker+`"}`, payload(nil), hs256(secret)),
		compact(`{"alg":"HS256","kid":"`+marker+`"}`, payload(nil), hs256(secret)),
		compact(`{"alg":"HS256"}`, `{"`+marker+`":1,"`+marker+`":2}`, hs256(secret)),
		signed(edit{"iss": quoted(marker)}),
		signed(edit{"sub": `["` + marker + `"]`}),
		signed(edit{"org_id": quoted(marker + "/")}),
		signed(edit{"exp": quoted(marker)}),
	} {
		_, err := authenticate(t, v, token)
		if err == nil || strings.Contains(err.Error(), marker) {
			t.Errorf("err = %q", err)
		}
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	v := verifier(t, secretIssuer())
	for want, token := range map[string]string{
		"the claim exp has passed":                     signed(edit{"exp": seconds(-31)}),
		"the claim sub is missing or empty":            signed(edit{"sub": ""}),
		"the signature doesn't verify":                 compact(`{"alg":"HS256"}`, payload(nil), eddsa),
		"the claim iss names no trusted issuer":        signed(edit{"iss": `"x"`}),
		"0 keys of the issuer fit the header's kid":    compact(`{"alg":"HS256","kid":"x"}`, payload(nil), hs256(secret)),
		"the issuer may not use this alg":              compact(`{"alg":"none"}`, payload(nil), eddsa),
		"the payload is a duplicate key":               compact(`{"alg":"HS256"}`, `{"a":1,"a":1}`, hs256(secret)),
		"further away than max_lifetime allows":        signed(edit{"exp": seconds(25 * 3600)}),
		"org_id or org_ids holds what can't be an org": signed(edit{"org_id": `"_admin"`}),
	} {
		_, err := authenticate(t, v, token)
		if err == nil || !strings.HasPrefix(err.Error(), "unauthenticated: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %q in it", err, want)
		}
		if rejection, ok := errors.AsType[*audit.Rejection](err); !ok || rejection.Error() != "unauthenticated: "+generic {
			t.Errorf("the client gets %v", rejection)
		}
	}
}

func TestDevelopmentToken(t *testing.T) {
	t.Parallel()
	full := audit.Principal{
		Issuer: iss, Subject: "dev", Name: "Dev <b>",
		Organizations: []string{"acme"},
		Permissions:   []audit.Permission{audit.ManageAuditLogs, audit.ViewAdminAuditLogs},
	}
	several := full
	several.Organizations = []string{"acme", "globex"}
	anyone := verifier(t, auth.Issuer{Algorithms: []string{"HS256"}, Secret: secret})
	for name, want := range map[string]audit.Principal{
		"full":     full,
		"several":  several,
		"platform": {Subject: "platform"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token, err := auth.NewDevelopmentToken(secret, want, at.Add(time.Second*2/3), 24*time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if got := accepted(t, anyone, token); !reflect.DeepEqual(got, want) {
				t.Errorf("principal = %+v, want %+v", got, want)
			}
		})
	}
}

func TestDevelopmentTokenRefusals(t *testing.T) {
	t.Parallel()
	good := audit.Principal{Subject: "dev"}
	for name, c := range map[string]struct {
		secret    []byte
		principal audit.Principal
		lifetime  time.Duration
		want      string
	}{
		"no secret":        {nil, good, time.Hour, "0 bytes"},
		"short secret":     {secret[:31], good, time.Hour, "31 bytes"},
		"no subject":       {secret, audit.Principal{}, time.Hour, "sub"},
		"long subject":     {secret, audit.Principal{Subject: strings.Repeat("s", 513)}, time.Hour, "sub"},
		"bad organization": {secret, audit.Principal{Subject: "dev", Organizations: []string{"a b"}}, time.Hour, "org_id"},
		"no lifetime":      {secret, good, 0, "duration"},
		"negative":         {secret, good, -time.Hour, "duration"},
		"too large":        {secret, audit.Principal{Subject: "dev", Organizations: slices.Repeat([]string{strings.Repeat("o", 64)}, 200)}, time.Hour, "8 KB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token, err := auth.NewDevelopmentToken(c.secret, c.principal, at, c.lifetime)
			if err == nil || token != "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("token %q, err = %v, want %q in it", token, err, c.want)
			}
		})
	}
}
