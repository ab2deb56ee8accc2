package importer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"ocore.dev/audit/internal/audit"
)

// object is a JSON object by the exact names of its members (encoding/json would match
// the fields of a struct in any case). It keeps the first thing found wrong with it or
// inside it, so that a mapping reads like the table that it implements.
//
// A member that is null or an empty string is absent.
type object struct {
	pointer string
	members map[string]json.RawMessage
	fault   *error
}

func newObject(compact []byte) (object, error) {
	o := object{fault: new(error)}
	return o, json.Unmarshal(compact, &o.members)
}

func (o object) refuse(name, problem string) {
	if *o.fault == nil {
		*o.fault = &audit.JSONError{Pointer: o.pointer + "/" + name, Reason: problem}
	}
}

// only refuses an object with a member that is not among the names.
func (o object) only(names []string) {
	for _, name := range slices.Sorted(maps.Keys(o.members)) {
		if !slices.Contains(names, name) && *o.fault == nil {
			*o.fault = fmt.Errorf("has an unknown member %q", name)
		}
	}
}

// value returns a member as it was written, or nil.
func (o object) value(name string) json.RawMessage {
	raw := o.members[name]
	if isAbsent(raw) {
		return nil
	}
	return raw
}

func isAbsent(raw []byte) bool {
	return len(raw) == 0 || string(raw) == "null" || string(raw) == `""`
}

func (o object) text(name string) (text string) {
	if raw := o.value(name); raw != nil && json.Unmarshal(raw, &text) != nil {
		o.refuse(name, "is not a string")
	}
	return text
}

// time returns a member's time in whole microseconds, which is what is stored.
func (o object) time(name string) time.Time {
	text := o.text(name)
	if text == "" {
		return time.Time{}
	}
	t, err := audit.ParseTime(text)
	if err != nil {
		o.refuse(name, err.Error())
	}
	return t.Truncate(time.Microsecond)
}

// originalTime is a time that every record of a format has.
func (o object) originalTime(name string) time.Time {
	t := o.time(name)
	if t.IsZero() {
		o.refuse(name, "is required: it is the record's original time")
	}
	return t
}

// position reads where an export says that its entry stood: a number, or a CSV's cell. It
// only ever orders records, so anything else is as good as none.
func (o object) position() *int64 {
	at, err := strconv.ParseInt(strings.Trim(string(o.members["position"]), `"`), 10, 64)
	if err != nil {
		return nil
	}
	return &at
}

// state returns a member that may be any object, as it was written.
func (o object) state(name string) []byte {
	raw := o.value(name)
	if raw != nil && raw[0] != '{' {
		o.refuse(name, "is not an object")
	}
	return raw
}

// object returns a member's own members; an absent one has none.
func (o object) object(name string) object {
	return o.within(name, o.value(name))
}

// first returns the first object of a list; an absent or empty list has none.
func (o object) first(name string) object {
	var list []json.RawMessage
	if raw := o.value(name); raw != nil && json.Unmarshal(raw, &list) != nil {
		o.refuse(name, "is not a list")
	}
	if len(list) == 0 {
		return object{fault: o.fault}
	}
	return o.within(name+"/0", list[0])
}

func (o object) within(step string, raw json.RawMessage) object {
	inner := object{pointer: o.pointer + "/" + step, fault: o.fault}
	if !isAbsent(raw) && json.Unmarshal(raw, &inner.members) != nil {
		o.refuse(step, "is not an object")
	}
	return inner
}

// splitList reads JSON documents, one after the other, that are lists of records, or
// objects with such a list as the named member. Other members are passed over.
func splitList(name string) splitter {
	return func(content *bufio.Reader, found func(piece)) error {
		l := list{name: name, in: json.NewDecoder(content), found: found}
		for documents := 0; ; documents++ {
			token, err := l.in.Token()
			if errors.Is(err, io.EOF) && documents > 0 {
				return nil
			}
			if err == nil {
				err = l.document(token)
			}
			if err != nil {
				return err
			}
		}
	}
}

type list struct {
	name  string
	in    *json.Decoder
	found func(piece)
	count int
}

func (l *list) document(token json.Token) error {
	switch token {
	case json.Delim('['):
		return l.records()
	case json.Delim('{'):
		return l.envelope()
	}
	return fmt.Errorf("neither a list nor an object with a list %q", l.name)
}

func (l *list) envelope() error {
	hasList := false
	for l.in.More() {
		name, err := l.in.Token()
		if err != nil {
			return err
		}
		if name == l.name {
			hasList = true
			err = l.member()
		} else {
			err = l.in.Decode(new(json.RawMessage))
		}
		if err != nil {
			return err
		}
	}
	if _, err := l.in.Token(); err != nil {
		return err
	}
	if !hasList {
		return fmt.Errorf("an object without a list %q", l.name)
	}
	return nil
}

// member reads the list in an envelope. Some services write an empty list as null.
func (l *list) member() error {
	switch token, err := l.in.Token(); {
	case err != nil:
		return err
	case token == nil:
		return nil
	case token == json.Delim('['):
		return l.records()
	}
	return fmt.Errorf("%q is not a list", l.name)
}

func (l *list) records() error {
	for l.in.More() {
		var raw json.RawMessage
		if err := l.in.Decode(&raw); err != nil {
			return err
		}
		l.count++
		l.found(piece{place: fmt.Sprintf("record %d", l.count), raw: raw, object: raw})
	}
	_, err := l.in.Token()
	return err
}
