package audit

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Bounds of what is sent, in bytes of UTF-8. openapi.yaml states the same numbers.
const (
	MaxEntryBytes = 256 << 10
	MaxBodyBytes  = 8 << 20
	MaxBatch      = 1000
)

// Draft is an organization's entry as its emitter sends it. An empty string or a nil
// state is absent.
type Draft struct {
	ID           string // "" lets the service choose a UUID version 7
	Action       string
	ResourceType string
	ResourceID   string
	ResourceName string
	UserID       string
	UserName     string
	IPAddress    string
	UserAgent    string
	BeforeState  []byte // a JSON object, verbatim
	AfterState   []byte // a JSON object, verbatim
	OccurredAt   string // RFC 3339
}

// Admitted is an entry that passed admission and can be stored: its text, but for the
// members that the commit decides, and the values that it can be found by.
type Admitted struct {
	ID           string
	NewID        bool // the service chose it just now: nothing is stored under it
	Action       string
	ResourceType string
	ResourceID   string
	UserID       string
	// Content is the stored text up to, and without, `,"recordedBy"`. It holds exactly
	// what the client sent, compacted, so that two sendings are the same entry when
	// their contents are the same bytes.
	Content []byte
	// SearchText is what a substring search looks in, folded; admin entries only.
	SearchText string
	// OriginalTime becomes createdAt in place of the database's clock; imports only.
	OriginalTime time.Time
}

// Row is a stored entry as reads return it.
type Row struct {
	Position  int64
	CreatedAt time.Time
	Text      []byte // a JSON object without position and createdAt
}

// Own is the row with a text of its own, for whoever keeps it.
func (r Row) Own() Row {
	r.Text = bytes.Clone(r.Text)
	return r
}

// AppendJSON appends the entry as the API shows it.
func (r Row) AppendJSON(dst []byte) []byte {
	dst = append(dst, r.Text[:len(r.Text)-1]...)
	dst = strconv.AppendInt(append(dst, `,"position":`...), r.Position, 10)
	dst = append(dst, `,"createdAt":"`...)
	dst = appendTime(dst, r.CreatedAt)
	return append(dst, `"}`...)
}

// field is one string member of an organization's entry: its bounds in bytes, and
// where a draft keeps it. The order of the table is the order in the stored text.
type field struct {
	name  string
	max   int
	value func(*Draft) string
}

var stringFields = []field{
	{"action", 200, func(d *Draft) string { return d.Action }},
	{"resourceType", 100, func(d *Draft) string { return d.ResourceType }},
	{"resourceId", 1024, func(d *Draft) string { return d.ResourceID }},
	{"resourceName", 1024, func(d *Draft) string { return d.ResourceName }},
	{"userId", 512, func(d *Draft) string { return d.UserID }},
	{"userName", 512, func(d *Draft) string { return d.UserName }},
	{"ipAddress", 256, func(d *Draft) string { return d.IPAddress }},
	{"userAgent", 2048, func(d *Draft) string { return d.UserAgent }},
}

var entryID = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,128}$`)

// ValidID reports whether id may name an entry: 1 to 128 URL-safe characters, and not
// a path's "." or "..".
func ValidID(id string) bool { return entryID.MatchString(id) && id != "." && id != ".." }

const idRule = `takes 1 to 128 characters of A-Z a-z 0-9 . _ ~ and -, and is not "." or ".."`

// Admit validates a draft and gives it an id if it has none. at is the JSON pointer of
// the draft in what was sent ("" for a body of its own). On faults the Rejection's kind
// is [ErrUnprocessable], or [ErrMalformed] where a state is not JSON at all.
func Admit(d Draft, at string) (Admitted, error) {
	var faults faultList
	newID := d.ID == ""
	if newID {
		d.ID = uuid.Must(uuid.NewV7()).String()
	} else if !ValidID(d.ID) {
		faults.add(at+"/id", idRule)
	}
	content := appendMember(append(make([]byte, 0, d.size()), '{'), "id", d.ID)
	for _, f := range stringFields {
		value := f.value(&d)
		if value == "" {
			if f.name == "action" || f.name == "resourceType" {
				faults.add(at+"/"+f.name, "is required and takes 1 to %d bytes", f.max)
			}
			continue
		}
		if detail := textFault(value, f.max); detail != "" {
			faults.add(at+"/"+f.name, "%s", detail)
			continue
		}
		content = appendMember(content, f.name, value)
	}
	content = appendState(content, "beforeState", d.BeforeState, at, &faults)
	content = appendState(content, "afterState", d.AfterState, at, &faults)
	if d.OccurredAt != "" {
		if t, err := ParseTime(d.OccurredAt); err != nil {
			faults.add(at+"/occurredAt", "%s", err)
		} else {
			content = appendMember(content, "occurredAt", FormatTime(t))
		}
	}
	if len(content) > MaxEntryBytes {
		faults.add(at, "is larger than %d bytes", MaxEntryBytes)
	}
	if err := faults.rejection(); err != nil {
		return Admitted{}, err
	}
	return Admitted{
		ID: d.ID, NewID: newID, Action: d.Action, ResourceType: d.ResourceType,
		ResourceID: d.ResourceID, UserID: d.UserID, Content: content,
	}, nil
}

// size is room for the stored text of most drafts: what is escaped in strings takes more.
func (d *Draft) size() int {
	size := 256 + len(d.ID) + len(d.BeforeState) + len(d.AfterState)
	for _, f := range stringFields {
		size += len(f.value(d))
	}
	return size
}

func appendState(content []byte, name string, state []byte, at string, faults *faultList) []byte {
	if state == nil {
		return content
	}
	start := len(content)
	content = append(AppendString(append(content, ','), name), ':')
	content, err := CompactObject(content, state, MaxDepth)
	if err != nil {
		faults.addJSON(at+"/"+name, err)
		return content[:start]
	}
	return content
}

// textFault says what is wrong with a string value, or "".
func textFault(value string, maxBytes int) string {
	switch {
	case len(value) > maxBytes:
		return fmt.Sprintf("has %d bytes; at most %d are allowed", len(value), maxBytes)
	case !ValidText(value):
		return "holds invalid UTF-8 or a NUL character"
	}
	return ""
}

// Seal completes the stored text: who recorded the entry and, for imports, when the
// service really accepted it.
func (a Admitted) Seal(recordedBy string, importedAt time.Time) []byte {
	text := make([]byte, 0, len(a.Content)+len(recordedBy)+64)
	text = append(text, a.Content...)
	text = appendMember(text, "recordedBy", recordedBy)
	if !importedAt.IsZero() {
		text = appendMember(text, "importedAt", FormatTime(importedAt))
	}
	return append(text, '}')
}

// SameAs reports whether a stored entry has this content: what the client sent is
// compared, not who sent it. For an import the original time is part of what was sent.
func (a Admitted) SameAs(stored Row) bool {
	rest, found := bytes.CutPrefix(stored.Text, a.Content)
	if !found || !bytes.HasPrefix(rest, []byte(`,"recordedBy":`)) {
		return false
	}
	return a.OriginalTime.IsZero() || a.OriginalTime.Equal(stored.CreatedAt)
}

// faultList gathers faults; the worst kind wins: malformed before unprocessable.
type faultList struct {
	faults    []Fault
	malformed bool
}

func (l *faultList) add(pointer, format string, args ...any) {
	if len(l.faults) < MaxFaults {
		l.faults = append(l.faults, Fault{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
}

// addJSON adds what [CompactObject] found, and reports whether its result is cut.
func (l *faultList) addJSON(at string, err error) (cut bool) {
	var fault *JSONError
	if !errors.As(err, &fault) {
		l.add(at, "is not a JSON object")
		return true
	}
	l.malformed = l.malformed || fault.Malformed
	for _, f := range fault.Faults() {
		l.add(at+f.Pointer, "%s", f.Detail)
	}
	return fault.Cut
}

// merge takes over the faults of another admission's error.
func (l *faultList) merge(err error) {
	var r *Rejection
	if !errors.As(err, &r) {
		return
	}
	l.malformed = l.malformed || errors.Is(r, ErrMalformed)
	for _, f := range r.Faults {
		l.add(f.Pointer, "%s", f.Detail)
	}
}

func (l *faultList) rejection() error {
	if len(l.faults) == 0 {
		return nil
	}
	kind := ErrUnprocessable
	if l.malformed {
		kind = ErrMalformed
	}
	return &Rejection{Kind: kind, Faults: l.faults}
}
