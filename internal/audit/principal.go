package audit

import (
	"regexp"
	"slices"
)

// Permission is a string `action:resource` as the platform writes them.
type Permission string

// The permissions that operations ask for; openapi.yaml names one for each.
const (
	ViewAuditLogs        Permission = "view:audit_logs"
	CreateAuditLogs      Permission = "create:audit_logs"
	ManageAuditLogs      Permission = "manage:audit_logs"
	ViewAdminAuditLogs   Permission = "view:admin_audit_logs"
	CreateAdminAuditLogs Permission = "create:admin_audit_logs"
	ManageAPIKeys        Permission = "manage:api_keys"
)

// AdminOrganization is the reserved key under which the platform's admin trail is
// stored. It has a character that no organization's key may have, so that no claim
// can name it.
const AdminOrganization = "_admin"

var organizationKey = regexp.MustCompile(`^[A-Za-z0-9.~-]{1,64}$`)

// ValidOrganization reports whether key may name an organization: 1 to 64
// characters of A-Z a-z 0-9 . ~ and -.
func ValidOrganization(key string) bool { return organizationKey.MatchString(key) }

// Principal is who a verified token says is calling.
type Principal struct {
	Issuer        string
	Subject       string // never empty; becomes an entry's recordedBy
	Name          string // for people; may be empty
	Organizations []string
	Permissions   []Permission
}

// Can reports whether the principal holds need. manage:audit_logs implies
// view:audit_logs and create:audit_logs.
func (p Principal) Can(need Permission) bool {
	if slices.Contains(p.Permissions, need) {
		return true
	}
	implied := need == ViewAuditLogs || need == CreateAuditLogs
	return implied && slices.Contains(p.Permissions, ManageAuditLogs)
}

// Organization chooses the organization of a call: the token's only one, or the one
// of its several that slug (the X-Org-Slug header, "" when not sent) names.
// It returns [ErrForbidden], the same for a wrong and an unknown slug.
func (p Principal) Organization(slug string) (string, error) {
	switch {
	case slug != "":
		if slices.Contains(p.Organizations, slug) {
			return slug, nil
		}
		return "", Denied("X-Org-Slug names no organization of this token")
	case len(p.Organizations) == 1:
		return p.Organizations[0], nil
	case len(p.Organizations) == 0:
		return "", Denied("this token names no organization")
	default:
		return "", Denied("this token names several organizations: choose one with X-Org-Slug")
	}
}
