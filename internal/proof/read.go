package proof

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
)

// depth is how deep a file nests around and in an entry.
const depth = audit.MaxDepth + 4

// compact appends a text to dst without insignificant white space, and refuses what is no
// single JSON object, or what JSON readers disagree about.
func compact(dst, text []byte) ([]byte, error) {
	object, err := audit.CompactObject(dst, text, depth)
	var fault *audit.JSONError
	if errors.As(err, &fault) {
		if fault.Pointer != "" {
			return nil, malformed("%s %s", fault.Pointer, fault.Reason)
		}
		return nil, malformed("the file %s", fault.Reason)
	}
	return object, err
}

// membersOf are the values of a compact object that has exactly these members; one that
// ends with a question mark may be missing.
func membersOf(object []byte, names ...string) ([][]byte, error) {
	optional := make([]bool, len(names))
	for i := range names {
		names[i], optional[i] = strings.CutSuffix(names[i], "?")
	}
	values := make([][]byte, len(names))
	var err error
	audit.EachMember(object, func(name string, raw []byte) {
		if i := slices.Index(names, name); i >= 0 {
			values[i] = raw
		} else if err == nil {
			err = malformed("the member %q is not part of the format", name)
		}
	})
	for i, value := range values {
		if value == nil && !optional[i] && err == nil {
			err = malformed("the member %q is missing", names[i])
		}
	}
	return values, err
}

func readText(raw []byte) (string, error) {
	if raw[0] != '"' {
		return "", malformed("%.40s is not a string", raw)
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", malformed("%.40s is not a string", raw)
	}
	return text, nil
}

func readHashes(raw []byte) (hashes [][]byte, err error) {
	if raw[0] != '[' {
		return nil, malformed("%.40s is not an array of hashes", raw)
	}
	audit.EachItem(raw, func(item []byte) bool {
		var text string
		var hash []byte
		if text, err = readText(item); err == nil {
			hash, err = parseHash(text)
		}
		hashes = append(hashes, hash)
		return err == nil
	})
	return hashes, err
}

// entry is an entry as every answer shows it, with what opens its leaf.
type entry struct {
	audit.Row
	salts []byte
}

// given is what the service adds behind the stored text.
var given = regexp.MustCompile(`,"position":([0-9]+),"createdAt":"([^"\\]*)"}$`)

// readEntry takes compact JSON apart, and keeps and changes its bytes.
func readEntry(object, salts []byte) (entry, error) {
	found := given.FindSubmatchIndex(object)
	if found == nil {
		return entry{}, malformed("an entry doesn't end with its position and createdAt: %.80s", object)
	}
	position, err := parseNumber(string(object[found[2]:found[3]]))
	if err != nil {
		return entry{}, within("an entry's position", err)
	}
	e := entry{Row: audit.Row{Position: position, Text: object[:found[0]+1]}}
	written := string(object[found[4]:found[5]])
	if e.CreatedAt, err = time.Parse(audit.TimeFormat, written); err != nil || audit.FormatTime(e.CreatedAt) != written {
		return entry{}, &Error{ErrMalformed, position, "createdAt is not a time in UTC with six fraction digits"}
	}
	e.Text[found[0]] = '}' // a comma before
	if e.salts, err = audit.ParseSalts(salts); err != nil {
		return entry{}, &Error{ErrMalformed, position, err.Error()}
	}
	return e, nil
}

// id is the entry's id.
func (e entry) id() (id string, err error) {
	audit.EachMember(e.Text, func(name string, raw []byte) {
		if name == "id" {
			id, err = readText(raw)
		}
	})
	if err != nil || id == "" {
		return "", &Error{ErrMalformed, e.Position, "the entry has no id"}
	}
	return id, nil
}

// leafHash is the hash of the leaf that the entry would have in an organization's trail.
func (e entry) leafHash(organization string) ([]byte, error) {
	committed := audit.Committed(organization, e.Text)
	salted := audit.Salted(e.salts)
	for _, name := range committed {
		if !slices.Contains(salted, name) {
			return nil, mismatch(e.Position, "there is no salt for %s, so that nothing shows what was recorded", name)
		}
	}
	for _, name := range salted {
		if !slices.Contains(committed, name) {
			return nil, mismatch(e.Position, "there is a salt for %s, and the entry has no %s: one was added, or the other taken out", name, name)
		}
	}
	leaf, err := audit.Leaf(organization, e.CreatedAt, e.Text, e.salts)
	if err != nil {
		return nil, mismatch(e.Position, "%s", err)
	}
	return merkle.LeafHash(leaf), nil
}
