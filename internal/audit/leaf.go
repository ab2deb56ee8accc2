package audit

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
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
	leaf, _, err := leafOf(organization, createdAt, text, salts)
	return leaf, err
}

// leafOf is Leaf, and how many members have a salt.
func leafOf(organization string, createdAt time.Time, text, salts []byte) (leaf []byte, salted int, err error) {
	found := members(text)
	if !isObject(text, found) {
		return nil, 0, errors.New("leaf: the stored text is no compact JSON object")
	}
	// Plain members were stored in canonical form. They are taken as they stand, so that
	// no other bytes have the same leaf.
	plain, committed := leafMembers(organization, found)
	fields := append(make([]member, 0, len(found)+3), plain...)
	fields = append(fields,
		newMember("v", []byte("1")),
		newMember("organization", AppendString(nil, organization)),
		newMember("createdAt", AppendString(nil, FormatTime(createdAt))))
	commitments := newCommitments(len(committed))
	for _, m := range committed {
		salt := findSalt(salts, m.name)
		if salt == nil {
			return nil, 0, fmt.Errorf("leaf: no salt for %s", m.name)
		}
		m.raw = commitments.next(salt, m)
		fields = append(fields, m)
	}
	slices.SortFunc(fields, func(a, b member) int { return strings.Compare(a.name, b.name) })
	return appendObject(make([]byte, 0, 1024), fields), len(committed), nil
}

// Sealed is an entry that only needs its place: its stored text with salts, and its leaf
// but for createdAt, which the commit decides. What is most of a leaf's work is so done
// before anybody waits for the trail.
type Sealed struct {
	Text          []byte
	Salts         []byte
	before, after []byte // the leaf around createdAt
}

// NewSealed seals the stored text of an organization's entry.
func NewSealed(organization string, text []byte) (Sealed, error) {
	salts := NewSalts(organization, text)
	leaf, err := Leaf(organization, time.Time{}, text, salts)
	if err != nil {
		return Sealed{}, err
	}
	const key = `"createdAt":"` // no string holds it: their quotes are escaped
	before, after, _ := bytes.Cut(leaf, []byte(key+FormatTime(time.Time{})))
	return Sealed{text, salts, leaf[:len(before)+len(key)], after}, nil
}

// Leaf is what [Leaf] makes of the entry.
func (s Sealed) Leaf(createdAt time.Time) []byte {
	leaf := make([]byte, 0, len(s.before)+len(s.after)+len(TimeFormat))
	leaf = createdAt.UTC().AppendFormat(append(leaf, s.before...), TimeFormat)
	return append(leaf, s.after...)
}

// isObject reports whether text is nothing but the members.
func isObject(text []byte, found []member) bool {
	rest, whole := text, true
	cut := func(prefix []byte) {
		var cut bool
		rest, cut = bytes.CutPrefix(rest, prefix)
		whole = whole && cut
	}
	for i, m := range found {
		cut([]byte{"{,"[min(i, 1)]})
		cut(m.key)
		cut([]byte{':'})
		cut(m.raw)
	}
	return whole && string(rest) == "}" && len(found) > 0
}

// commitments makes HMAC-SHA-256 (RFC 2104) with one hash for all of an entry's members:
// a [crypto/hmac] for each, which can't take another key, was most of a leaf's cost.
type commitments struct {
	hash hash.Hash
	pad  [sha256.BlockSize]byte
	sum  []byte
	text []byte // of all of them, as JSON strings
}

const commitmentSize = 2 + 43 // quotes, and 32 bytes in base64url

func newCommitments(n int) *commitments {
	return &commitments{hash: sha256.New(), sum: make([]byte, 0, sha256.Size), text: make([]byte, 0, n*commitmentSize)}
}

// next is the commitment to a member; the salt is shorter than a block.
func (c *commitments) next(salt []byte, m member) []byte {
	c.begin(salt, 0x36)
	c.write([]byte(m.name))
	c.write([]byte{0})
	c.write(m.raw)
	c.sum = c.hash.Sum(c.sum[:0])
	c.begin(salt, 0x5c)
	c.write(c.sum)
	c.sum = c.hash.Sum(c.sum[:0])
	from := len(c.text)
	c.text = append(c.text, '"')
	c.text = base64.RawURLEncoding.AppendEncode(c.text, c.sum)
	c.text = append(c.text, '"')
	return c.text[from:len(c.text):len(c.text)]
}

func (c *commitments) begin(salt []byte, pad byte) {
	for i := range c.pad {
		c.pad[i] = pad
	}
	for i, b := range salt {
		c.pad[i] ^= b
	}
	c.hash.Reset()
	c.write(c.pad[:])
}

func (c *commitments) write(bytes []byte) { _, _ = c.hash.Write(bytes) } // never fails

// leafMembers sorts the members of a stored text into plain and committed ones.
func leafMembers(organization string, found []member) (plain, committed []member) {
	plainNames, committedNames := leafPlain, leafCommitted
	if organization == AdminOrganization {
		plainNames, committedNames = leafPlainAdmin, leafCommittedAdmin
	}
	plain, committed = make([]member, 0, len(found)), make([]member, 0, len(found))
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
