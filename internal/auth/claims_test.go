package auth_test

import (
	"reflect"
	"strings"
	"testing"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
)

func TestAcceptedClaims(t *testing.T) {
	t.Parallel()
	v := verifier(t, secretIssuer())
	for name, changes := range map[string]edit{
		"no iat":                  {"iat": ""},
		"no iat, longest":         {"iat": "", "exp": seconds(24 * 3600)},
		"no iat, clock behind":    {"iat": "", "exp": seconds(24*3600 + 30)},
		"longest":                 {"exp": seconds(24 * 3600)},
		"just expired":            {"iat": seconds(-100), "exp": seconds(-29)},
		"clock behind":            {"iat": seconds(30), "nbf": seconds(30)},
		"nbf zero":                {"nbf": "0"},
		"nbf passed":              {"nbf": seconds(-1)},
		"no name":                 {"name": ""},
		"empty name":              {"name": `""`},
		"longest sub":             {"sub": quoted(strings.Repeat("s", 512))},
		"longest name":            {"name": quoted(strings.Repeat("n", 512))},
		"no organization":         {"org_id": ""},
		"no permissions":          {"permissions": ""},
		"empty permissions":       {"permissions": `[]`},
		"aud of another service":  {"aud": `"elsewhere"`},
		"claims that nobody asks": {"jti": `"1"`, "realm_access": `{"roles":["x"]}`, "amr": "null"},
		"case variants beside":    {"Exp": "1", "SUB": `"root"`, "ORG_ID": `"globex"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if p := accepted(t, v, signed(changes)); p.Issuer != iss {
				t.Errorf("issuer = %q", p.Issuer)
			}
		})
	}
}

func TestRefusedClaims(t *testing.T) {
	t.Parallel()
	v := verifier(t, secretIssuer())
	for name, changes := range map[string]edit{
		"sub with a NUL":              {"sub": `"a\u0000b"`},
		"J-41 no exp":                 {"exp": ""},
		"J-42 exp zero":               {"exp": "0"},
		"J-43 exp null":               {"exp": "null"},
		"J-43 exp true":               {"exp": "true"},
		"J-43 exp array":              {"exp": "[" + seconds(60) + "]"},
		"J-43 exp object":             {"exp": "{}"},
		"J-43 exp negative":           {"exp": "-1"},
		"J-43 exp 1e30":               {"exp": "1e30"},
		"J-43 exp largest int64":      {"exp": "9223372036854775807"},
		"J-43 exp beyond int64":       {"exp": "9223372036854775808"},
		"J-43 exp without iat, int64": {"exp": "9223372036854775807", "iat": ""},
		"J-43 exp year 10000":         {"exp": "253402300800", "iat": ""},
		"J-44 exp RFC 3339":           {"exp": `"2099-01-01T00:00:00Z"`},
		"J-44 exp numeric string":     {"exp": quoted(seconds(60))},
		"J-44 exp float":              {"exp": seconds(60) + ".5"},
		"J-44 exp whole float":        {"exp": seconds(60) + ".0"},
		"J-44 exp exponent":           {"exp": "1767225660e0"},
		"J-45 exp past the skew":      {"iat": seconds(-100), "exp": seconds(-30)},
		"J-45 exp long ago":           {"iat": seconds(-7200), "exp": seconds(-3600)},
		"J-46 nbf in the future":      {"nbf": seconds(31)},
		"J-46 iat in the future":      {"iat": seconds(31)},
		"nbf string":                  {"nbf": quoted(seconds(0))},
		"nbf null":                    {"nbf": "null"},
		"nbf float":                   {"nbf": "1.5"},
		"iat string":                  {"iat": quoted(seconds(0))},
		"iat null":                    {"iat": "null"},
		"iat negative":                {"iat": "-1"},
		"iat lowest int64":            {"iat": "-9223372036854775808"},
		"J-47 lifetime":               {"exp": seconds(24*3600 + 1)},
		"J-47 lifetime without iat":   {"exp": seconds(24*3600 + 31), "iat": ""},
		"J-47 old iat":                {"iat": seconds(-24 * 3600)},
		"J-47 iat zero":               {"iat": "0"},
		"J-48 no iss":                 {"iss": ""},
		"J-48 iss empty":              {"iss": `""`},
		"J-48 iss null":               {"iss": "null"},
		"J-48 iss array":              {"iss": `["` + iss + `"]`},
		"J-48 iss trailing slash":     {"iss": quoted(iss + "/")},
		"J-48 iss http":               {"iss": `"http://issuer.example"`},
		"J-48 iss upper case":         {"iss": `"https://ISSUER.example"`},
		"J-48 iss homoglyph":          {"iss": `"https://іssuer.example"`},
		"aud number":                  {"aud": "1"},
		"aud with a number":           {"aud": `["a",1]`},
		"aud null":                    {"aud": "null"},
		"J-50 no sub":                 {"sub": ""},
		"J-50 sub empty":              {"sub": `""`},
		"J-50 sub number":             {"sub": "1"},
		"J-50 sub null":               {"sub": "null"},
		"J-50 sub array":              {"sub": `["user-1"]`},
		"J-50 sub too long":           {"sub": quoted(strings.Repeat("s", 513))},
		"J-50 sub NUL":                {"sub": `"a\u0000"`},
		"J-50 sub raw NUL":            {"sub": "\"a\x00\""},
		"J-50 sub not UTF-8":          {"sub": "\"a\xff\""},
		"J-50 sub lone surrogate":     {"sub": `"\ud800"`},
		"J-53 only Exp":               {"exp": "", "Exp": seconds(60)},
		"J-53 only SUB":               {"sub": "", "SUB": `"user-1"`},
		"name number":                 {"name": "1"},
		"name too long":               {"name": quoted(strings.Repeat("n", 513))},
		"J-51 org_id empty":           {"org_id": `""`},
		"J-51 org_id number":          {"org_id": "1"},
		"J-51 org_id null":            {"org_id": "null"},
		"J-51 org_id array":           {"org_id": `["acme"]`},
		"J-51 org_id reserved":        {"org_id": quoted(audit.AdminOrganization)},
		"J-51 org_id too long":        {"org_id": quoted(strings.Repeat("o", 65))},
		"J-51 org_id line feed":       {"org_id": `"acme\n"`},
		"org_ids string":              {"org_ids": `"acme"`},
		"org_ids with a number":       {"org_ids": `["acme",1]`},
		"org_ids with null":           {"org_ids": `["acme",null]`},
		"org_ids reserved":            {"org_ids": `["acme","_admin"]`},
		"org_ids null":                {"org_ids": "null"},
		"permissions string":          {"permissions": `"view:audit_logs"`},
		"permissions object":          {"permissions": `{"view:audit_logs":true}`},
		"permissions with a number":   {"permissions": `["view:audit_logs",1]`},
		"permissions nested":          {"permissions": `[["view:audit_logs"]]`},
		"permissions null":            {"permissions": "null"},
		"J-52 scope array":            {"scope": `["view:audit_logs"]`},
		"J-52 scope null":             {"scope": "null"},
		"role number":                 {"role": "1"},
		"role null":                   {"role": "null"},
		"role with a number":          {"role": `["Owner",1]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, v, signed(changes))
		})
	}
}

func TestRefusedPayloads(t *testing.T) {
	t.Parallel()
	v := verifier(t, secretIssuer())
	good := payload(nil)
	and := func(member string) string { return good[:len(good)-1] + "," + member + "}" }
	for name, bad := range map[string]string{
		"J-40 duplicate sub":          and(`"sub":"root"`),
		"J-40 same sub twice":         and(`"sub":"user-1"`),
		"J-40 duplicate exp":          and(`"exp":` + seconds(60)),
		"J-40 duplicate iss":          and(`"iss":"` + iss + `"`),
		"J-40 duplicate aud":          and(`"aud":"a","aud":"b"`),
		"J-40 duplicate org_id":       and(`"org_id":"globex"`),
		"J-40 duplicate by escape":    and(`"s\u0075b":"root"`),
		"J-40 duplicate deep down":    and(`"x":{"y":[{"z":1,"z":2}]}`),
		"J-55 array":                  "[" + good + "]",
		"J-55 string":                 quoted(good),
		"J-55 null":                   "null",
		"J-55 number":                 "1",
		"J-55 empty":                  "",
		"J-55 space":                  " ",
		"J-55 byte order mark":        "\ufeff" + good,
		"J-55 trailing bytes":         good + "x",
		"J-55 trailing object":        good + good,
		"J-55 trailing NUL":           good + "\x00",
		"J-55 cut":                    good[:len(good)-1],
		"J-55 trailing comma":         good[:len(good)-1] + ",}",
		"J-55 comment":                good[:len(good)-1] + "/**/}",
		"J-55 UTF-16":                 "\xff\xfe{\x00}\x00",
		"J-55 not UTF-8":              and("\"x\":\"\xc3\x28\""),
		"J-56 nested deep":            and(`"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000)),
		"J-56 nested deep, unclosed":  and(`"x":` + strings.Repeat("[", 5000)),
		"J-56 nested objects":         and(`"x":` + strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 500)),
		"numbers that aren't JSON":    and(`"x":01`),
		"NaN":                         and(`"x":NaN`),
		"lone surrogate in any claim": and(`"x":"\udc00"`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, v, compact(`{"alg":"HS256"}`, bad, hs256(secret)))
		})
	}
}

func TestAudience(t *testing.T) {
	t.Parallel()
	issuer := secretIssuer()
	issuer.Audience = "audit"
	v := verifier(t, issuer)
	for _, good := range []string{`"audit"`, `["audit"]`, `["elsewhere","audit"]`} {
		accepted(t, v, signed(edit{"aud": good}))
	}
	for _, bad := range []string{ // J-49
		``, `""`, `[]`, `1`, `null`, `{}`, `[["audit"]]`, `["audit",1]`, `"audit-x"`, `"audi"`, `"Audit"`, `"audit "`,
		`"elsewhere"`, `"audit elsewhere"`, `"audit,elsewhere"`,
	} {
		refused(t, v, signed(edit{"aud": bad}))
	}
}

func TestOrganizations(t *testing.T) {
	t.Parallel()
	v := verifier(t, secretIssuer())
	for name, c := range map[string]struct {
		changes edit
		want    []string
	}{
		"one":             {edit{}, []string{"acme"}},
		"none":            {edit{"org_id": ""}, nil},
		"empty list":      {edit{"org_id": "", "org_ids": `[]`}, nil},
		"several":         {edit{"org_id": "", "org_ids": `["acme","globex"]`}, []string{"acme", "globex"}},
		"both":            {edit{"org_ids": `["globex"]`}, []string{"acme", "globex"}},
		"both, same":      {edit{"org_ids": `["globex","acme","globex"]`}, []string{"acme", "globex"}},
		"longest":         {edit{"org_id": quoted(strings.Repeat("o", 64))}, []string{strings.Repeat("o", 64)}},
		"escaped letters": {edit{"org_id": `"\u0061cme"`}, []string{"acme"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := accepted(t, v, signed(c.changes)).Organizations; !reflect.DeepEqual(got, c.want) {
				t.Errorf("organizations = %q, want %q", got, c.want)
			}
		})
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	issuer := secretIssuer()
	issuer.Roles = map[string][]string{
		"Owner":  {"manage:audit_logs"},
		"Viewer": {"view:audit_logs"},
		"Nobody": nil,
	}
	v := verifier(t, issuer)
	for name, c := range map[string]struct {
		changes edit
		want    []audit.Permission
	}{
		"array":             {edit{"permissions": `["a:b","c:d"]`}, []audit.Permission{"a:b", "c:d"}},
		"scope":             {edit{"scope": `"a:b  c:d"`}, []audit.Permission{"a:b", "c:d"}},
		"scope, one":        {edit{"scope": `"a:b"`}, []audit.Permission{"a:b"}},
		"scope, empty":      {edit{"scope": `""`}, nil},
		"scope, other gaps": {edit{"scope": `"a:b\tc:d"`}, []audit.Permission{"a:b\tc:d"}},
		"J-52 substring":    {edit{"scope": `"view:audit_logsx"`}, []audit.Permission{"view:audit_logsx"}},
		"role":              {edit{"role": `"Owner"`}, []audit.Permission{"manage:audit_logs"}},
		"roles":             {edit{"role": `["Viewer","Owner"]`}, []audit.Permission{"view:audit_logs", "manage:audit_logs"}},
		"role, unknown":     {edit{"role": `"owner"`}, nil},
		"role, nothing":     {edit{"role": `"Nobody"`}, nil},
		"role, empty":       {edit{"role": `[]`}, nil},
		"all": {
			edit{"permissions": `["a:b"]`, "scope": `"c:d a:b"`, "role": `"Viewer"`},
			[]audit.Permission{"a:b", "c:d", "view:audit_logs"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changes := edit{"permissions": ""}
			for name, value := range c.changes {
				changes[name] = value
			}
			if got := accepted(t, v, signed(changes)).Permissions; !reflect.DeepEqual(got, c.want) {
				t.Errorf("permissions = %q, want %q", got, c.want)
			}
		})
	}
}

func TestClaimNames(t *testing.T) {
	t.Parallel()
	issuer := secretIssuer()
	issuer.Claims = auth.ClaimNames{
		Organization:  "https://issuer.example/org",
		Organizations: "orgs",
		Permissions:   "perms",
		Scope:         "scp",
		Name:          "preferred_username",
		Role:          "roles",
	}
	issuer.Roles = map[string][]string{"Owner": {"manage:audit_logs"}}
	v := verifier(t, issuer)
	got := accepted(t, v, signed(edit{
		"https://issuer.example/org": `"initech"`,
		"orgs":                       `["globex"]`,
		"perms":                      `["a:b"]`,
		"scp":                        `"c:d"`,
		"preferred_username":         `"ada"`,
		"roles":                      `"Owner"`,
	}))
	want := audit.Principal{
		Issuer: iss, Subject: "user-1", Name: "ada",
		Organizations: []string{"initech", "globex"},
		Permissions:   []audit.Permission{"a:b", "c:d", "manage:audit_logs"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("principal = %+v, want %+v", got, want)
	}
}

func TestMaxLifetime(t *testing.T) {
	t.Parallel()
	issuer := secretIssuer()
	issuer.MaxLifetime = "15m"
	v := verifier(t, issuer)
	accepted(t, v, signed(edit{"exp": seconds(15 * 60)}))
	refused(t, v, signed(edit{"exp": seconds(15*60 + 1)}))
}

func TestScopesCanStandForPermissions(t *testing.T) {
	t.Parallel()
	scopes := map[string][]string{
		"audit/read": {"view:audit_logs"},
		"audit/all":  {"view:audit_logs", "create:audit_logs"},
		"nothing":    nil,
	}
	for name, c := range map[string]struct {
		scopes map[string][]string
		scope  string
		want   []audit.Permission
	}{
		"none set":   {nil, "audit/read a:b", []audit.Permission{"audit/read", "a:b"}},
		"one":        {scopes, "openid audit/read", []audit.Permission{"view:audit_logs"}},
		"two":        {scopes, "audit/read audit/all", []audit.Permission{"view:audit_logs", "create:audit_logs"}},
		"unlisted":   {scopes, "view:audit_logs audit/READ audit/rea", nil},
		"nothing":    {scopes, "nothing", nil},
		"off":        {map[string][]string{}, "view:audit_logs", nil},
		"empty text": {scopes, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issuer := secretIssuer()
			issuer.Scopes = c.scopes
			got := accepted(t, verifier(t, issuer), signed(edit{"permissions": "", "scope": quoted(c.scope)})).Permissions
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("permissions = %q, want %q", got, c.want)
			}
		})
	}
}

func TestRequiredClaims(t *testing.T) {
	t.Parallel()
	issuer := secretIssuer()
	issuer.RequireClaims = map[string][]string{"token_use": {"access"}, "client_id": {"web", "worker"}}
	v := verifier(t, issuer)
	with := func(use, client string) string { return signed(edit{"token_use": use, "client_id": client}) }
	accepted(t, v, with(`"access"`, `"web"`))
	accepted(t, v, with(`"access"`, `"worker"`))
	accepted(t, v, with(`["id","access"]`, `["web"]`))
	for _, use := range []string{``, `""`, `null`, `true`, `1`, `{}`, `[]`, `[["access"]]`, `["access",1]`, `"id"`, `"Access"`, `"access "`, `"web"`} {
		refused(t, v, with(use, `"web"`))
	}
	for _, client := range []string{``, `"other"`, `"web worker"`, `"access"`} {
		refused(t, v, with(`"access"`, client))
	}
}
