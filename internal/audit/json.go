package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep a state or the details of an admin entry may nest, and
// MaxNumber how many characters one number may have.
const (
	MaxDepth  = 32
	MaxNumber = 64
)

// maxMembers is how many members of one object are looked at: with more, no entry is small
// enough, as each takes at least five bytes.
const maxMembers = MaxEntryBytes / 4

// JSONError says what about a JSON text can't be admitted, and where.
type JSONError struct {
	Pointer   string // RFC 6901, from the text's root
	Reason    string
	Malformed bool    // not JSON at all (RFC 8259), rather than refused by our rules
	Cut       bool    // reading stopped there, so that nothing behind it was looked at
	Others    []Fault // what else the rules refuse, up to MaxFaults in all
}

// Faults are all that the error tells of.
func (e *JSONError) Faults() []Fault {
	return append([]Fault{{e.Pointer, e.Reason}}, e.Others...)
}

func (e *JSONError) Error() string { return e.Pointer + ": " + e.Reason }

// CompactObject appends a JSON object to dst without insignificant white space and
// otherwise digit for digit and key for key. It refuses, with a *[JSONError], what is
// not JSON and what JSON implementations disagree about: duplicate keys, lone
// surrogates, NUL, numbers over [MaxNumber] characters, more than depth levels, bytes
// after the end.
func CompactObject(dst, src []byte, depth int) ([]byte, error) {
	s := scanner{src: src, dst: dst, depth: depth, path: make([]step, 0, 8)}
	s.space()
	if s.peek() != '{' {
		return dst, &JSONError{Reason: "is not a JSON object", Malformed: true, Cut: true}
	}
	err := s.value()
	if err == nil {
		if s.space(); s.at < len(s.src) {
			err = s.malformed("has bytes after its end")
		}
	}
	if err == nil && len(s.faults) > 0 {
		err = &JSONError{Pointer: s.faults[0].Pointer, Reason: s.faults[0].Detail, Others: s.faults[1:]}
	}
	return s.dst, err
}

// scanner is a strict recursive-descent reader of RFC 8259 that copies as it goes.
type scanner struct {
	src   []byte
	dst   []byte
	at    int
	depth int
	path  []step
	// faults are those that reading can go on after, so that all are told at once.
	faults []Fault
}

// step leads into a member by its name as written, or, without one, into an element.
type step struct {
	name  []byte
	index int
}

func (s step) String() string {
	if s.name == nil {
		return strconv.Itoa(s.index)
	}
	return EscapePointer(unquote(s.name))
}

func (s *scanner) peek() byte {
	if s.at < len(s.src) {
		return s.src[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for s.at < len(s.src) {
		switch s.src[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// EscapePointer makes a member's name a step of a JSON pointer (RFC 6901, section 3).
func EscapePointer(name string) string { return pointerEscaper.Replace(name) }

// pointer is short without making the long one, which a name of 8 MiB would take a copy for
// each fault behind it.
func (s *scanner) pointer() string {
	pointer := ""
	for _, step := range s.path {
		if len(step.name) > MaxPointer+len(`""`) {
			return pointer
		}
		if pointer += "/" + step.String(); len(pointer) > MaxPointer {
			return ShortPointer(pointer)
		}
	}
	return pointer
}

func (s *scanner) malformed(reason string) error {
	return &JSONError{Pointer: s.pointer(), Reason: fmt.Sprintf("%s (at byte %d)", reason, s.at), Malformed: true, Cut: true}
}

func (s *scanner) refuse(format string, args ...any) {
	if len(s.faults) == MaxFaults {
		return
	}
	if fault := (Fault{s.pointer(), fmt.Sprintf(format, args...)}); !slices.Contains(s.faults, fault) {
		s.faults = append(s.faults, fault)
	}
}

func (s *scanner) value() error {
	switch c := s.peek(); {
	case c == '{':
		return s.object()
	case c == '[':
		return s.array()
	case c == '"':
		_, err := s.text()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if len(s.src)-s.at >= len(word) && string(s.src[s.at:s.at+len(word)]) == word {
			s.at += len(word)
			s.dst = append(s.dst, word...)
			return nil
		}
	}
	return s.malformed("is not valid JSON")
}

func (s *scanner) object() error {
	if err := s.open(); err != nil {
		return err
	}
	var seen names
	for first := true; ; first = false {
		done, err := s.next('}', first)
		if err != nil || done {
			return err
		}
		if seen.len() > maxMembers {
			return &JSONError{Pointer: s.pointer(), Reason: "has more members than an entry has room for", Cut: true}
		}
		if s.peek() != '"' {
			return s.malformed("has a member without a name")
		}
		written, err := s.text()
		if err != nil {
			return err
		}
		s.path = append(s.path, step{name: written})
		if seen.twice(written) {
			s.refuse("is a duplicate key")
		}
		if s.space(); s.peek() != ':' {
			return s.malformed("lacks a colon after its name")
		}
		s.at++
		s.dst = append(s.dst, ':')
		s.space()
		if err := s.value(); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
	}
}

// names are those of an object's members so far. Most objects have few, which cost no
// allocation: those of a body that is made to be expensive have one or none.
type names struct {
	few   [16][]byte
	count int
	many  map[string]struct{} // all of them, when there are more than few
}

func (n *names) len() int { return n.count }

// twice adds a name as it was written, and reports whether it was there.
func (n *names) twice(written []byte) bool {
	name := written[1 : len(written)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		name = []byte(unquote(written))
	}
	if n.many == nil {
		for _, other := range n.few[:n.count] {
			if bytes.Equal(other, name) {
				return true
			}
		}
		if n.count < len(n.few) {
			n.few[n.count] = name
			n.count++
			return false
		}
		n.many = make(map[string]struct{}, 2*len(n.few))
		for _, other := range n.few {
			n.many[string(other)] = struct{}{}
		}
	}
	n.many[string(name)] = struct{}{}
	twice := len(n.many) == n.count
	n.count = len(n.many)
	return twice
}

func (s *scanner) array() error {
	if err := s.open(); err != nil {
		return err
	}
	for i := 0; ; i++ {
		done, err := s.next(']', i == 0)
		if err != nil || done {
			return err
		}
		s.path = append(s.path, step{index: i})
		if err := s.value(); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
	}
}

func (s *scanner) open() error {
	if s.depth == 0 {
		return &JSONError{Pointer: s.pointer(), Reason: "is nested too deeply", Cut: true} // going on is what must not be
	}
	s.depth--
	s.dst = append(s.dst, s.src[s.at])
	s.at++
	return nil
}

// next moves to the next member or element, or past the closing bracket.
func (s *scanner) next(closing byte, first bool) (done bool, err error) {
	s.space()
	switch c := s.peek(); {
	case c == closing && s.at < len(s.src):
		s.at++
		s.depth++
		s.dst = append(s.dst, closing)
		return true, nil
	case first:
		return false, nil
	case c == ',':
		s.at++
		s.dst = append(s.dst, ',')
		s.space()
		return false, nil
	}
	return false, s.malformed("lacks a comma or a closing bracket")
}

// text copies a string and returns it as it was written, quotes included.
func (s *scanner) text() ([]byte, error) {
	start := s.at
	s.at++
	for {
		if s.at >= len(s.src) {
			return nil, s.malformed("ends inside a string")
		}
		switch c := s.src[s.at]; {
		case c == '"':
			s.at++
			raw := s.src[start:s.at]
			s.dst = append(s.dst, raw...)
			return raw, nil
		case c < 0x20:
			return nil, s.malformed("holds an unescaped control character")
		case c == '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		case c < utf8.RuneSelf:
			s.at++
		default:
			r, n := utf8.DecodeRune(s.src[s.at:])
			if r == utf8.RuneError && n == 1 {
				return nil, s.malformed("is not valid UTF-8")
			}
			s.at += n
		}
	}
}

func (s *scanner) escape() error {
	if s.at+1 >= len(s.src) {
		return s.malformed("ends inside a string")
	}
	if c := s.src[s.at+1]; c != 'u' {
		if strings.IndexByte(`"\/bfnrt`, c) < 0 {
			return s.malformed("holds an unknown escape")
		}
		s.at += 2
		return nil
	}
	unit, ok := hexUnit(s.src[s.at:])
	switch {
	case !ok:
		return s.malformed("holds a bad \\u escape")
	case unit == 0:
		s.refuse("holds a NUL character, which can't be stored")
	case utf16.IsSurrogate(unit):
		low, ok := hexUnit(s.src[s.at+6:])
		if !ok || utf16.DecodeRune(unit, low) == utf8.RuneError {
			s.refuse("holds half of a surrogate pair, which is no character")
		} else {
			s.at += 6
		}
	}
	s.at += 6
	return nil
}

// hexUnit reads the UTF-16 code unit of an escape such as \u00e9.
func hexUnit(src []byte) (rune, bool) {
	if len(src) < 6 || src[0] != '\\' || src[1] != 'u' {
		return 0, false
	}
	var unit rune
	for _, c := range src[2:6] {
		switch {
		case c >= '0' && c <= '9':
			unit = unit<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			unit = unit<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			unit = unit<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return unit, true
}

func (s *scanner) number() error {
	start := s.at
	if s.peek() == '-' {
		s.at++
	}
	whole := s.digits()
	if whole == 0 || whole > 1 && s.src[s.at-whole] == '0' {
		return s.malformed("holds a number with no or a leading zero digit")
	}
	if s.peek() == '.' {
		s.at++
		if s.digits() == 0 {
			return s.malformed("holds a number without digits after its point")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if s.digits() == 0 {
			return s.malformed("holds a number without an exponent")
		}
	}
	if n := s.at - start; n > MaxNumber {
		s.refuse("is a number of %d characters; at most %d are allowed", n, MaxNumber)
	}
	s.dst = append(s.dst, s.src[start:s.at]...)
	return nil
}

func (s *scanner) digits() int {
	start := s.at
	for s.at < len(s.src) && s.src[s.at] >= '0' && s.src[s.at] <= '9' {
		s.at++
	}
	return s.at - start
}

// member is one member of a compact object: its name, decoded and as written, and its
// value as written.
type member struct {
	name     string
	key, raw []byte
}

func newMember(name string, raw []byte) member {
	return member{name, AppendString(nil, name), raw}
}

// members splits a compact object that admission let in.
func members(object []byte) []member { return appendMembers(make([]member, 0, 16), object) }

func appendMembers(found []member, object []byte) []member {
	eachMember(object, func(m member) { found = append(found, m) })
	return found
}

// EachMember visits the members of a compact object that [CompactObject] let in, in their
// order. raw is the value's text within object.
func EachMember(object []byte, visit func(name string, raw []byte)) {
	eachMember(object, func(m member) { visit(m.name, m.raw) })
}

func eachMember(object []byte, visit func(member)) {
	eachValue(object, func(key, raw []byte) { visit(member{memberName(key), key, raw}) })
}

// eachValue visits names and values as written. It does not validate, but what can't be split,
// in a text that was tampered with, only ends it.
func eachValue(object []byte, visit func(key, raw []byte)) {
	for at := 1; at < len(object)-1; at++ {
		key := object[at : at+valueLength(object[at:])]
		at += len(key) + 1
		if len(key) < 2 || at >= len(object)-1 {
			return
		}
		raw := object[at : at+valueLength(object[at:])]
		if len(raw) == 0 {
			return
		}
		at += len(raw)
		visit(key, raw)
	}
}

// EachItem visits the items of a compact array that [CompactObject] let in, in their
// order, until visit says no.
func EachItem(array []byte, visit func(raw []byte) (more bool)) {
	for at := 1; at < len(array)-1; at++ { // a comma, or the end, stands behind each
		raw := array[at : at+valueLength(array[at:])]
		if len(raw) == 0 || !visit(raw) {
			return
		}
		at += len(raw)
	}
}

// memberName is the name that a key says. Those of entries are not made anew.
func memberName(key []byte) string {
	if name, known := knownNames[string(key[1:len(key)-1])]; known {
		return name
	}
	return unquote(key)
}

var knownNames = func() map[string]string {
	names := map[string]string{}
	for _, name := range append(leafPlain, leafCommitted...) {
		names[name] = name
	}
	return names
}()

// valueLength is the length of the value that compact JSON begins with.
func valueLength(src []byte) int {
	depth := 0
	for i := 0; i < len(src); i++ {
		switch c := src[i]; c {
		case '"':
			if i += stringLength(src[i:]) - 1; depth == 0 {
				return min(i+1, len(src))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(src)
}

// stringLength is the length of the string that src begins with, all of src where it has
// no end.
func stringLength(src []byte) int {
	for at := 1; ; {
		quote := bytes.IndexByte(src[min(at, len(src)):], '"')
		if quote < 0 {
			return len(src)
		}
		escapes := 0
		for at += quote; src[at-1-escapes] == '\\'; {
			escapes++
		}
		if at++; escapes%2 == 0 {
			return at
		}
	}
}

// unquote decodes a JSON string that was scanned before.
func unquote(raw []byte) string {
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return string(inner)
	}
	return text
}

// ValidText reports whether a string can be stored: valid UTF-8 without NUL.
func ValidText(value string) bool {
	return utf8.ValidString(value) && strings.IndexByte(value, 0) < 0
}

const hexDigits = "0123456789abcdef"

// AppendString appends a JSON string in the one form of RFC 8785, section 3.2.2.2:
// only the quote, the backslash and control characters are escaped.
func AppendString(dst []byte, value string) []byte {
	dst = append(dst, '"')
	plain := 0 // where what needs no escape begins
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, value[plain:i]...)
		plain = i + 1
		if short := strings.IndexByte("\"\\\b\f\n\r\t", c); short >= 0 {
			dst = append(dst, '\\', `"\bfnrt`[short])
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, value[plain:]...), '"')
}

// appendMember appends a string member to an object that is still open.
func appendMember(object []byte, name, value string) []byte {
	if len(object) > 1 {
		object = append(object, ',')
	}
	object = AppendString(object, name)
	object = append(object, ':')
	return AppendString(object, value)
}
