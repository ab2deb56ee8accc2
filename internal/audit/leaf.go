package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// saltSize is the length of a salt; in the stored form one byte with the member's
// number stands before it.
const saltSize = 16

// leafPlain are the members that a leaf holds in plain, and leafCommitted those that it
// holds as commitments, numbered by their place. Both lists are the leaf format: they
// may only ever be appended to.
var (
	leafPlain     = []string{"id", "action", "resourceType", "occurredAt", "importedAt"}
	leafCommitted = []string{
		"userId", "userName", "recordedBy", "resourceId", "resourceName", "ipAddress", "userAgent",
		"beforeState", "afterState", "details", otherMembers,
	}
	leafPlainAdmin     = []string{"id", "action", "importedAt"}
	leafCommittedAdmin = []string{"userId", "userName", "recordedBy", "ipAddress", "userAgent", "details"}
)

// otherMembers stands in an admin entry's leaf for all the members that its author
// added, together, as one compact object in stored order.
const otherMembers = "otherMembers"

// NewSalts makes the salts of an entry: for each committed member its number in
// [leafCommitted], counted from 1, and 16 random bytes.
func NewSalts(organization string, text []byte) []byte {
	_, committed := leafMembers(organization, members(text))
	salts := make([]byte, len(committed)*(1+saltSize))
	rand.Read(salts) // never fails (crypto/rand, Go 1.24)
	for i, m := range committed {
		salts[i*(1+saltSize)] = saltNumber(m.name)
	}
	return salts
}

// Leaf is what the tree commits to for one entry: canonical JSON (RFC 8785) of version,
// organization, createdAt and the plain members, and for every other member the
// base64url HMAC-SHA-256, under its salt, of name, a zero byte and its exact stored
// bytes. So a value and its salt can be deleted without changing the leaf. It fails
// when a member has no salt, and when the text is not laid out as this package does.
func Leaf(organization string, createdAt time.Time, text, salts []byte) ([]byte, error) {
	found := members(text)
	if !bytes.Equal(appendObject(make([]byte, 0, len(text)), found), text) {
		return nil, errors.New("leaf: the stored text is no compact JSON object")
	}
	// Plain members were stored in canonical form. They are taken as they stand, so that
	// no other bytes have the same leaf.
	fields, committed := leafMembers(organization, found)
	fields = append(fields,
		newMember("v", []byte("1")),
		newMember("organization", AppendString(nil, organization)),
		newMember("createdAt", AppendString(nil, FormatTime(createdAt))))
	for _, m := range committed {
		salt := findSalt(salts, m.name)
		if salt == nil {
			return nil, fmt.Errorf("leaf: no salt for %s", m.name)
		}
		m.raw = AppendString(nil, commitment(salt, m))
		fields = append(fields, m)
	}
	slices.SortFunc(fields, func(a, b member) int { return strings.Compare(a.name, b.name) })
	return appendObject(nil, fields), nil
}

func commitment(salt []byte, m member) string {
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte(m.name))
	mac.Write([]byte{0})
	mac.Write(m.raw)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// leafMembers sorts the members of a stored text into plain and committed ones.
func leafMembers(organization string, found []member) (plain, committed []member) {
	plainNames, committedNames := leafPlain, leafCommitted
	if organization == AdminOrganization {
		plainNames, committedNames = leafPlainAdmin, leafCommittedAdmin
	}
	var others []member
	for _, m := range found {
		switch {
		case slices.Contains(plainNames, m.name):
			plain = append(plain, m)
		case slices.Contains(committedNames, m.name):
			committed = append(committed, m)
		default:
			others = append(others, m)
		}
	}
	if others != nil {
		committed = append(committed, newMember(otherMembers, appendObject(nil, others)))
	}
	return plain, committed
}

func saltNumber(name string) byte { return byte(slices.Index(leafCommitted, name) + 1) }

func findSalt(salts []byte, name string) []byte {
	number := saltNumber(name)
	for ; len(salts) > saltSize; salts = salts[1+saltSize:] {
		if salts[0] == number {
			return salts[1 : 1+saltSize]
		}
	}
	return nil
}

func appendObject(dst []byte, fields []member) []byte {
	dst = append(dst, '{')
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, f.key...)
		dst = append(dst, ':')
		dst = append(dst, f.raw...)
	}
	return append(dst, '}')
}
