package auth_test

import (
	"reflect"
	"strings"
	"testing"

	"ocore.dev/audit/internal/auth"
)

func TestParseTrust(t *testing.T) {
	t.Parallel()
	issuers, err := auth.ParseTrust(strings.NewReader(`{
		"issuers": [
			{"issuer": "a", "algorithms": ["HS256"], "secret_file": "s"},
			{
				"issuer": "b",
				"algorithms": ["RS256", "ES256", "EdDSA"],
				"key_set_file": "k",
				"require_kid": true,
				"audience": "audit",
				"types": ["at+jwt", ""],
				"claims": {"organization": "o", "organizations": "os", "permissions": "p", "scope": "scp", "name": "n", "role": "r"},
				"roles": {"Owner": ["manage:audit_logs"], "Guest": []},
				"scopes": {"audit/read": ["view:audit_logs"]},
				"require_claims": {"token_use": ["access"]},
				"max_lifetime": "1h30m"
			}
		]
	}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []auth.Issuer{
		{Issuer: "a", Algorithms: []string{"HS256"}, SecretFile: "s"},
		{
			Issuer:        "b",
			Algorithms:    []string{"RS256", "ES256", "EdDSA"},
			KeySetFile:    "k",
			RequireKID:    true,
			Audience:      "audit",
			Types:         []string{"at+jwt", ""},
			Claims:        auth.ClaimNames{Organization: "o", Organizations: "os", Permissions: "p", Scope: "scp", Name: "n", Role: "r"},
			Roles:         map[string][]string{"Owner": {"manage:audit_logs"}, "Guest": {}},
			Scopes:        map[string][]string{"audit/read": {"view:audit_logs"}},
			RequireClaims: map[string][]string{"token_use": {"access"}},
			MaxLifetime:   "1h30m",
		},
	}
	if !reflect.DeepEqual(issuers, want) {
		t.Errorf("issuers = %+v, want %+v", issuers, want)
	}
}

func TestTrustRefusals(t *testing.T) {
	t.Parallel()
	one := func(changes edit) string {
		return `{"issuers":[` + object(edit{"algorithms": `["HS256"]`, "secret_file": `"s"`}, changes) + `]}`
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty file":               {"", "is not a JSON object"},
		"array":                    {"[]", "is not a JSON object"},
		"trailing bytes":           {one(nil) + "x", "after its end"},
		"too large":                {one(edit{"audience": quoted(strings.Repeat("x", 1<<20))}), "1 MB"},
		"no issuers":               {"{}", "issuers: is empty"},
		"empty issuers":            {`{"issuers":[]}`, "issuers: is empty"},
		"issuers object":           {`{"issuers":{}}`, "issuers: is a JSON object"},
		"issuers in another case":  {strings.Replace(one(nil), "issuers", "Issuers", 1), "Issuers: unknown"},
		"unknown member beside":    {`{"issuers":[],"version":1}`, "version: unknown"},
		"issuer null":              {`{"issuers":[null]}`, "issuers[0]: secret_file, key_set_file"},
		"issuer string":            {`{"issuers":["a"]}`, "issuers[0]: must be a JSON object"},
		"unknown member":           {one(edit{"algorithm": `["HS256"]`}), "issuers[0]: algorithm: unknown"},
		"member in another case":   {one(edit{"Audience": `"x"`}), "Audience: unknown"},
		"duplicate member":         {`{"issuers":[{"issuer":"a","issuer":"b"}]}`, "duplicate"},
		"secret in the file":       {one(edit{"secret": `"x"`}), "secret: unknown"},
		"Secret in the file":       {one(edit{"Secret": `"x"`}), "Secret: unknown"},
		"wrong type":               {one(edit{"audience": "1"}), "audience: is a JSON number where a string belongs"},
		"wrong type of bool":       {one(edit{"require_kid": `"yes"`}), "require_kid: is a JSON string"},
		"unknown claim":            {one(edit{"claims": `{"org":"o"}`}), "claims: org: unknown"},
		"claim in another case":    {one(edit{"claims": `{"Name":"o"}`}), "claims: Name: unknown"},
		"claims string":            {one(edit{"claims": `"x"`}), "claims: must be a JSON object"},
		"claim number":             {one(edit{"claims": `{"name":1}`}), "claims: name: is a JSON number"},
		"same claim twice":         {one(edit{"claims": `{"permissions":"scope"}`}), "claims: two settings"},
		"no key source":            {one(edit{"secret_file": ""}), "set exactly one"},
		"two key sources":          {one(edit{"key_set_file": `"k"`}), "set exactly one"},
		"no algorithms":            {one(edit{"algorithms": ""}), "algorithms: is empty; choose from HS256"},
		"none":                     {one(edit{"algorithms": `["HS256","none"]`}), `"none" is not supported`},
		"algorithm in lower case":  {one(edit{"algorithms": `["hs256"]`}), "not supported"},
		"two published sources":    {one(edit{"secret_file": "", "key_set_url": `"https://a.example"`, "discover": "true"}), "set exactly one"},
		"keys over plain HTTP":     {one(edit{"secret_file": "", "key_set_url": `"http://a.example/keys"`}), "key_set_url: must begin with https"},
		"keys from nowhere":        {one(edit{"secret_file": "", "key_set_url": `"/keys"`}), "key_set_url: is no URL"},
		"keys with a login":        {one(edit{"secret_file": "", "key_set_url": `"https://a:b@c.example/keys"`}), "key_set_url: is no URL"},
		"keys with a fragment":     {one(edit{"secret_file": "", "key_set_url": `"https://c.example/#keys"`}), "key_set_url: is no URL"},
		"keys near this machine":   {one(edit{"secret_file": "", "key_set_url": `"http://localhost.example/keys"`}), "key_set_url: must begin with https"},
		"keys in a file by URL":    {one(edit{"secret_file": "", "key_set_url": `"file:///keys"`}), "key_set_url: is no URL"},
		"discover nobody":          {one(edit{"secret_file": "", "discover": "true", "issuer": `"acme"`}), "discover: issuer must be"},
		"discover with a query":    {one(edit{"secret_file": "", "discover": "true", "issuer": `"https://a.example?b"`}), "discover: issuer must be"},
		"HS256 with published":     {one(edit{"secret_file": "", "key_set_url": `"https://a.example"`}), "HS256 needs secret_file"},
		"RS256 with a secret":      {one(edit{"algorithms": `["HS256","RS256"]`}), "RS256 needs a key set"},
		"HS256 with a key set":     {one(edit{"secret_file": "", "key_set_file": `"k"`}), "HS256 needs secret_file"},
		"kid of a secret":          {one(edit{"require_kid": "true"}), "require_kid: a secret has no kid"},
		"lifetime without unit":    {one(edit{"max_lifetime": `"24"`}), "max_lifetime:"},
		"lifetime zero":            {one(edit{"max_lifetime": `"0s"`}), "max_lifetime:"},
		"lifetime negative":        {one(edit{"max_lifetime": `"-1h"`}), "max_lifetime:"},
		"lifetime number":          {one(edit{"max_lifetime": "3600"}), "max_lifetime: is a JSON number"},
		"roles string":             {one(edit{"roles": `{"Owner":"manage:audit_logs"}`}), "roles"},
		"empty permission":         {one(edit{"roles": `{"Owner":[""]}`}), `roles: "Owner" has an empty permission`},
		"scopes array":             {one(edit{"scopes": `["audit/read"]`}), "scopes"},
		"scope, empty permission":  {one(edit{"scopes": `{"audit/read":[""]}`}), `scopes: "audit/read" has an empty permission`},
		"required string":          {one(edit{"require_claims": `{"token_use":"access"}`}), "require_claims"},
		"required, no values":      {one(edit{"require_claims": `{"token_use":[]}`}), `require_claims: "token_use"`},
		"required, empty value":    {one(edit{"require_claims": `{"token_use":["access",""]}`}), `require_claims: "token_use"`},
		"required, no name":        {one(edit{"require_claims": `{"":["access"]}`}), `require_claims: ""`},
		"any issuer among several": {`{"issuers":[{"issuer":"a","algorithms":["HS256"],"secret_file":"s"},{"algorithms":["HS256"],"secret_file":"s"}]}`, "issuers[1]: issuer: is empty"},
		"same issuer twice":        {`{"issuers":[{"issuer":"a","algorithms":["HS256"],"secret_file":"s"},{"issuer":"a","algorithms":["HS256"],"secret_file":"t"}]}`, "issuers[1]: issuer:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issuers, err := auth.ParseTrust(strings.NewReader(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "trust file") {
				t.Errorf("issuers = %+v, err = %v, want %q in it", issuers, err, c.want)
			}
		})
	}
}

func TestNewVerifierChecksSettings(t *testing.T) {
	t.Parallel()
	for want, issuers := range map[string][]auth.Issuer{
		"issuers: is empty": nil,
		"set exactly one":   {{Algorithms: []string{"HS256"}, Secret: secret, SecretFile: "s"}},
		"31 bytes":          {{Algorithms: []string{"HS256"}, Secret: secret[:31]}},
		"0 bytes":           {{Algorithms: []string{"HS256"}, Secret: []byte{}}},
		"not supported":     {{Algorithms: []string{"none"}, Secret: secret}},
	} {
		if _, err := auth.NewVerifier(issuers, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %q in it", err, want)
		}
	}
}
