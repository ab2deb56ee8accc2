package auth

import (
	"cmp"
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// stricter are vectors that are called valid and that our door refuses all the same.
var stricter = map[int]string{
	259: "an empty payload can't hold claims",
	372: "a question mark in the header is no base64url; RFC 7515, section 2, has no character to skip",
	373: "a question mark in the payload is no base64url",
}

// twins are vectors that are called invalid and are, byte for byte, the valid one of that
// number: what was meant (padding) is lost in the file. TestTokenShape has it (J-54).
var twins = map[int]int{367: 357, 370: 357}

type vectorGroup struct {
	Comment string          `json:"comment"`
	Public  json.RawMessage `json:"public"`
	Private json.RawMessage `json:"private"` // of groups with a secret
	Tests   []struct {
		ID      int    `json:"tcId"`
		Comment string `json:"comment"`
		JWS     string `json:"jws"`
		Result  string `json:"result"`
	} `json:"tests"`
}

// trustIn is an issuer that has the group's key alone, as its settings would give it.
func (g vectorGroup) trustIn(t *testing.T) *trusted {
	t.Helper()
	trust := &trusted{Issuer: Issuer{Algorithms: algorithms, Types: []string{"", mediaType("JWT")}}}
	if g.Public != nil {
		// A set without a usable key is refused, as the group's key is then.
		trust.fixed, _, _ = trust.keysIn([]byte(`{"keys":[` + string(g.Public) + `]}`))
		return trust
	}
	var j jwk
	if err := json.Unmarshal(g.Private, &j); err != nil {
		t.Fatal(err)
	}
	secret, err := j.bytes("k")
	if err != nil || len(secret) < minSecret {
		t.Fatalf("a secret of %d bytes, %v", len(secret), err)
	}
	trust.fixed = []key{{id: j.text("kid"), algorithm: "HS256", material: secret}}
	return trust
}

// The public vectors, through everything that stands before the claims: their payloads are
// no JSON.
func TestWycheproofSignatures(t *testing.T) {
	t.Parallel()
	accepted, refused := 0, 0
	for _, group := range vectorsIn(t, "json_web_signature_test.json") {
		trust := group.trustIn(t)
		byID := map[int]string{}
		for _, vector := range group.Tests {
			byID[vector.ID] = vector.JWS
			err := trust.verifyCompact(t, vector.JWS)
			if err == nil {
				accepted++
			} else {
				refused++
			}
			_, strict := stricter[vector.ID]
			twin, paired := twins[vector.ID]
			want := vector.Result == "valid" && group.usable() && !strict || paired
			if (err == nil) != want {
				t.Errorf("%d, %s, %s: %v, want accepted: %v", vector.ID, group.Comment, vector.Comment, err, want)
			}
			if strict && vector.Result != "valid" || paired && byID[twin] != vector.JWS {
				t.Errorf("%d is listed as different, and isn't", vector.ID)
			}
		}
	}
	if accepted != 19 || refused != 382 {
		t.Errorf("%d accepted and %d refused of 401; give each difference its reason", accepted, refused)
	}
}

// Sets of keys: those with a secret in it are refused, for a set is public here (J-13), and
// of the others one is good. The rest is weak, for something else or no key at all (J-17).
func TestWycheproofKeys(t *testing.T) {
	t.Parallel()
	accepted, refused := 0, 0
	for _, group := range vectorsIn(t, "json_web_key_test.json") {
		trust := &trusted{Issuer: Issuer{Algorithms: algorithms, Types: []string{"", mediaType("JWT")}}}
		trust.fixed, _, _ = trust.keysIn([]byte(cmp.Or(string(group.Public), string(group.Private))))
		for _, vector := range group.Tests {
			err := trust.verifyCompact(t, vector.JWS)
			if err == nil {
				accepted++
			} else {
				refused++
			}
			if want := vector.Result == "valid" && group.Public != nil; (err == nil) != want {
				t.Errorf("%d, %s, %s: %v, want accepted: %v", vector.ID, group.Comment, vector.Comment, err, want)
			}
		}
	}
	if accepted != 1 || refused != 25 {
		t.Errorf("%d accepted and %d refused of 26", accepted, refused)
	}
}

func vectorsIn(t *testing.T, name string) []vectorGroup {
	t.Helper()
	text, err := os.ReadFile("testdata/wycheproof/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []vectorGroup `json:"testGroups"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Groups
}

// usable reports whether an issuer can be given the group's algorithm here. What is of others
// is refused, signed rightly or not.
func (g vectorGroup) usable() bool {
	var named jwk
	if json.Unmarshal([]byte(cmp.Or(string(g.Public), string(g.Private))), &named) != nil {
		return false
	}
	return slices.Contains(algorithms, named.text("alg"))
}

func (i *trusted) verifyCompact(t *testing.T, compact string) error {
	t.Helper()
	parsed, err := parseCompact(compact)
	if err != nil {
		return err
	}
	k, err := i.key(t.Context(), parsed)
	if err != nil {
		return err
	}
	return verifySignature(parsed, k)
}
