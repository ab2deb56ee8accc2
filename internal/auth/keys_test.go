package auth_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ocore.dev/audit/internal/auth"
)

func TestSecretFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		key  []byte
	}{
		"without newline": {string(secret), secret},
		"newline":         {string(secret) + "\n", secret},
		"CR LF":           {string(secret) + "\r\n", secret},
		"two newlines":    {string(secret) + "\n\n", append(slices.Clone(secret), '\n')},
		"only CR":         {string(secret) + "\r", append(slices.Clone(secret), '\r')},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := verifier(t, auth.Issuer{Issuer: iss, Algorithms: []string{"HS256"}, SecretFile: file(t, c.text)})
			accepted(t, v, compact(`{"alg":"HS256"}`, payload(nil), hs256(c.key)))
		})
	}
}

func TestSecretRefusals(t *testing.T) {
	t.Parallel()
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER()}))
	for want, text := range map[string]string{
		"0 bytes":        "",
		"31 bytes":       string(secret[:31]) + "\n",
		"PEM":            public,
		"more than 1 MB": strings.Repeat("x", 1<<20+1),
	} {
		_, err := auth.NewVerifier([]auth.Issuer{{Algorithms: []string{"HS256"}, SecretFile: file(t, text)}}, now)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "issuers[0]: secret_file") {
			t.Errorf("err = %v, want %q in it", err, want)
		}
		if err != nil && len(text) > 8 && strings.Contains(err.Error(), text[:8]) {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
	for _, path := range []string{t.TempDir(), t.TempDir() + "/missing"} {
		if _, err := auth.NewVerifier([]auth.Issuer{{Algorithms: []string{"HS256"}, SecretFile: path}}, now); err == nil {
			t.Errorf("took %s for a secret", path)
		}
	}
}

func TestSecretIsCopied(t *testing.T) {
	t.Parallel()
	mine := slices.Clone(secret)
	v := verifier(t, auth.Issuer{Issuer: iss, Algorithms: []string{"HS256"}, Secret: mine})
	clear(mine)
	accepted(t, v, signed(nil))
	refused(t, v, compact(`{"alg":"HS256"}`, payload(nil), hs256(mine)))
}

func publicDER() []byte { return must(x509.MarshalPKIXPublicKey(&rsaKey().PublicKey)) }

// J-10, J-11: whatever form of a public key is taken for a secret.
func TestAlgorithmConfusion(t *testing.T) {
	t.Parallel()
	v := verifier(t, keySetIssuer(t, rsaJWK(nil), ecJWK(nil), edJWK(nil)))
	der := publicDER()
	for name, taken := range map[string][]byte{
		"PEM":            pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"PEM, no LF":     []byte(strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))),
		"PKCS #1 PEM":    pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)}),
		"DER":            der,
		"PKCS #1 DER":    x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey),
		"JWK":            []byte(rsaJWK(nil)),
		"JWK set":        []byte(keySet(rsaJWK(nil))),
		"modulus":        rsaKey().N.Bytes(),
		"base64 modulus": []byte(b64(rsaKey().N.Bytes())),
		"Ed25519 key":    edSigner.Public().(ed25519.PublicKey),
		"P-256 point":    must(ecKey().PublicKey.Bytes()),
		"nothing":        nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, alg := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
				for _, kid := range []string{"", `,"kid":"rsa"`, `,"kid":"ec"`, `,"kid":"ed"`} {
					refused(t, v, compact(`{"alg":"`+alg+`"`+kid+`}`, payload(nil), hs256(taken)))
				}
			}
		})
	}
}

func TestKeyChoice(t *testing.T) {
	t.Parallel()
	v := verifier(t, keySetIssuer(t, rsaJWK(nil), ecJWK(nil), edJWK(nil)))
	for name, c := range map[string]struct {
		header string
		sign   signer
	}{
		"J-14 PS256":                   {`{"alg":"PS256","kid":"rsa"}`, ps256},
		"J-14 RS512":                   {`{"alg":"RS512","kid":"rsa"}`, rs256},
		"J-15 PS256 header, RS256":     {`{"alg":"PS256","kid":"rsa"}`, rs256},
		"J-15 RS256 header, PS256":     {`{"alg":"RS256","kid":"rsa"}`, ps256},
		"J-22 unknown kid":             {`{"alg":"RS256","kid":"RSA"}`, rs256},
		"kid of another algorithm":     {`{"alg":"RS256","kid":"ec"}`, rs256},
		"kid of another key":           {`{"alg":"EdDSA","kid":"ec"}`, eddsa},
		"signature of another key":     {`{"alg":"ES256","kid":"ec"}`, eddsa},
		"RFC 9864 name":                {`{"alg":"Ed25519","kid":"ed"}`, eddsa},
		"J-21 kid null":                {`{"alg":"EdDSA","kid":null}`, eddsa},
		"J-24 kid with a NUL behind":   {`{"alg":"EdDSA","kid":"ed\u0000"}`, eddsa},
		"J-24 kid with a line break":   {`{"alg":"EdDSA","kid":"ed\n"}`, eddsa},
		"J-18 jwk beside the kid":      {`{"alg":"EdDSA","kid":"ed","jwk":` + edJWK(nil) + `}`, eddsa},
		"J-29 crit beside the kid":     {`{"alg":"EdDSA","kid":"ed","crit":["b64"]}`, eddsa},
		"HS256 with the kid of a key":  {`{"alg":"HS256","kid":"ed"}`, hs256(edSigner.Public().(ed25519.PublicKey))},
		"HS256 with an unknown kid":    {`{"alg":"HS256","kid":"x"}`, hs256(secret)},
		"HS256 without anything known": {`{"alg":"HS256"}`, hs256(secret)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, v, compact(c.header, payload(nil), c.sign))
		})
	}
}

func TestSeveralKeysOfAnAlgorithm(t *testing.T) {
	t.Parallel()
	_, foreign, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	next := edJWK(edit{"kid": `"next"`, "x": quoted(b64(foreign.Public().(ed25519.PublicKey)))})
	v := verifier(t, keySetIssuer(t, edJWK(nil), next))
	signNext := func(input []byte) []byte { return ed25519.Sign(foreign, input) }
	accepted(t, v, compact(`{"alg":"EdDSA","kid":"ed"}`, payload(nil), eddsa))
	replayed := compact(`{"alg":"EdDSA","kid":"next"}`, payload(nil), signNext)
	accepted(t, v, replayed)
	refused(t, v, compact(`{"alg":"EdDSA"}`, payload(nil), eddsa)) // J-21: it could mean either
	refused(t, v, compact(`{"alg":"EdDSA","kid":"next"}`, payload(nil), eddsa))
	refused(t, verifier(t, keySetIssuer(t, edJWK(nil))), replayed) // J-60
}

func TestRequireKID(t *testing.T) {
	t.Parallel()
	issuer := keySetIssuer(t, edJWK(nil))
	issuer.RequireKID = true
	v := verifier(t, issuer)
	accepted(t, v, compact(`{"alg":"EdDSA","kid":"ed"}`, payload(nil), eddsa))
	refused(t, v, compact(`{"alg":"EdDSA"}`, payload(nil), eddsa)) // J-21
}

func TestKeyWithoutKID(t *testing.T) {
	t.Parallel()
	v := verifier(t, keySetIssuer(t, edJWK(edit{"kid": ""}), ecJWK(edit{"kid": ""})))
	accepted(t, v, compact(`{"alg":"EdDSA"}`, payload(nil), eddsa))
	accepted(t, v, compact(`{"alg":"ES256"}`, payload(nil), es256))
	refused(t, v, compact(`{"alg":"EdDSA","kid":"ed"}`, payload(nil), eddsa))
}

func TestKeyMembersThatDoNoHarm(t *testing.T) {
	t.Parallel()
	verifier(t, keySetIssuer(t,
		rsaJWK(edit{"use": `"sig"`, "alg": `"RS256"`, "x5c": `["MIIB"]`, "x5t": `"a"`, "x": `1`}),
		ecJWK(edit{"key_ops": `["verify"]`, "alg": `"ES256"`}),
		edJWK(edit{"key_ops": `["sign","verify"]`, "alg": `"EdDSA"`}),
	))
}

func TestIgnoredKeys(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ key, want string }{
		"J-26 use enc":        {rsaJWK(edit{"use": `"enc"`, "alg": `"RSA-OAEP"`}), `key "rsa": use is "enc"`},
		"use SIG":             {rsaJWK(edit{"use": `"SIG"`}), `key "rsa": use is "SIG"`},
		"use number":          {rsaJWK(edit{"use": "1"}), `key "rsa": use is ""`},
		"J-27 key_ops sign":   {rsaJWK(edit{"key_ops": `["sign"]`}), `key "rsa": key_ops doesn't contain "verify"`},
		"key_ops empty":       {rsaJWK(edit{"key_ops": `[]`}), `key "rsa": key_ops doesn't contain "verify"`},
		"key_ops string":      {rsaJWK(edit{"key_ops": `"verify"`}), `key "rsa": key_ops doesn't contain "verify"`},
		"AKP":                 {`{"kty":"AKP","kid":"pq","alg":"ML-DSA-44","pub":"AQAB"}`, `key "pq": kty is "AKP", not RSA, EC or OKP`},
		"AKP without kid":     {`{"kty":"AKP","alg":"ML-DSA-44","pub":"AQAB"}`, `keys[0]: kty is "AKP", not RSA, EC or OKP`},
		"kty in lower case":   {rsaJWK(edit{"kty": `"rsa"`}), `key "rsa": kty is "rsa", not RSA, EC or OKP`},
		"no kty":              {`{}`, `keys[0]: kty is "", not RSA, EC or OKP`},
		"P-384":               {ecJWK(edit{"crv": `"P-384"`, "alg": `"ES384"`}), `key "ec": crv is "P-384", not P-256`},
		"secp256k1":           {ecJWK(edit{"crv": `"secp256k1"`}), `key "ec": crv is "secp256k1", not P-256`},
		"EC without crv":      {ecJWK(edit{"crv": ""}), `key "ec": crv is "", not P-256`},
		"Ed25519 for EC":      {ecJWK(edit{"crv": `"Ed25519"`}), `key "ec": crv is "Ed25519", not P-256`},
		"X25519":              {edJWK(edit{"kid": `"x"`, "crv": `"X25519"`}), `key "x": crv is "X25519", not Ed25519`},
		"Ed448":               {edJWK(edit{"kid": `"x"`, "crv": `"Ed448"`}), `key "x": crv is "Ed448", not Ed25519`},
		"J-14 PS256":          {rsaJWK(edit{"alg": `"PS256"`}), `key "rsa": alg is "PS256", not RS256`},
		"J-14 RS512":          {rsaJWK(edit{"alg": `"RS512"`}), `key "rsa": alg is "RS512", not RS256`},
		"alg of another type": {rsaJWK(edit{"alg": `"EdDSA"`}), `key "rsa": alg is "EdDSA", not RS256`},
		"alg HS256":           {rsaJWK(edit{"alg": `"HS256"`}), `key "rsa": alg is "HS256", not RS256`},
		"alg number":          {rsaJWK(edit{"alg": "1"}), `key "rsa": alg is "", not RS256`},
		"not in algorithms":   {ecJWK(nil), `key "ec": it is for ES256, which is not among the issuer's algorithms`},
		"not even its alg":    {ecJWK(edit{"alg": `"ES256"`}), `key "ec": it is for ES256, which is not among the issuer's algorithms`},
		"weak RSA for enc":    {rsaJWK(edit{"use": `"enc"`, "n": `"AQAB"`, "e": `"Aw"`}), `key "rsa": use is "enc"`},
		"kid number":          {rsaJWK(edit{"use": `"enc"`, "kid": "1"}), `keys[0]: use is "enc"`},
		"kid of the usable":   {rsaJWK(edit{"use": `"enc"`, "kid": `"ed"`}), `key "ed": use is "enc"`},
		"kid on two lines":    {rsaJWK(edit{"use": `"enc"`, "kid": `"a\nb"`}), `key "a\nb": use is "enc"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issuer := keySetIssuer(t, c.key, edJWK(nil))
			issuer.Algorithms = []string{"RS256", "EdDSA"}
			v := verifier(t, issuer)
			if got, want := v.Ignored(), []string{"issuers[0]: " + c.want}; !slices.Equal(got, want) {
				t.Errorf("ignored %q, want %q", got, want)
			}
			accepted(t, v, compact(`{"alg":"EdDSA","kid":"ed"}`, payload(nil), eddsa))
			for alg, sign := range map[string]signer{"RS256": rs256, "PS256": ps256, "ES256": es256} {
				for _, kid := range []string{"", `,"kid":"rsa"`, `,"kid":"ec"`, `,"kid":"ed"`} {
					refused(t, v, compact(`{"alg":"`+alg+`"`+kid+`}`, payload(nil), sign))
				}
			}
			issuer.KeySetFile = file(t, keySet(c.key))
			_, err := auth.NewVerifier([]auth.Issuer{issuer}, now)
			if err == nil || !strings.Contains(err.Error(), "add a public signature key for RS256, EdDSA ("+c.want+")") {
				t.Errorf("err = %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestIgnoredKeysOfSeveralIssuers(t *testing.T) {
	t.Parallel()
	encryption := rsaJWK(edit{"use": `"enc"`, "kid": ""})
	first := keySetIssuer(t, edJWK(edit{"kid": ""}), encryption, encryption)
	second := keySetIssuer(t, encryption, ecJWK(nil))
	second.Issuer = "https://other.example"
	v := verifier(t, first, second)
	want := []string{`issuers[0]: keys[1]: use is "enc"`, `issuers[0]: keys[2]: use is "enc"`, `issuers[1]: keys[0]: use is "enc"`}
	if got := v.Ignored(); !slices.Equal(got, want) {
		t.Errorf("ignored %q, want %q", got, want)
	}
	v.Ignored()[0] = ""
	if got := v.Ignored(); got[0] != want[0] {
		t.Error("the caller changed the verifier")
	}
	if got := verifier(t, secretIssuer()).Ignored(); len(got) != 0 {
		t.Errorf("ignored %q of a secret", got)
	}
}

func TestKeySetRefusals(t *testing.T) {
	t.Parallel()
	modulus := func(bits int, last byte) string {
		n := make([]byte, bits/8)
		n[0], n[len(n)-1] = 0x80, last
		return quoted(b64(n))
	}
	private := must(x509.MarshalPKCS8PrivateKey(edSigner))
	for name, c := range map[string]struct{ set, want string }{
		"empty file":             {"", "JSON object"},
		"array":                  {`[]`, "JSON object"},
		"trailing bytes":         {keySet(edJWK(nil)) + "x", "after its end"},
		"duplicate member":       {`{"keys":[],"keys":[` + edJWK(nil) + `]}`, "duplicate"},
		"duplicate in a key":     {keySet(`{"kty":"OKP","kty":"RSA"}`), "duplicate"},
		"no keys":                {`{}`, `"keys"`},
		"keys in another case":   {`{"Keys":[` + edJWK(nil) + `]}`, `"keys"`},
		"keys null":              {`{"keys":null}`, "0 keys"},
		"JK-04 keys empty":       {`{"keys":[]}`, "0 keys"},
		"keys object":            {`{"keys":{}}`, "array"},
		"key null":               {keySet(`null`), "array of objects"},
		"key string":             {keySet(`"x"`), "array of objects"},
		"JK-08 101 keys":         {keySet(slices.Repeat([]string{edJWK(nil)}, 101)...), "101 keys"},
		"JK-08 more than 1 MB":   {keySet(edJWK(edit{"x5c": quoted(strings.Repeat("x", 1<<20))})), "1 MB"},
		"PEM":                    {string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), "JSON object"},
		"J-13 oct":               {keySet(`{"kty":"oct","k":"` + b64(secret) + `","kid":"a"}`), "secret_file"},
		"J-13 oct beside others": {keySet(edJWK(nil), `{"kty":"oct","k":"`+b64(secret)+`"}`), "keys[1]"},
		"J-13 k in another type": {keySet(edJWK(edit{"k": `"AA"`})), "secret_file"},
		"J-17 1024 bits":         {keySet(rsaJWK(edit{"n": modulus(1024, 1)})), "2048"},
		"J-17 2040 bits":         {keySet(rsaJWK(edit{"n": modulus(2040, 1)})), "2048"},
		"J-17 even modulus":      {keySet(rsaJWK(edit{"n": modulus(2048, 2)})), "even"},
		"J-17 exponent 1":        {keySet(rsaJWK(edit{"e": `"AQ"`})), "65537"},
		"J-17 exponent 3":        {keySet(rsaJWK(edit{"e": `"Aw"`})), "65537"},
		"J-17 exponent even":     {keySet(rsaJWK(edit{"e": `"AQAA"`})), "65537"},
		"J-17 exponent huge":     {keySet(rsaJWK(edit{"e": `"AQAAAAAAAQAB"`})), "65537"},
		"no n":                   {keySet(rsaJWK(edit{"n": ""})), "n is no"},
		"n number":               {keySet(rsaJWK(edit{"n": "1"})), "n is no"},
		"no e":                   {keySet(rsaJWK(edit{"e": ""})), "e is no"},
		"padded base64":          {keySet(rsaJWK(edit{"e": `"AQAB===="`})), "e is no"},
		"no x":                   {keySet(ecJWK(edit{"x": ""})), "x is no"},
		"no y":                   {keySet(ecJWK(edit{"y": ""})), "y is no"},
		"short x":                {keySet(ecJWK(edit{"x": `"AAAA"`})), "32 bytes"},
		"not on the curve":       {keySet(ecJWK(edit{"y": quoted(b64(secret))})), "no point"},
		"point at infinity":      {keySet(ecJWK(edit{"x": quoted(b64(make([]byte, 32))), "y": quoted(b64(make([]byte, 32)))})), "no point"},
		"short Ed25519":          {keySet(edJWK(edit{"x": `"AAAA"`})), "32 bytes"},
		"Ed25519 without x":      {keySet(edJWK(edit{"x": ""})), "x is no"},
		"J-25 duplicate kid":     {keySet(rsaJWK(nil), edJWK(edit{"kid": `"rsa"`})), "twice"},
		"kid number":             {keySet(edJWK(edit{"kid": "1"})), "kid"},
		"kid empty":              {keySet(edJWK(edit{"kid": `""`})), "kid"},
		"two without kid":        {keySet(edJWK(edit{"kid": ""}), edJWK(edit{"kid": ""})), "several keys"},
		"one of two without kid": {keySet(edJWK(nil), edJWK(edit{"kid": ""})), "several keys"},
		"J-28 private RSA":       {keySet(rsaJWK(edit{"d": `"AQAB"`})), "private"},
		"J-28 private prime":     {keySet(rsaJWK(edit{"p": `"AQAB"`})), "private"},
		"J-28 private EC":        {keySet(ecJWK(edit{"d": `"AQAB"`})), "private"},
		"J-28 private Ed25519":   {keySet(edJWK(edit{"d": quoted(b64(secret))})), "private"},
		"J-28 private null":      {keySet(edJWK(edit{"d": "null"})), "private"},
		"private AKP":            {keySet(edJWK(nil), `{"kty":"AKP","kid":"a","priv":"AQAB"}`), `key "a": holds the private member "priv"`},
		"private for encryption": {keySet(edJWK(nil), rsaJWK(edit{"use": `"enc"`, "d": `"AQAB"`})), `key "rsa": holds the private`},
		"private on P-384":       {keySet(edJWK(nil), ecJWK(edit{"crv": `"P-384"`, "d": `"AQAB"`})), `key "ec": holds the private`},
		"oct for encryption":     {keySet(edJWK(nil), `{"kty":"oct","use":"enc","kid":"a"}`), `key "a": holds a secret`},
		"weak RSA beside others": {keySet(edJWK(nil), rsaJWK(edit{"n": modulus(1024, 1)})), `key "rsa": n is even or has 1024`},
		"duplicate in ignored":   {keySet(edJWK(nil), `{"kty":"AKP","kty":"AKP"}`), "duplicate"},
		"null beside others":     {keySet(edJWK(nil), `null`), "array of objects"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issuer := keySetIssuer(t)
			issuer.KeySetFile = file(t, c.set)
			_, err := auth.NewVerifier([]auth.Issuer{issuer}, now)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "issuers[0]: key_set_file") {
				t.Errorf("err = %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestKeysAgainstSettings(t *testing.T) {
	t.Parallel()
	onlyRSA := keySetIssuer(t, ecJWK(nil))
	onlyRSA.Algorithms = []string{"RS256"}
	needsKID := keySetIssuer(t, edJWK(edit{"kid": ""}))
	needsKID.RequireKID = true
	for want, issuer := range map[string]auth.Issuer{
		`for RS256 (key "ec": it is for ES256`: onlyRSA,
		"require_kid":                          needsKID,
	} {
		if _, err := auth.NewVerifier([]auth.Issuer{issuer}, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %q in it", err, want)
		}
	}
	hundred := make([]string, 100)
	for n := range hundred {
		hundred[n] = edJWK(edit{"kid": fmt.Sprintf(`"%d"`, n)})
	}
	verifier(t, keySetIssuer(t, hundred...))
}
