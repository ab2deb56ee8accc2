package compare

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ocore.dev/audit/internal/audit"
)

// added are the members that this service has beyond the customer's reference.
var added = map[string]bool{"position": true, "recordedBy": true, "occurredAt": true, "importedAt": true, "nextCursor": true}

// instanceOwn are members that two services hold differently whatever their entries are.
var instanceOwn = map[string]bool{"importedAt": true, "nextCursor": true}

// isState reports whether a column holds JSON.
func isState(column string) bool {
	return column == "beforeState" || column == "afterState" || column == "details"
}

// absent is the value of a member that isn't there.
var absent any = missing{}

type missing struct{}

// place is where values stand.
type place struct {
	kind Kind
	id   string
	path string
	csv  bool
}

func (at place) member(name string) place {
	if at.path != "" {
		name = at.path + "." + name
	}
	at.path = name
	return at
}

func (at place) element(i int) place {
	at.path = fmt.Sprintf("%s[%d]", at.path, i)
	return at
}

// compareValue compares two values of JSON: objects member for member, numbers digit for
// digit.
func (p *pair) compareValue(at place, old, new any) {
	switch o := old.(type) {
	case map[string]any:
		if n, both := new.(map[string]any); both {
			p.compareMembers(at, o, n)
			return
		}
	case []any:
		if n, both := new.([]any); both {
			for i := range max(len(o), len(n)) {
				p.compareValue(at.element(i), element(o, i), element(n, i))
			}
			return
		}
	default:
		if _, is := new.(map[string]any); is {
			break
		}
		if _, is := new.([]any); !is && old == new {
			return
		}
	}
	p.find(Finding{Kind: at.kind, ID: at.id, Member: at.path, Old: text(old), New: text(new)})
}

func element(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return absent
}

func lookUp(object map[string]any, name string) any {
	if value, has := object[name]; has {
		return value
	}
	return absent
}

// compareMembers compares two objects. In those that aren't within another one, members can
// be ignored, added and rewritten.
func (p *pair) compareMembers(at place, old, new map[string]any) {
	names := slices.Collect(maps.Keys(old))
	for name := range new {
		if _, both := old[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		o, n := lookUp(old, name), lookUp(new, name)
		if at.path == "" && p.excused(at, name, o, n) {
			continue
		}
		p.compareValue(at.member(name), o, n)
	}
}

// excused reports whether an outer member needs no comparison, and counts why.
func (p *pair) excused(at place, name string, old, new any) bool {
	if p.ignore[name] || at.csv && slices.Contains(p.old.columns, name) != slices.Contains(p.new.columns, name) {
		return true // columns that only one has were found as such
	}
	if p.strict {
		return false
	}
	if old == absent && added[name] {
		p.summary.Added[name]++
		return true
	}
	if instanceOwn[name] && new != absent {
		return true
	}
	if form := rewritten(at, name, old, new); form != "" {
		p.summary.Rewritten[name+": "+form]++
		return true
	}
	return false
}

// rewritten names the form that a value got from its way into this service, if it is no more
// than that.
func rewritten(at place, name string, old, new any) string {
	if new == absent {
		switch old {
		case nil:
			return "null, now absent"
		case "":
			return "empty, now absent"
		}
	}
	if _, is := new.(list); is && old == nil {
		return "null, now an empty list"
	}
	o, isText := old.(string)
	n, both := new.(string)
	if !isText || !both || o == n {
		return ""
	}
	if strings.HasSuffix(name, "At") && sameMoment(o, n) {
		return "the same moment, written otherwise"
	}
	if at.csv && audit.EscapeCell(o) == n {
		return "an apostrophe before what a spreadsheet would run"
	}
	return ""
}

// sameMoment compares to the microsecond, which is what is kept.
func sameMoment(old, new string) bool {
	o, err := audit.ParseTime(old)
	if err != nil {
		return false
	}
	n, err := audit.ParseTime(new)
	return err == nil && o.Truncate(time.Microsecond).Equal(n)
}

// text is a value as JSON; what is absent has none.
func text(v any) json.RawMessage {
	switch v.(type) {
	case missing:
		return nil
	case list:
		return json.RawMessage(`"a list"`)
	}
	raw, err := encode(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return raw
}
