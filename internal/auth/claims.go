package auth

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"ocore.dev/audit/internal/audit"
)

const (
	skew    = 30           // seconds that clocks may differ by
	maxText = 512          // bytes of iss, sub and name
	maxTime = 253402300799 // the last second of the year 9999, so that sums can't overflow
)

// principal reads the claims of a token whose signature was verified (RFC 7519,
// section 4; RFC 9068, section 2.2). A claim of the wrong type refuses the token.
func (i *trusted) principal(members map[string]json.RawMessage, now time.Time) (audit.Principal, error) {
	c := &claims{members: members}
	i.checkTimes(c, now.Unix())
	i.checkAudience(c)
	i.checkRequired(c)
	p := audit.Principal{
		Issuer:        c.text("iss", maxText),
		Subject:       c.text("sub", maxText),
		Name:          c.text(i.Claims.Name, maxText),
		Organizations: i.organizations(c),
		Permissions:   i.permissions(c),
	}
	if p.Subject == "" {
		c.fail("sub", "is missing or empty")
	}
	if c.err != nil {
		return audit.Principal{}, c.err
	}
	return p, nil
}

func (i *trusted) checkTimes(c *claims, now int64) {
	exp, nbf, iat := c.seconds("exp"), c.seconds("nbf"), c.seconds("iat")
	start := iat
	if !c.has("iat") {
		start = now + skew // a clock ahead of ours may have issued it just now
	}
	switch {
	case exp == 0:
		c.fail("exp", "is missing or zero")
	case now >= exp+skew:
		c.fail("exp", "has passed")
	case nbf > now+skew:
		c.fail("nbf", "is in the future; compare the clocks")
	case iat > now+skew:
		c.fail("iat", "is in the future; compare the clocks")
	case exp-start > int64(i.lifetime/time.Second):
		c.fail("exp", "is further away than max_lifetime allows")
	}
}

// expiry is when a token whose claims were checked is refused.
func expiry(members map[string]json.RawMessage) time.Time {
	c := &claims{members: members}
	return time.Unix(c.seconds("exp")+skew, 0)
}

func (i *trusted) checkAudience(c *claims) {
	if audiences := c.textOrTexts("aud"); i.Audience != "" && !slices.Contains(audiences, i.Audience) {
		c.fail("aud", "doesn't contain the configured audience")
	}
}

func (i *trusted) checkRequired(c *claims) {
	for name, accepted := range i.RequireClaims {
		values := c.textOrTexts(name)
		if !slices.ContainsFunc(values, func(value string) bool { return slices.Contains(accepted, value) }) {
			c.fail(name, "has none of the values in require_claims")
		}
	}
}

func (i *trusted) organizations(c *claims) []string {
	named := c.texts(i.Claims.Organizations)
	if c.has(i.Claims.Organization) {
		named = append([]string{c.text(i.Claims.Organization, maxToken)}, named...)
	}
	var organizations []string
	for _, organization := range named {
		if !audit.ValidOrganization(organization) {
			c.fail(i.Claims.Organization+" or "+i.Claims.Organizations, "holds what can't be an organization's key")
		}
		if !slices.Contains(organizations, organization) {
			organizations = append(organizations, organization)
		}
	}
	return organizations
}

func (i *trusted) permissions(c *claims) []audit.Permission {
	granted := c.texts(i.Claims.Permissions)
	for scope := range strings.SplitSeq(c.text(i.Claims.Scope, maxToken), " ") {
		granted = append(granted, i.scope(scope)...)
	}
	for _, role := range c.textOrTexts(i.Claims.Role) {
		granted = append(granted, i.Roles[role]...)
	}
	var permissions []audit.Permission
	for _, one := range granted {
		if permission := audit.Permission(one); one != "" && !slices.Contains(permissions, permission) {
			permissions = append(permissions, permission)
		}
	}
	return permissions
}

// scope is what one scope stands for.
func (i *trusted) scope(name string) []string {
	if i.Scopes == nil {
		return []string{name}
	}
	return i.Scopes[name]
}

// claims reads members by type and keeps the first failure. Absent ones read as zero.
type claims struct {
	members map[string]json.RawMessage
	err     error
}

// fail takes a name out of the settings or a specification, never out of a token.
func (c *claims) fail(name, reason string) {
	if c.err == nil {
		c.err = errors.New("the claim " + name + " " + reason)
	}
}

func (c *claims) has(name string) bool {
	_, ok := c.members[name]
	return ok
}

func (c *claims) text(name string, limit int) string {
	if !c.has(name) {
		return ""
	}
	text, ok := stringValue(c.members[name])
	if !ok || len(text) > limit || !audit.ValidText(text) {
		c.fail(name, "is not a string of at most "+strconv.Itoa(limit)+" bytes without NUL")
	}
	return text
}

func (c *claims) texts(name string) []string {
	if !c.has(name) {
		return nil
	}
	texts, ok := stringValues(c.members[name])
	if !ok {
		c.fail(name, "is not an array of strings")
	}
	return texts
}

func (c *claims) textOrTexts(name string) []string {
	if text, ok := stringValue(c.members[name]); ok {
		return []string{text}
	}
	return c.texts(name)
}

// seconds reads a NumericDate (RFC 7519, section 2) that is a whole number.
func (c *claims) seconds(name string) int64 {
	if !c.has(name) {
		return 0
	}
	seconds, err := strconv.ParseInt(string(c.members[name]), 10, 64)
	if err != nil || seconds < 0 || seconds > maxTime {
		c.fail(name, "is not a whole number of seconds from 1970 to 9999")
		return 0
	}
	return seconds
}
