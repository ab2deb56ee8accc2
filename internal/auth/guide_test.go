package auth_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
)

// documented is one issuer's section of the guide: its settings, and a token that it
// issues with what becomes of it.
type documented struct {
	settings, header, payload string
	organization              string
	permissions               []audit.Permission
}

var (
	fenced   = regexp.MustCompile("(?ms)^```json\n(.*?)^```$")
	outcome  = regexp.MustCompile("(?m)^Accepted for `([^`]+)`, with (.+)\\.$")
	codeSpan = regexp.MustCompile("`([^`]+)`")
)

func documentedIssuer(t *testing.T, name string) documented {
	t.Helper()
	guide, err := os.ReadFile("../../docs/authentication.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(guide), "\n## "+name+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks, accepted := fenced.FindAllStringSubmatch(section, -1), outcome.FindStringSubmatch(section)
	if !found || len(blocks) != 3 || accepted == nil {
		t.Fatalf("%s: %d JSON blocks, outcome %q; want settings, header, payload and what they come to", name, len(blocks), accepted)
	}
	d := documented{organization: accepted[1]}
	d.settings, d.header, d.payload = blocks[0][1], strings.TrimSpace(blocks[1][1]), blocks[2][1]
	for _, span := range codeSpan.FindAllStringSubmatch(accepted[2], -1) {
		d.permissions = append(d.permissions, audit.Permission(span[1]))
	}
	return d
}

// members are an object's as raw JSON, for edits.
func members(t *testing.T, object string) edit {
	t.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &raw); err != nil {
		t.Fatalf("%v: %s", err, object)
	}
	e := edit{}
	for name, value := range raw {
		e[name] = string(value)
	}
	return e
}

// refreshed moves a payload's times so that it was issued now.
func refreshed(t *testing.T, payload string) edit {
	t.Helper()
	claims := members(t, payload)
	for _, name := range []string{"exp", "nbf", "auth_time", "iat"} {
		if claims[name] == "" {
			continue
		}
		var then, issued int64
		fmt.Sscan(claims[name], &then)
		fmt.Sscan(members(t, payload)["iat"], &issued)
		claims[name] = seconds(then - issued)
	}
	return claims
}

// The four issuers of the guide, with exactly its settings, tokens and outcomes.
func TestDocumentedIssuers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ audience, other string }{
		"Keycloak":        {"aud", `["account"]`},
		"Auth0":           {"aud", `["https://acme.eu.auth0.com/userinfo"]`},
		"Amazon Cognito":  {"client_id", `"someother23456789"`},
		"Microsoft Entra": {"aud", `"00000003-0000-0000-c000-000000000000"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := documentedIssuer(t, name)
			issuers, err := auth.ParseTrust(strings.NewReader(d.settings))
			if err != nil || len(issuers) != 1 {
				t.Fatalf("%d issuers, %v", len(issuers), err)
			}
			kid := members(t, d.header)["kid"]
			issuers[0].KeySetURL = "" // TestPublishedKeys has the fetching
			issuers[0].KeySetFile = file(t, keySet(
				rsaJWK(edit{"kid": kid, "use": `"sig"`}), rsaJWK(edit{"kid": `"another"`, "use": `"sig"`})))
			v := verifier(t, issuers...)
			claims := refreshed(t, d.payload)
			with := func(changes edit) string { return compact(d.header, object(claims, changes), rs256) }

			p := accepted(t, v, with(nil))
			if !reflect.DeepEqual(p.Organizations, []string{d.organization}) || !reflect.DeepEqual(p.Permissions, d.permissions) {
				t.Errorf("accepted for %q with %q, documented %q with %q", p.Organizations, p.Permissions, d.organization, d.permissions)
			}
			if p.Subject != strings.Trim(claims["sub"], `"`) || p.Name == "" && name != "Auth0" {
				t.Errorf("subject %q, name %q", p.Subject, p.Name)
			}
			for what, token := range map[string]string{
				"another audience": with(edit{c.audience: c.other}),
				"no audience":      with(edit{c.audience: ""}),
				"another issuer":   with(edit{"iss": `"https://elsewhere.example/"`}),
				"expired":          with(edit{"iat": seconds(-7200), "nbf": "", "exp": seconds(-3600)}),
				"too long a life":  with(edit{"exp": seconds(25 * 3600)}),
				"no key named":     compact(object(members(t, d.header), edit{"kid": ""}), object(claims, nil), rs256),
				"another key":      compact(object(members(t, d.header), edit{"kid": `"unknown"`}), object(claims, nil), rs256),
				"other signature":  compact(d.header, object(claims, nil), ps256),
			} {
				if _, err := authenticate(t, v, token); err == nil {
					t.Errorf("%s: accepted", what)
				}
			}
			// What anybody may ask for must not be what anybody gets.
			asked := accepted(t, v, with(edit{"scope": `"openid manage:audit_logs"`, "scp": `"manage:audit_logs"`}))
			if asked.Can("manage:audit_logs") {
				t.Error("a scope of that name gave a permission")
			}
		})
	}
}

// Settings stand in other guides too.
func TestDocumentedSettingsParse(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	parsed := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range fenced.FindAllStringSubmatch(string(text), -1) {
			if !strings.HasPrefix(block[1], `{"issuers"`) {
				continue
			}
			if _, err := auth.ParseTrust(strings.NewReader(block[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
			parsed++
		}
	}
	if parsed < 5 {
		t.Errorf("only %d settings found", parsed)
	}
}

func TestCognitoIDTokensAreRefused(t *testing.T) {
	t.Parallel()
	d := documentedIssuer(t, "Amazon Cognito")
	issuers, err := auth.ParseTrust(strings.NewReader(d.settings))
	if err != nil {
		t.Fatal(err)
	}
	issuers[0].KeySetURL = ""
	issuers[0].KeySetFile = file(t, keySet(rsaJWK(edit{"kid": members(t, d.header)["kid"]})))
	refused(t, verifier(t, issuers...), compact(d.header, object(refreshed(t, d.payload), edit{"token_use": `"id"`}), rs256))
}
