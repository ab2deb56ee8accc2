package audit

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"github.com/google/uuid"
)

// adminMembers are the members of an admin entry that we name, in the order of the stored
// text: strings with their bounds in bytes, and 0 for an object.
var adminMembers = []struct {
	name string
	max  int
}{
	{"id", 128},
	{"action", 200},
	{"userId", 512},
	{"userName", 512},
	{"organizationId", 64},
	{"details", 0},
	{"ipAddress", 256},
	{"userAgent", 2048},
}

// adminReserved are given by the service; accepting them would let an author forge them.
var adminReserved = []string{"position", "createdAt", "recordedBy", "importedAt", "leafHash"}

func isAdminMember(name string) bool {
	for _, m := range adminMembers {
		if m.name == name {
			return true
		}
	}
	return false
}

// AdmitAdmin validates an admin entry: an open object whose members other than the
// named ones are kept exactly as sent. Errors are as for [Admit].
func AdmitAdmin(raw []byte) (Admitted, error) {
	var faults faultList
	object, err := CompactObject(nil, raw, MaxDepth+1)
	if err != nil {
		if cut := faults.addJSON("", err); cut {
			return Admitted{}, faults.rejection()
		}
	}
	named := map[string]member{}
	var others []member
	for _, m := range members(object) {
		switch {
		case slices.Contains(adminReserved, m.name):
			faults.add("/"+EscapePointer(m.name), "is given by the service; leave it out")
		case isAdminMember(m.name):
			named[m.name] = m
		default:
			others = append(others, m)
		}
	}
	values := adminValues(named, &faults)
	if len(object) > MaxEntryBytes {
		faults.add("", "is larger than %d bytes", MaxEntryBytes)
	}
	if err := faults.rejection(); err != nil {
		return Admitted{}, err
	}
	return newAdminEntry(values, named, others), nil
}

// adminValues checks the named members and returns the strings among them.
func adminValues(named map[string]member, faults *faultList) map[string]string {
	values := map[string]string{}
	for _, known := range adminMembers {
		name, limit, isString := known.name, known.max, known.max > 0
		m, sent := named[name]
		switch {
		case !sent:
			continue
		case isString && m.raw[0] != '"':
			faults.malformed = true
			faults.add("/"+name, "is not a string")
		case !isString && m.raw[0] != '{':
			faults.malformed = true
			faults.add("/"+name, "is not a JSON object")
		case isString:
			values[name] = unquote(m.raw)
			if values[name] == "" {
				faults.malformed = true
				faults.add("/"+name, "is empty; leave it out when it is unknown")
			} else if detail := textFault(values[name], limit); detail != "" {
				faults.add("/"+name, "%s", detail)
			}
		}
	}
	if _, sent := named["action"]; !sent {
		faults.malformed = true
		faults.add("/action", "is required")
	}
	if id := values["id"]; id != "" && !ValidID(id) {
		faults.add("/id", idRule)
	}
	return values
}

func newAdminEntry(values map[string]string, named map[string]member, others []member) Admitted {
	newID := values["id"] == ""
	if newID {
		values["id"] = uuid.Must(uuid.NewV7()).String()
	}
	fields := make([]member, 0, len(adminMembers)+len(others))
	for _, known := range adminMembers {
		if details, sent := named[known.name]; sent && known.max == 0 {
			fields = append(fields, newMember(known.name, details.raw))
		} else if values[known.name] != "" {
			fields = append(fields, newMember(known.name, AppendString(nil, values[known.name])))
		}
	}
	content := appendObject(nil, append(fields, others...))
	return Admitted{
		ID: values["id"], NewID: newID, Action: values["action"], UserID: values["userId"],
		Content:    content[:len(content)-1],
		SearchText: searchText(values["action"], named["details"].raw),
	}
}

// searchText is the folded action and every key, string and number of the details, a
// line each, so that no search of one line spans two of them.
func searchText(action string, details []byte) string {
	lines := []string{Fold(action)}
	decoder := json.NewDecoder(bytes.NewReader(details))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err != nil { // the end; admission let the details in
			return strings.Join(lines, "\n")
		}
		switch value := token.(type) {
		case string:
			lines = append(lines, Fold(value))
		case json.Number:
			lines = append(lines, Fold(value.String()))
		}
	}
}

// Fold maps strings that differ in case alone to one: every character becomes the
// smallest of those that Unicode's simple case folding treats as equal.
func Fold(text string) string {
	return strings.Map(func(r rune) rune {
		smallest := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			smallest = min(smallest, next)
		}
		return smallest
	}, text)
}
