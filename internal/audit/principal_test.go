package audit_test

import (
	"errors"
	"strings"
	"testing"

	"ocore.dev/audit/internal/audit"
)

func TestOrganizationOfACall(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		organizations []string
		slug, want    string
	}{
		{[]string{"acme"}, "", "acme"},
		{[]string{"acme"}, "acme", "acme"},
		{[]string{"acme"}, "other", ""},
		{[]string{"acme"}, "ACME", ""},
		{[]string{"acme"}, "acm", ""},
		{[]string{"acme"}, audit.AdminOrganization, ""},
		{[]string{"acme", "beta"}, "beta", "beta"},
		{[]string{"acme", "beta"}, "", ""},
		{[]string{"acme", "beta"}, "gamma", ""},
		{nil, "", ""},
		{nil, "acme", ""},
	} {
		got, err := audit.Principal{Organizations: c.organizations}.Organization(c.slug)
		if got != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, audit.ErrForbidden) {
			t.Errorf("%q with %q: %q, %v; want %q", c.organizations, c.slug, got, err, c.want)
		}
	}
}

// Else a caller could find out which organizations there are.
func TestAWrongSlugAndAnUnknownOneGetTheSameAnswer(t *testing.T) {
	t.Parallel()
	p := audit.Principal{Organizations: []string{"acme", "beta"}}
	_, wrong := p.Organization("another-tenant")
	_, unknown := p.Organization("no\x00body's")
	if wrong.Error() != unknown.Error() {
		t.Errorf("%v is not %v", wrong, unknown)
	}
}

func TestPermissionsAndWhatTheyImply(t *testing.T) {
	t.Parallel()
	all := []audit.Permission{
		audit.ViewAuditLogs, audit.CreateAuditLogs, audit.ManageAuditLogs, audit.ViewAdminAuditLogs, audit.CreateAdminAuditLogs,
	}
	for held, allows := range map[audit.Permission][]audit.Permission{
		audit.ViewAuditLogs:        {audit.ViewAuditLogs},
		audit.CreateAuditLogs:      {audit.CreateAuditLogs},
		audit.ManageAuditLogs:      {audit.ViewAuditLogs, audit.CreateAuditLogs, audit.ManageAuditLogs},
		audit.ViewAdminAuditLogs:   {audit.ViewAdminAuditLogs},
		audit.CreateAdminAuditLogs: {audit.CreateAdminAuditLogs},
		"manage:servers":           nil,
		"view:*":                   nil,
	} {
		allowed := map[audit.Permission]bool{}
		for _, need := range allows {
			allowed[need] = true
		}
		p := audit.Principal{Permissions: []audit.Permission{"view:servers", held}}
		for _, need := range all {
			if p.Can(need) != allowed[need] {
				t.Errorf("%s allows %s: %t", held, need, !allowed[need])
			}
		}
	}
}

func TestOrganizationKeys(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{
		"a": true, "acme.EU-1~": true, strings.Repeat("x", 64): true, ".": true,
		"": false, strings.Repeat("x", 65): false, audit.AdminOrganization: false, "a_b": false, "a/b": false, "a b": false, "é": false, "a\n": false,
	} {
		if got := audit.ValidOrganization(key); got != want {
			t.Errorf("ValidOrganization(%q) = %t", key, got)
		}
	}
}
