package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/testkit"
)

// The hostile tokens, J-01 to J-60, over HTTP against the whole service, each under the
// trust that it is about. The other tests of this package go deeper into one thing at a
// time; a case that is new belongs here first, under the id of its row.

// profile is a service that trusts in one way, and what its good tokens are made of.
type profile struct {
	name    string
	v       *auth.Verifier
	service *testkit.Service
	log     *journal
	clock   *atomic.Int64 // seconds since the tests' time
	header  edit
	claims  edit
	sign    signer
}

// token is a good one but for the claims that are changed.
func (p *profile) token(changes edit) string { return p.of(nil, changes, p.sign) }

// headed is a good one but for the header's members that are changed.
func (p *profile) headed(changes edit) string { return p.of(changes, nil, p.sign) }

// of is signed over whatever header and claims become.
func (p *profile) of(header, claims edit, sign signer) string {
	return compact(object(p.header, header), p.payload(claims), sign)
}

func (p *profile) payload(changes edit) string {
	now := p.clock.Load()
	all := edit{"permissions": `["manage:audit_logs"]`, "iat": seconds(now), "exp": seconds(now + 3600)}
	maps.Copy(all, p.claims)
	maps.Copy(all, changes)
	return payload(all)
}

// parts are a good token's three.
func (p *profile) parts() (header, payload, signature string) {
	all := strings.Split(p.token(nil), ".")
	return all[0], all[1], all[2]
}

// hostile is one input.
type hostile struct {
	row, name string
	to        *profile
	values    []string            // of the Authorization header
	change    func(*http.Request) // what else is sent, if anything
	status    int
	before    func() // what must have happened, if anything
}

// table collects the inputs.
type table struct{ inputs []hostile }

func (h *table) add(row string, to *profile, name, token string) {
	h.inputs = append(h.inputs, hostile{row: row, name: name, to: to, values: []string{"Bearer " + token}, status: http.StatusUnauthorized})
}

// last is the input that was just added, to say more of it.
func (h *table) last() *hostile { return &h.inputs[len(h.inputs)-1] }

const hostileRows = 60

func TestHostileTokens(t *testing.T) {
	t.Parallel()
	database := testkit.NewDatabase(t)
	attacker := newAttacker(t)
	secrets := newProfile(t, database, "HS256, as the customer's platform", edit{"alg": `"HS256"`}, nil, hs256(secret), secretIssuer())
	set := keySetIssuer(t, rsaJWK(nil), ecJWK(nil), edJWK(nil))
	set.RequireKID, set.Audience = true, "audit"
	sets := newProfile(t, database, "key set with kid and audience", edit{"alg": `"RS256"`, "kid": `"rsa"`}, edit{"aud": `"audit"`}, rs256, set)
	set.Types = []string{"at+jwt"}
	typed := newProfile(t, database, "RFC 9068", edit{"alg": `"EdDSA"`, "kid": `"ed"`, "typ": `"at+jwt"`}, edit{"aud": `"audit"`}, eddsa, set)
	other := secretIssuer()
	other.Issuer, other.Secret = "https://other.example", []byte(strings.Repeat("other", 8))
	several := newProfile(t, database, "two issuers", edit{"alg": `"HS256"`}, nil, hs256(secret), secretIssuer(), other)

	var h table
	h.shapes(secrets)
	h.algorithms(secrets, sets)
	h.signatures(sets)
	h.headers(secrets, sets, attacker.URL)
	h.types(typed)
	h.payloads(secrets)
	h.times(secrets)
	h.names(secrets, sets, several)
	h.permissions(secrets)
	h.transport(secrets)
	published := newPublisher(t, database)
	h.keys(published)
	h.run(t)

	if n := attacker.asked.Load(); n != 0 {
		t.Errorf("%d requests to the attacker's host", n)
	}
	var stored int
	if err := testkit.Connect(t, database.SuperuserURL).QueryRow(t.Context(), "SELECT count(*) FROM entries").Scan(&stored); err != nil || stored != 0 {
		t.Errorf("%d entries stored, %v", stored, err)
	}
}

// notTokens are parts of rows that aren't about tokens here, and why.
var notTokens = map[string]string{
	"J-51 not a UUID":                        "an organization's key is any of its 1 to 64 characters",
	"J-51 organization deleted":              "organizations are whatever tokens name: the service keeps no list of them",
	"J-51 user removed from it":              "members are the issuer's: a token is good until it expires, for max_lifetime at most",
	"J-51 organization in path and token":    "no path holds an organization; X-Org-Slug stands for it",
	"J-54 LF, J-50 raw NUL, over HTTP":       "no HTTP message can hold them in a header; they go to the verifier itself",
	"J-57 1 MB, 100,000 dots":                "net/http refuses headers over 32 KB by a 431 before our code; the verifier is tried too",
	"J-12 secrets that are guessed, as ours": "a secret under 32 bytes is refused by the settings",
}

func (h *table) run(t *testing.T) {
	seen := map[string]int{}
	generic := ""
	for n, input := range h.inputs {
		seen[input.row]++
		if input.before != nil {
			input.before()
		}
		name := input.row + " " + input.name
		if slices.ContainsFunc(input.values, func(value string) bool { return strings.ContainsAny(value, "\x00\r\n") }) {
			p, err := input.to.v.Authenticate(t.Context(), input.values)
			checkRefusal(t, p, err)
			continue
		}
		status, header, body := input.send(t, n)
		if status != input.status {
			t.Errorf("%s: %d, want %d: %s", name, status, input.status, body)
			continue
		}
		if status == http.StatusRequestHeaderFieldsTooLarge {
			continue
		}
		if status == http.StatusUnauthorized && len(input.values) == 1 && strings.HasPrefix(input.values[0], "Bearer ") {
			if generic == "" {
				generic = body
			}
			if body != generic {
				t.Errorf("%s: the answer tells more than others: %s", name, body)
			}
		}
		input.checkAnswer(t, name, status, header)
		input.checkLog(t, name, n)
	}
	for row := 1; row <= hostileRows; row++ {
		if id := fmt.Sprintf("J-%02d", row); seen[id] == 0 {
			t.Errorf("%s has no input", id)
		}
	}
	t.Logf("%d rows, %d inputs; not here: %d parts of rows", len(seen), len(h.inputs), len(notTokens))
	if len(seen) != hostileRows || len(h.inputs) < 120 {
		t.Errorf("%d rows and %d inputs, want %d and at least 120", len(seen), len(h.inputs), hostileRows)
	}
}

// send asks to record something, and returns the answer without its request id.
func (i hostile) send(t *testing.T, n int) (status int, header http.Header, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.to.service.URL+"/audit-logs",
		strings.NewReader(`{"action":"a","resourceType":"t"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Authorization"] = i.values
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Request-Id", requestID(n))
	if i.change != nil {
		i.change(r)
	}
	client := i.to.service.HTTP
	if len(strings.Join(i.values, "")) > 32<<10 {
		client = http.DefaultClient // what net/http answers itself is in no document
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", i.row, i.name, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, strings.ReplaceAll(string(text), requestID(n), "")
}

func requestID(n int) string { return fmt.Sprintf("hostile-%d-", n) }

func (i hostile) checkAnswer(t *testing.T, name string, status int, header http.Header) {
	t.Helper()
	if kind := header.Get("Content-Type"); kind != "application/problem+json" {
		t.Errorf("%s: Content-Type %q", name, kind)
	}
	challenge, want := header.Get("WWW-Authenticate"), ""
	if status == http.StatusUnauthorized {
		want = `Bearer realm="ocore-audit"`
		if len(i.values) > 0 && i.values[0] != "" {
			want += `, error="invalid_token"`
		}
	}
	if challenge != want {
		t.Errorf("%s: WWW-Authenticate: %s, want %s", name, challenge, want)
	}
}

// checkLog wants one line of the request, that says why and has nothing of the token.
func (i hostile) checkLog(t *testing.T, name string, n int) {
	t.Helper()
	var found []string
	for line := range strings.Lines(i.to.log.String()) {
		if strings.Contains(line, requestID(n)) {
			found = append(found, line)
		}
	}
	if len(found) != 1 {
		t.Errorf("%s: %d lines in the log: %q", name, len(found), found)
		return
	}
	var line struct{ Error, Level string }
	if err := json.Unmarshal([]byte(found[0]), &line); err != nil || line.Error == "" || line.Level != "INFO" {
		t.Errorf("%s: %v: logged %s", name, err, found[0])
	}
	for _, value := range i.values {
		for _, part := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(". ", r) }) {
			if len(part) > 12 && strings.Contains(found[0], part) {
				t.Errorf("%s: the log has %q of the token", name, part)
			}
		}
	}
}

// newProfile serves, trusting the issuers, and makes sure that a good token is one.
func newProfile(t *testing.T, database testkit.Database, name string, header, claims edit, sign signer, issuers ...auth.Issuer) *profile {
	t.Helper()
	p := &profile{name: name, log: &journal{}, clock: &atomic.Int64{}, header: header, claims: claims, sign: sign}
	var err error
	p.v, err = auth.NewVerifier(issuers, func() time.Time { return at.Add(time.Duration(p.clock.Load()) * time.Second) })
	if err != nil {
		t.Fatal(err)
	}
	p.service = testkit.ServeTrusting(t, database, p.v, slog.New(slog.NewJSONHandler(p.log, nil)),
		func(o *httpapi.Options) { o.RefusalLines = 10_000 }) // each is looked for
	if !slices.ContainsFunc(issuers, func(i auth.Issuer) bool { return i.KeySetURL != "" }) {
		p.mustRead(t, p.token(nil))
	}
	return p
}

func (p *profile) mustRead(t *testing.T, token string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.service.URL+"/audit-logs", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := p.service.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: a good token is answered %d: %s", p.name, response.StatusCode, p.log)
	}
}

// attacker is a host that headers point at; it counts who comes by.
type attacker struct {
	*httptest.Server
	asked atomic.Int64
}

func newAttacker(t *testing.T) *attacker {
	t.Helper()
	a := &attacker{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		a.asked.Add(1)
		io.WriteString(w, keySet(edJWK(edit{"kid": `"evil"`})))
	}))
	t.Cleanup(a.Close)
	return a
}

func (h *table) shapes(p *profile) {
	header, body, signature := p.parts()
	token := p.token(nil)
	raw := must(base64.RawURLEncoding.DecodeString(signature))
	flip := func(part string) string {
		value := must(base64.RawURLEncoding.DecodeString(part))
		value[len(value)/2] ^= 1
		return b64(value)
	}
	h.add("J-01", p, "two parts", header+"."+body)
	h.add("J-01", p, "one part", header)
	h.add("J-02", p, "empty signature", header+"."+body+".")
	h.add("J-03", p, "bit of the header", flip(header)+"."+body+"."+signature)
	h.add("J-03", p, "bit of the payload", header+"."+flip(body)+"."+signature)
	h.add("J-03", p, "bit of the signature", header+"."+body+"."+flip(signature))
	h.add("J-04", p, "one byte less", header+"."+body+"."+b64(raw[:31]))
	h.add("J-04", p, "half", header+"."+body+"."+b64(raw[:16]))
	h.add("J-04", p, "one byte more", header+"."+body+"."+b64(append(slices.Clone(raw), 0)))
	h.add("J-05", p, "four parts", token+"."+signature)
	h.add("J-05", p, "five parts", header+"."+body+"."+signature+"."+body+"."+signature)
	h.add("J-06", p, "dots", "..")
	h.add("J-06", p, "a.b.c", "a.b.c")
	h.add("J-06", p, "a dot", ".")
	h.add("J-06", p, "null", "null")
	h.add("J-35", p, "flattened JSON", `{"payload":"`+body+`","protected":"`+header+`","signature":"`+signature+`"}`)
	h.add("J-36", p, "general JSON", `{"payload":"`+body+`","signatures":[{"protected":"`+header+`","signature":"`+signature+`"},{"protected":"`+header+`","signature":"AA"}]}`)
	h.add("J-37", p, "unprotected header", `{"payload":"`+body+`","signatures":[{"header":{"alg":"HS256"},"signature":"`+signature+`"}]}`)
	h.add("J-38", p, "raw claims", p.payload(nil))
	h.add("J-54", p, "leading space", " "+token)
	h.add("J-54", p, "trailing line feed", token+"\n")
	h.add("J-54", p, "line feed in the signature", header+"."+body+"."+signature[:9]+"\n"+signature[9:])
	h.add("J-54", p, "padding", token+"=")
	h.add("J-54", p, "padded header", header+"=."+body+"."+signature)
	h.add("J-54", p, "standard alphabet", header+"."+body+"."+strings.Repeat("+/", 21)+"8")
	h.add("J-54", p, "unused bits", header+"."+body+"."+signature[:42]+nextLetter(signature[42]))
	h.add("J-57", p, "16 KB", header+"."+strings.Repeat("A", 16<<10)+"."+signature)
	h.add("J-57", p, "20,000 dots", header+strings.Repeat(".", 20_000))
	h.add("J-57", p, "1 MB", header+"."+strings.Repeat("A", 1<<20)+"."+signature)
	h.last().status = http.StatusRequestHeaderFieldsTooLarge
	h.add("J-57", p, "100,000 dots", header+strings.Repeat(".", 100_000))
	h.last().status = http.StatusRequestHeaderFieldsTooLarge
}

func (h *table) algorithms(p, set *profile) {
	_, body, signature := p.parts()
	for _, none := range []string{"none", "None", "NONE", "nOnE"} {
		unsigned := b64([]byte(`{"alg":"`+none+`"}`)) + "." + body + "."
		h.add("J-07", p, none, unsigned)
		h.add("J-08", p, none+" with the signature kept", unsigned+signature)
	}
	h.add("J-07", p, "none, escaped", b64([]byte(`{"alg":"n\u006fne"}`))+"."+body+".")
	h.add("J-08", p, "none with a signature over it", p.headed(edit{"alg": `"none"`}))
	h.add("J-09", p, "empty", p.headed(edit{"alg": `""`}))
	h.add("J-09", p, "missing", p.headed(edit{"alg": ""}))
	h.add("J-09", p, "missing beside typ", p.headed(edit{"alg": "", "typ": `"JWT"`}))
	h.add("J-09", p, "null", p.headed(edit{"alg": "null"}))
	der := publicDER()
	for name, taken := range map[string][]byte{
		"J-10 PEM":       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"J-10 PKCS #1":   pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)}),
		"J-10 no LF":     []byte(strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))),
		"J-11 DER":       der,
		"J-11 JWK":       []byte(rsaJWK(nil)),
		"J-11 JWK set":   []byte(keySet(rsaJWK(nil))),
		"J-11 modulus":   rsaKey().N.Bytes(),
		"J-11 Ed25519":   edSigner.Public().(ed25519.PublicKey),
		"J-11 P-256":     must(ecKey().PublicKey.Bytes()),
		"J-11 in base64": []byte(b64(rsaKey().N.Bytes())),
	} {
		row, what, _ := strings.Cut(name, " ")
		h.add(row, set, what, set.of(edit{"alg": `"HS256"`}, nil, hs256(taken)))
		h.add(row, set, what+" under its own alg", set.of(nil, nil, hs256(taken)))
	}
	for _, guess := range []string{
		"", "1", "secret", "password", "key", "changeme", "jwt", "jwt_secret", "your-256-bit-secret", "your_jwt_secret", "supersecret",
		"test", "admin", "123456", "qwerty", "HS256", "ocore", "ocore-audit", iss, "\x00", string(make([]byte, 32)), string(secret[:31]), string(secret) + "\n", b64(secret),
	} {
		h.add("J-12", p, fmt.Sprintf("%q", guess), p.of(nil, nil, hs256([]byte(guess))))
	}
	h.add("J-14", set, "PS256, validly signed", set.of(edit{"alg": `"PS256"`}, nil, ps256))
	h.add("J-14", set, "RS512, validly signed", set.of(edit{"alg": `"RS512"`}, nil, func(input []byte) []byte {
		digest := crypto.SHA512.New()
		digest.Write(input)
		return must(rsa.SignPKCS1v15(rand.Reader, rsaKey(), crypto.SHA512, digest.Sum(nil)))
	}))
	h.add("J-15", set, "PS256 with the signature of RS256", set.of(edit{"alg": `"PS256"`}, nil, rs256))
	h.add("J-15", set, "RS256 with the signature of PS256", set.of(nil, nil, ps256))
	h.add("J-15", set, "RS256 with the signature of ES256", set.of(nil, nil, es256))
}

func (h *table) signatures(p *profile) {
	header := edit{"alg": `"ES256"`, "kid": `"ec"`}
	order := ecKey().Params().N
	last := new(big.Int).Sub(order, big.NewInt(1))
	for _, r := range []*big.Int{big.NewInt(0), big.NewInt(1), last, order} {
		for _, s := range []*big.Int{big.NewInt(0), big.NewInt(1), last, order} {
			h.add("J-16", p, fmt.Sprintf("r %d bits, s %d bits", r.BitLen(), s.BitLen()), p.of(header, nil, fixed(rawSignature(r, s))))
		}
	}
	for name, change := range map[string]func([]byte) []byte{
		"trailing zeros": func(s []byte) []byte { return append(s, 0, 0) },
		"leading zeros":  func(s []byte) []byte { return append([]byte{0, 0}, s...) },
		"one byte less":  func(s []byte) []byte { return s[:63] },
		"halves swapped": func(s []byte) []byte { return append(slices.Clone(s[32:]), s[:32]...) },
	} {
		h.add("J-16", p, name, p.of(header, nil, func(input []byte) []byte { return change(es256(input)) }))
	}
	h.add("J-16", p, "DER", p.of(header, nil, func(input []byte) []byte {
		digest := sha256.Sum256(input)
		return must(ecdsa.SignASN1(rand.Reader, ecKey(), digest[:]))
	}))
}

func (h *table) headers(p, set *profile, attacker string) {
	evil := edJWK(edit{"kid": `"evil"`})
	fromEvil := func(changes edit) string {
		all := edit{"alg": `"EdDSA"`, "kid": `"evil"`}
		maps.Copy(all, changes)
		return set.of(all, nil, eddsa)
	}
	h.add("J-18", set, "attacker's key", fromEvil(edit{"jwk": evil}))
	h.add("J-18", set, "attacker's key under a known kid", fromEvil(edit{"kid": `"ed"`, "jwk": evil}))
	h.add("J-18", p, "attacker's secret", p.headed(edit{"jwk": `{"kty":"oct","k":"c2VjcmV0"}`}))
	for _, pointer := range []string{"jku", "x5u"} {
		for _, at := range []string{attacker + "/keys", "http://169.254.169.254/latest", "file:///etc/passwd"} {
			h.add("J-19", set, pointer+" "+at, fromEvil(edit{pointer: quoted(at)}))
			h.add("J-19", set, pointer+" under a known kid "+at, set.headed(edit{pointer: quoted(at)}))
		}
	}
	h.add("J-19", p, "jku", p.headed(edit{"jku": quoted(attacker)}))
	h.add("J-20", set, "chain", fromEvil(edit{"x5c": `["MIIB"]`}))
	h.add("J-20", set, "chain under a known kid", set.headed(edit{"x5c": `["` + base64.StdEncoding.EncodeToString(publicDER()) + `"]`}))
	h.add("J-21", set, "missing", set.headed(edit{"kid": ""}))
	h.add("J-22", set, "unknown", set.headed(edit{"kid": `"unknown"`}))
	h.add("J-22", set, "in another case", set.headed(edit{"kid": `"RSA"`}))
	h.add("J-22", set, "of another algorithm's key", set.headed(edit{"kid": `"ec"`}))
	for name, kid := range map[string]string{"number": "1", "null": "null", "array": `["rsa"]`, "object": `{}`, "true": "true", "empty": `""`} {
		h.add("J-23", set, name, set.headed(edit{"kid": kid}))
	}
	for name, kid := range map[string]string{
		"path": "../../dev/null", "absolute path": "/dev/null", "SQL": "' UNION SELECT 'x", "command": "|sleep 10", "CR LF": "rsa\r\nlevel=ERROR msg=forged",
		"NUL behind": "rsa\x00", "LF behind": "rsa\n", "7 KB": strings.Repeat("k", 5000), "format": "%s%n", "template": "${jndi:ldap://x}",
	} {
		h.add("J-24", set, name, set.headed(edit{"kid": quoted(kid)}))
	}
	h.add("J-24", set, "1 MB", set.headed(edit{"kid": quoted(strings.Repeat("k", 1<<20))}))
	h.last().status = http.StatusRequestHeaderFieldsTooLarge
	h.add("J-29", p, "unknown", p.headed(edit{"crit": `["urn:x"]`, "urn:x": "1"}))
	h.add("J-29", p, "exp", p.headed(edit{"crit": `["exp"]`, "exp": "1"}))
	h.add("J-29", p, "absent member", p.headed(edit{"crit": `["urn:x"]`}))
	h.add("J-30", p, "empty", p.headed(edit{"crit": `[]`}))
	h.add("J-30", p, "null", p.headed(edit{"crit": `null`}))
	h.add("J-31", p, "without crit", p.headed(edit{"b64": "false"}))
	h.add("J-31", p, "with crit", p.headed(edit{"b64": "false", "crit": `["b64"]`}))
	h.add("J-31", p, "true", p.headed(edit{"b64": "true"}))
	h.add("J-33", p, "cty", p.headed(edit{"cty": `"JWT"`}))
	h.add("J-33", p, "token within", compact(`{"alg":"HS256","cty":"JWT"}`, p.token(nil), p.sign))
	h.add("J-33", p, "token within, unsaid", compact(`{"alg":"HS256"}`, p.token(nil), p.sign))
	h.add("J-34", p, "JWE", strings.Join([]string{b64([]byte(`{"alg":"dir","enc":"A128GCM"}`)), "", b64([]byte("iv")), b64([]byte("text")), b64([]byte("tag"))}, "."))
	h.add("J-34", p, "PBES2", strings.Join([]string{b64([]byte(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":10000000}`)), "AA", "AA", "AA", "AA"}, "."))
	h.add("J-34", p, "PBES2 in three parts", p.headed(edit{"alg": `"PBES2-HS256+A128KW"`, "p2c": "10000000"}))
	h.add("J-34", p, "zip", p.headed(edit{"zip": `"DEF"`}))
	h.add("J-34", p, "enc", p.headed(edit{"enc": `"A128GCM"`}))
	h.add("J-39", p, "none first", compact(`{"alg":"none","alg":"HS256"}`, p.payload(nil), p.sign))
	h.add("J-39", p, "none last", compact(`{"alg":"HS256","alg":"none"}`, p.payload(nil), p.sign))
	h.add("J-39", p, "by escape", compact(`{"alg":"HS256","\u0061lg":"HS256"}`, p.payload(nil), p.sign))
	h.add("J-39", set, "RS256", compact(`{"alg":"none","alg":"RS256","kid":"rsa"}`, set.payload(nil), rs256))
}

func (h *table) types(p *profile) {
	for _, typ := range []string{"JWT", "jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "id+jwt", "text/at+jwt", "at+jwt ", ""} {
		h.add("J-32", p, typ, p.headed(edit{"typ": quoted(typ)}))
	}
	h.add("J-32", p, "missing", p.headed(edit{"typ": ""}))
	h.add("J-32", p, "array", p.headed(edit{"typ": `["at+jwt"]`}))
}

func (h *table) payloads(p *profile) {
	good := p.payload(nil)
	and := func(member string) string { return good[:len(good)-1] + "," + member + "}" }
	of := func(payload string) string { return compact(`{"alg":"HS256"}`, payload, p.sign) }
	for name, member := range map[string]string{
		"sub": `"sub":"root"`, "the same sub": `"sub":"user-1"`, "exp": `"exp":` + seconds(60), "iss": `"iss":"` + iss + `"`, "aud": `"aud":"a","aud":"b"`,
		"org_id": `"org_id":"globex"`, "permissions": `"permissions":["view:admin_audit_logs"]`, "by escape": `"s\u0075b":"root"`, "deep down": `"x":{"y":[{"z":1,"z":2}]}`,
	} {
		h.add("J-40", p, name, of(and(member)))
	}
	h.add("J-53", p, "Exp alone", p.token(edit{"exp": "", "Exp": seconds(60)}))
	h.add("J-53", p, "SUB alone", p.token(edit{"sub": "", "SUB": `"user-1"`}))
	h.add("J-53", p, "ISS alone", p.token(edit{"iss": "", "ISS": quoted(iss)}))
	for name, text := range map[string]string{
		"array": "[" + good + "]", "string": quoted(good), "null": "null", "number": "1", "empty": "", "space": " ", "byte order mark": "\ufeff" + good,
		"trailing bytes": good + "x", "trailing object": good + good, "trailing NUL": good + "\x00", "cut": good[:len(good)-1], "trailing comma": good[:len(good)-1] + ",}",
		"comment": good[:len(good)-1] + "/**/}", "not UTF-8": and("\"x\":\"\xc3\x28\""), "UTF-16": "\xff\xfe{\x00}\x00",
	} {
		h.add("J-55", p, name, of(text))
	}
	h.add("J-56", p, "2,000 deep", of(and(`"x":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000))))
	h.add("J-56", p, "20,000 deep", of(and(`"x":`+strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000))))
	h.last().status = http.StatusRequestHeaderFieldsTooLarge
	h.add("J-56", p, "5,000 deep, unclosed", of(and(`"x":`+strings.Repeat("[", 5000))))
	h.add("J-56", p, "500 objects", of(and(`"x":`+strings.Repeat(`{"a":`, 500)+"1"+strings.Repeat("}", 500))))
}

func (h *table) times(p *profile) {
	h.add("J-41", p, "missing", p.token(edit{"exp": ""}))
	h.add("J-41", p, "missing, nbf instead", p.token(edit{"exp": "", "nbf": seconds(0)}))
	h.add("J-42", p, "zero", p.token(edit{"exp": "0"}))
	h.add("J-42", p, "minus zero", p.token(edit{"exp": "-0"}))
	for name, exp := range map[string]string{
		"null": "null", "true": "true", "array": "[" + seconds(60) + "]", "object": "{}", "negative": "-1", "1e30": "1e30",
		"largest int64": "9223372036854775807", "beyond int64": "9223372036854775808", "year 10000": "253402300800",
	} {
		h.add("J-43", p, name, p.token(edit{"exp": exp}))
		h.add("J-43", p, name+" without iat", p.token(edit{"exp": exp, "iat": ""}))
	}
	for name, exp := range map[string]string{
		"RFC 3339": `"2099-01-01T00:00:00Z"`, "numeric string": quoted(seconds(60)), "fraction": seconds(60) + ".5", "whole fraction": seconds(60) + ".0",
		"exponent": "1767225660e0", "1e10": "1e10",
	} {
		h.add("J-44", p, name, p.token(edit{"exp": exp}))
	}
	for name, offset := range map[string]int64{"30 s ago": -30, "31 s ago": -31, "an hour ago": -3600} {
		h.add("J-45", p, name, p.token(edit{"iat": seconds(-7200), "exp": seconds(offset)}))
	}
	h.add("J-46", p, "nbf in 31 s", p.token(edit{"nbf": seconds(31)}))
	h.add("J-46", p, "nbf in an hour", p.token(edit{"nbf": seconds(3600)}))
	h.add("J-46", p, "iat in 31 s", p.token(edit{"iat": seconds(31)}))
	h.add("J-47", p, "24 h and a second", p.token(edit{"exp": seconds(24*3600 + 1)}))
	h.add("J-47", p, "24 h without iat", p.token(edit{"exp": seconds(24*3600 + 31), "iat": ""}))
	h.add("J-47", p, "issued 24 h ago", p.token(edit{"iat": seconds(-24 * 3600)}))
	h.add("J-47", p, "issued in 1970", p.token(edit{"iat": "0"}))
}

func (h *table) names(p, set, several *profile) {
	for name, value := range map[string]string{
		"missing": "", "empty": `""`, "null": "null", "array": `["` + iss + `"]`, "trailing slash": quoted(iss + "/"), "http": `"http://issuer.example"`,
		"upper case": `"https://ISSUER.example"`, "homoglyph": `"https://іssuer.example"`, "space behind": quoted(iss + " "), "longer": quoted(iss + ".evil.example"),
	} {
		h.add("J-48", p, name, p.token(edit{"iss": value}))
	}
	for name, value := range map[string]string{
		"missing": "", "empty": `""`, "empty list": "[]", "number": "1", "nested": `[["audit"]]`, "mixed": `["audit",1]`, "longer": `"audit-x"`, "shorter": `"audi"`,
		"case": `"Audit"`, "other service": `"billing"`, "listed in one": `"audit billing"`,
	} {
		h.add("J-49", set, name, set.token(edit{"aud": value}))
	}
	for name, value := range map[string]string{
		"missing": "", "empty": `""`, "number": "1", "null": "null", "array": `["user-1"]`, "513 bytes": quoted(strings.Repeat("s", 513)),
		"NUL": `"a\u0000"`, "raw NUL": "\"a\x00\"", "not UTF-8": "\"a\xff\"", "lone surrogate": `"\ud800"`,
	} {
		h.add("J-50", p, name, p.token(edit{"sub": value}))
	}
	h.add("J-50", p, "10 KB", p.token(edit{"sub": quoted(strings.Repeat("s", 10<<10))}))
	other := hs256([]byte(strings.Repeat("other", 8)))
	h.add("J-59", several, "A's name, B's key", several.of(nil, nil, other))
	h.add("J-59", several, "B's name, A's key", several.token(edit{"iss": `"https://other.example"`}))
	h.add("J-59", several, "both names", compact(`{"alg":"HS256"}`, strings.Replace(several.payload(nil), "{", `{"iss":"https://other.example",`, 1), other))
}

func (h *table) permissions(p *profile) {
	for name, value := range map[string]string{
		"empty": `""`, "number": "1", "null": "null", "array": `["acme"]`, "reserved": quoted(audit.AdminOrganization), "65 characters": quoted(strings.Repeat("o", 65)),
		"line feed": `"acme\n"`, "slash": `"acme/globex"`, "wildcard": `"*"`,
	} {
		h.add("J-51", p, name, p.token(edit{"org_id": value}))
	}
	forbidden := func(row, name string, changes edit) *hostile {
		h.add(row, p, name, p.token(changes))
		h.last().status = http.StatusForbidden
		return h.last()
	}
	forbidden("J-51", "missing", edit{"org_id": ""})
	forbidden("J-51", "several and no choice", edit{"org_ids": `["globex"]`})
	forbidden("J-51", "another by X-Org-Slug", nil).change = func(r *http.Request) { r.Header.Set("X-Org-Slug", "globex") }
	forbidden("J-51", "the admin trail's by X-Org-Slug", nil).change = func(r *http.Request) { r.Header.Set("X-Org-Slug", audit.AdminOrganization) }
	forbidden("J-52", "missing", edit{"permissions": ""})
	forbidden("J-52", "longer", edit{"permissions": "", "scope": `"create:audit_logsx"`})
	forbidden("J-52", "shorter", edit{"permissions": "", "scope": `"create:audit_log"`})
	forbidden("J-52", "in another case", edit{"permissions": "", "scope": `"Create:Audit_Logs"`})
	forbidden("J-52", "another separator", edit{"permissions": "", "scope": `"x,create:audit_logs"`})
	forbidden("J-52", "wildcard", edit{"permissions": `["*"]`})
	forbidden("J-52", "read alone", edit{"permissions": `["view:audit_logs"]`})
	forbidden("J-52", "the admin trail's", edit{"permissions": `["create:admin_audit_logs","view:admin_audit_logs"]`})
	h.add("J-52", p, "array for a string", p.token(edit{"permissions": "", "scope": `["create:audit_logs"]`}))
	h.add("J-52", p, "string for an array", p.token(edit{"permissions": `"create:audit_logs"`}))
}

func (h *table) transport(p *profile) {
	token := p.token(nil)
	send := func(name string, values ...string) {
		h.inputs = append(h.inputs, hostile{row: "J-58", name: name, to: p, values: values, status: http.StatusUnauthorized})
	}
	send("none")
	send("empty", "")
	send("without scheme", token)
	send("BearerX", "BearerX "+token)
	send("Bearer and token in one", "Bearer"+token)
	send("Basic", "Basic "+token)
	send("tab", "Bearer\t"+token)
	send("two spaces", "Bearer  "+token)
	send("scheme twice", "Bearer Bearer "+token)
	send("two headers", "Bearer "+token, "Bearer "+token)
	send("bad, then good", "Bearer x", "Bearer "+token)
	send("list", "Bearer "+token+", Bearer "+token)
	for name, change := range map[string]func(*http.Request){
		"query":          func(r *http.Request) { r.URL.RawQuery = "access_token=" + token },
		"cookie":         func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "Authorization", Value: token}) },
		"another header": func(r *http.Request) { r.Header.Set("X-Authorization", "Bearer "+token) },
		"proxy's header": func(r *http.Request) { r.Header.Set("Proxy-Authorization", "Bearer "+token) },
		"form": func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Body = io.NopCloser(strings.NewReader("access_token=" + token))
			r.ContentLength = int64(len("access_token=" + token))
		},
	} {
		send(name)
		h.last().change = change
	}
}

// publisher is an issuer whose published keys change during the test.
type publisher struct {
	*profile
	t       *testing.T
	set     atomic.Value
	fetched atomic.Int64
}

func newPublisher(t *testing.T, database testkit.Database) *publisher {
	t.Helper()
	p := &publisher{t: t}
	p.set.Store(keySet(edJWK(nil)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.fetched.Add(1)
		io.WriteString(w, p.set.Load().(string))
	}))
	t.Cleanup(server.Close)
	issuer := auth.Issuer{Issuer: iss, Algorithms: []string{"RS256", "ES256", "EdDSA"}, KeySetURL: server.URL}
	p.profile = newProfile(t, database, "published keys", edit{"alg": `"EdDSA"`, "kid": `"ed"`}, nil, eddsa, issuer)
	go p.v.Run(t.Context(), slog.New(slog.NewJSONHandler(p.log, nil)))
	for p.v.Ready() != nil && t.Context().Err() == nil {
		runtime.Gosched()
	}
	p.mustRead(t, p.token(nil))
	return p
}

// publishes has the set fetched: a minute later somebody names an unknown key.
func (p *publisher) publishes(keys ...string) func() {
	return func() {
		p.t.Helper()
		p.set.Store(keySet(keys...))
		before := p.fetched.Load()
		p.clock.Add(60)
		refused(p.t, p.v, p.headed(edit{"kid": `"nobody's"`}))
		if n := p.fetched.Load() - before; n != 1 {
			p.t.Errorf("the set was fetched %d times", n)
		}
		p.mustRead(p.t, p.token(nil)) // the good key holds on, whatever stands beside it
	}
}

// keys are rows about what is published. Tokens are made when the clock has come there.
func (h *table) keys(p *publisher) {
	add := func(row, name string, before func(), token func() string) {
		h.add(row, p.profile, name, "")
		n := len(h.inputs) - 1
		h.inputs[n].before = func() {
			before()
			h.inputs[n].values[0] = "Bearer " + token()
		}
	}
	signed := func(alg, kid string, sign signer) func() string {
		return func() string { return p.of(edit{"alg": quoted(alg), "kid": quoted(kid)}, nil, sign) }
	}
	oct := `{"kty":"oct","kid":"oct","k":"` + b64(secret) + `"}`
	add("J-13", "HS256", p.publishes(edJWK(nil), oct), signed("HS256", "oct", hs256(secret)))
	add("J-13", "HS256 for another's kid", p.publishes(edJWK(nil), oct), signed("HS256", "ed", hs256(secret)))

	weak := must(rsa.GenerateKey(rand.Reader, 1024)) //nolint:gosec // which is the case
	weakJWK := rsaJWK(edit{"kid": `"weak"`, "n": quoted(b64(weak.N.Bytes()))})
	add("J-17", "1,024 bits", p.publishes(edJWK(nil), weakJWK), signed("RS256", "weak", func(input []byte) []byte {
		digest := sha256.Sum256(input)
		return must(rsa.SignPKCS1v15(rand.Reader, weak, crypto.SHA256, digest[:]))
	}))
	add("J-17", "exponent 1", p.publishes(edJWK(nil), rsaJWK(edit{"kid": `"one"`, "e": `"AQ"`})), signed("RS256", "one", exponentOne))
	add("J-17", "exponent 3", p.publishes(edJWK(nil), rsaJWK(edit{"kid": `"three"`, "e": `"Aw"`})), signed("RS256", "three", rs256))

	double := rsaJWK(edit{"kid": `"double"`})
	add("J-25", "first", p.publishes(edJWK(nil), double, ecJWK(edit{"kid": `"double"`})), signed("RS256", "double", rs256))
	add("J-25", "second", p.publishes(edJWK(nil), double, ecJWK(edit{"kid": `"double"`})), signed("ES256", "double", es256))
	add("J-26", "use enc", p.publishes(edJWK(nil), rsaJWK(edit{"use": `"enc"`})), signed("RS256", "rsa", rs256))
	add("J-27", "key_ops sign", p.publishes(edJWK(nil), rsaJWK(edit{"key_ops": `["sign"]`})), signed("RS256", "rsa", rs256))
	add("J-28", "private key", p.publishes(edJWK(nil), rsaJWK(edit{"d": `"AQAB"`})), signed("RS256", "rsa", rs256))

	var replayed string
	withdraw := func() {
		p.publishes(edJWK(nil), rsaJWK(nil))()
		replayed = signed("RS256", "rsa", rs256)()
		p.mustRead(p.t, replayed)
		p.publishes(edJWK(nil))()
	}
	add("J-60", "remembered", withdraw, func() string { return replayed })
	add("J-60", "new", withdraw, signed("RS256", "rsa", rs256))
}

// exponentOne is a signature that anybody can make: the padded digest itself (RFC 8017,
// section 9.2).
func exponentOne(input []byte) []byte {
	digest := sha256.Sum256(input)
	prefix := []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}
	tail := slices.Concat([]byte{0}, prefix, digest[:])
	return slices.Concat([]byte{0, 1}, slices.Repeat([]byte{0xff}, 256-2-len(tail)), tail)
}

// J-57: what is too long costs next to nothing. Not in parallel: it counts allocations.
func TestHugeTokensCostNothing(t *testing.T) {
	v := verifier(t, secretIssuer())
	for name, token := range map[string]string{
		"1 MB": strings.Repeat("A", 1<<20), "100,000 dots": strings.Repeat(".", 100_000), "8 KB of dots": strings.Repeat(".", 8<<10),
		"8 KB of brackets": compact(`{"alg":"HS256"}`, `{"x":`+strings.Repeat("[", 6000), hs256(secret)),
	} {
		header := []string{"Bearer " + token}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := v.Authenticate(t.Context(), header)
		runtime.ReadMemStats(&after)
		if spent := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, audit.ErrUnauthenticated) || spent > 1<<20 {
			t.Errorf("%s: %v, %d bytes allocated", name, err, spent)
		}
	}
}
