package audit

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
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
	return newSalts(formOf(organization), members(text))
}

func newSalts(form *leafForm, found []member) []byte {
	committed := form.committed(found)
	salts := make([]byte, len(committed)*(1+saltSize))
	rand.Read(salts) // never fails (crypto/rand, Go 1.24)
	for i, number := range committed {
		salts[i*(1+saltSize)] = number
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
	l := leafMakers.Get().(*leafMaker)
	defer l.put()
	if err := l.read(text); err != nil {
		return nil, 0, err
	}
	leaf, err = l.leaf(organization, createdAt, salts)
	return leaf, l.salted, err
}

// leafForm is the order of a leaf's members, which is that of their names (RFC 8785).
type leafForm struct {
	names  []string
	places map[string]leafPlace // of those that a text may have
	other  leafPlace            // of otherMembers
}

type leafPlace struct {
	at   int  // among the names
	salt byte // the salt's number, 0 of what stands in plain
}

// leafForms are those of an organization's leaves, and of the admin trail's.
var leafForms = [2]leafForm{newLeafForm(leafPlain, leafCommitted), newLeafForm(leafPlainAdmin, leafCommittedAdmin)}

func newLeafForm(plain, committed []string) leafForm {
	form := leafForm{names: slices.Concat(plain, committed, []string{"v", "organization", "createdAt", otherMembers}), places: map[string]leafPlace{}}
	slices.Sort(form.names)
	form.names = slices.Compact(form.names)
	for _, name := range plain {
		form.places[name] = leafPlace{slices.Index(form.names, name), 0}
	}
	for _, name := range committed {
		form.places[name] = leafPlace{slices.Index(form.names, name), saltNumber(name)}
	}
	form.other = leafPlace{slices.Index(form.names, otherMembers), saltNumber(otherMembers)}
	return form
}

func formOf(organization string) *leafForm {
	if organization == AdminOrganization {
		return &leafForms[1]
	}
	return &leafForms[0]
}

// committed are the numbers of the salts that a text with these members needs. Members that
// the form has no name for share the last.
func (f *leafForm) committed(found []member) []byte {
	numbers, others := make([]byte, 0, len(leafCommitted)), false
	for _, m := range found {
		switch place, known := f.places[m.name]; {
		case !known:
			others = true
		case place.salt > 0:
			numbers = append(numbers, place.salt)
		}
	}
	if others {
		numbers = append(numbers, f.other.salt)
	}
	return numbers
}

// leafMaker is what making a leaf needs room for. A leaf is made for each entry that is
// recorded or verified, and new room each time was most of its cost.
type leafMaker struct {
	found       []member
	others      []member
	places      [24]member // by the form's names; without a key: not there
	salted      int
	message     []byte // of a commitment: padded salt, name, zero byte and value
	commitments []byte // as JSON strings
}

var leafMakers = sync.Pool{New: func() any { return new(leafMaker) }}

// maxRoom is how much of a large entry's room is kept.
const maxRoom = 64 << 10

func (l *leafMaker) put() {
	clear(l.found) // so that no entry stays alive
	clear(l.others)
	clear(l.places[:])
	l.salted, l.commitments = 0, l.commitments[:0]
	if cap(l.message)+cap(l.found) <= maxRoom {
		leafMakers.Put(l)
	}
}

// read splits a stored text.
func (l *leafMaker) read(text []byte) error {
	if l.found = appendMembers(l.found[:0], text); !isObject(text, l.found) {
		return errors.New("leaf: the stored text is no compact JSON object")
	}
	return nil
}

// leaf is the leaf of the text that was read.
func (l *leafMaker) leaf(organization string, createdAt time.Time, salts []byte) ([]byte, error) {
	form := formOf(organization)
	if err := l.place(form, salts); err != nil {
		return nil, err
	}
	return l.appendLeaf(make([]byte, 0, 1024), form, organization, createdAt), nil
}

// place brings the members of the text to their places. Plain ones were stored in canonical
// form. They are taken as they stand, so that no other bytes have the same leaf.
func (l *leafMaker) place(form *leafForm, salts []byte) error {
	l.others = l.others[:0]
	for _, m := range l.found {
		place, known := form.places[m.name]
		switch {
		case !known:
			l.others = append(l.others, m)
		case place.salt > 0:
			if err := l.commit(place, m, salts); err != nil {
				return err
			}
		default:
			if err := l.set(place.at, m); err != nil {
				return err
			}
		}
	}
	if len(l.others) == 0 {
		return nil
	}
	return l.commit(form.other, newMember(otherMembers, appendObject(nil, l.others)), salts)
}

func (l *leafMaker) set(at int, m member) error {
	if l.places[at].key != nil {
		return fmt.Errorf("leaf: %s stands twice", m.name)
	}
	l.places[at] = m
	return nil
}

func (l *leafMaker) commit(place leafPlace, m member, salts []byte) error {
	salt := findSalt(salts, place.salt)
	if salt == nil {
		return fmt.Errorf("leaf: no salt for %s", m.name)
	}
	l.salted++
	m.raw = l.commitment(salt, m)
	return l.set(place.at, m)
}

// commitment is the HMAC-SHA-256 (RFC 2104) of a member under a salt, which is shorter than
// a block. A [crypto/hmac] for each, which can't take another key, was most of a leaf's cost.
func (l *leafMaker) commitment(salt []byte, m member) []byte {
	l.message = append(appendPadded(l.message[:0], innerPad, salt), m.name...)
	l.message = append(append(l.message, 0), m.raw...)
	sum := sha256.Sum256(l.message)
	l.message = append(appendPadded(l.message[:0], outerPad, salt), sum[:]...)
	sum = sha256.Sum256(l.message)
	from := len(l.commitments)
	l.commitments = append(l.commitments, '"')
	l.commitments = base64.RawURLEncoding.AppendEncode(l.commitments, sum[:])
	l.commitments = append(l.commitments, '"')
	return l.commitments[from:]
}

var (
	innerPad = bytes.Repeat([]byte{0x36}, sha256.BlockSize)
	outerPad = bytes.Repeat([]byte{0x5c}, sha256.BlockSize)
)

func appendPadded(dst, pad, salt []byte) []byte {
	dst = append(dst, pad...)
	for i, b := range salt {
		dst[i] ^= b
	}
	return dst
}

func (l *leafMaker) appendLeaf(leaf []byte, form *leafForm, organization string, createdAt time.Time) []byte {
	leaf = append(leaf, '{')
	for at, name := range form.names {
		m := l.places[at]
		switch {
		case name == "v":
			leaf = append(leaf, `"v":1,`...)
		case name == "organization":
			leaf = append(AppendString(append(leaf, `"organization":`...), organization), ',')
		case name == "createdAt":
			leaf = createdAt.UTC().AppendFormat(append(leaf, `"createdAt":"`...), TimeFormat)
			leaf = append(leaf, `",`...)
		case m.key != nil:
			leaf = append(append(append(append(leaf, m.key...), ':'), m.raw...), ',')
		}
	}
	leaf[len(leaf)-1] = '}' // a comma before: v is always there
	return leaf
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
	l := leafMakers.Get().(*leafMaker)
	defer l.put()
	if err := l.read(text); err != nil {
		return Sealed{}, err
	}
	salts := newSalts(formOf(organization), l.found)
	leaf, err := l.leaf(organization, time.Time{}, salts)
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

func saltNumber(name string) byte { return byte(slices.Index(leafCommitted, name) + 1) }

func findSalt(salts []byte, number byte) []byte {
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
