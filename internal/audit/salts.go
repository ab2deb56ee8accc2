package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
)

// Committed are the names of the members that the leaf of an organization's stored text
// commits to, and that need a salt each.
func Committed(organization string, text []byte) []string {
	var names []string
	for _, number := range formOf(organization).committed(members(text)) {
		names = append(names, saltName(number))
	}
	return names
}

// Salted are the names of the members that stored salts belong to.
func Salted(salts []byte) []string {
	var names []string
	for ; len(salts) > saltSize; salts = salts[1+saltSize:] {
		names = append(names, saltName(salts[0]))
	}
	return names
}

// AppendSalts appends stored salts as proofs show them: a JSON object of each member's
// salt in base64url, in the order of the stored form.
func AppendSalts(dst, salts []byte) []byte {
	dst = append(dst, '{')
	for i := 0; len(salts) > saltSize; salts = salts[1+saltSize:] {
		if i++; i > 1 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, saltName(salts[0]))
		dst = append(dst, ':', '"')
		dst = base64.RawURLEncoding.AppendEncode(dst, salts[1:1+saltSize])
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// saltName is the member whose salt has this number.
func saltName(number byte) string {
	if number < 1 || int(number) > len(leafCommitted) {
		return fmt.Sprint(number) // only in a database that was tampered with
	}
	return leafCommitted[number-1]
}

// ParseSalts reads what [AppendSalts] wrote, a compact object that [CompactObject] let in,
// into the stored form.
func ParseSalts(object []byte) (salts []byte, err error) {
	if len(object) == 0 || object[0] != '{' {
		return nil, errors.New("salts are not an object")
	}
	EachMember(object, func(name string, raw []byte) {
		salt, failed := parseSalt(raw)
		switch {
		case err != nil:
		case !slices.Contains(leafCommitted, name):
			err = fmt.Errorf("there is a salt for %s, which no leaf commits to", name)
		case failed != nil:
			err = fmt.Errorf("the salt for %s %w", name, failed)
		default:
			salts = append(append(salts, saltNumber(name)), salt...)
		}
	})
	return salts, err
}

func parseSalt(raw []byte) ([]byte, error) {
	if raw[0] != '"' {
		return nil, errors.New("is not a string")
	}
	text := unquote(raw)
	salt, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(salt) != saltSize || base64.RawURLEncoding.EncodeToString(salt) != text {
		return nil, fmt.Errorf("is not %d bytes in base64url without padding", saltSize)
	}
	return salt, nil
}
