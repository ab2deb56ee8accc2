package audit

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Filter says which entries of a trail are wanted. Zero values filter nothing; the
// others match whole values, byte for byte, but for Search. As JSON, in the record of an
// export, the conditions have the names of the parameters that set them.
type Filter struct {
	Action       string    `json:"action,omitempty"`
	ResourceType string    `json:"resource_type,omitempty"`
	ResourceID   string    `json:"resource_id,omitempty"`
	UserID       string    `json:"user_id,omitempty"`
	Search       string    `json:"search,omitempty"`    // admin trail only: part of action or details, any case
	From         time.Time `json:"start_date,omitzero"` // first createdAt, inclusive, whole microseconds
	To           time.Time `json:"end_date,omitzero"`   // last createdAt, inclusive, whole microseconds
	// Resource is the resource whose history is asked for; it holds beside the
	// filters above, so that contradicting ones match nothing.
	Resource ResourceKey `json:"resource,omitzero"`
	// What has one of these values is left out; what has none at all stays.
	ExcludeAction       Values `json:"exclude_action,omitempty"`
	ExcludeResourceType Values `json:"exclude_resource_type,omitempty"`
	ExcludeResourceID   Values `json:"exclude_resource_id,omitempty"`
	ExcludeUserID       Values `json:"exclude_user_id,omitempty"`
}

// Values are any number of values, each once and in order, so that equal sets are equal. It
// is their text joined by NUL, which no value holds: filters are compared, and keys of maps.
type Values string

// NewValues makes a set of what isn't empty.
func NewValues(values ...string) Values {
	values = slices.DeleteFunc(slices.Clone(values), func(value string) bool { return value == "" })
	slices.Sort(values)
	return Values(strings.Join(slices.Compact(values), "\x00"))
}

// All lists the values in order.
func (v Values) All() []string {
	if v == "" {
		return nil
	}
	return strings.Split(string(v), "\x00")
}

// MarshalJSON makes an array of them.
func (v Values) MarshalJSON() ([]byte, error) { return json.Marshal(v.All()) }

// ResourceKey names one resource.
type ResourceKey struct {
	Type string `json:"type,omitempty"`
	ID   string `json:"id,omitempty"`
}

// Column is what an entry can be found by. Lower ones are usually more selective.
type Column int

// The columns, in the order in which a combination of terms tries them.
const (
	ByResourceID Column = iota
	ByUserID
	BySearch
	ByAction
	ByResourceType
)

// Term is one condition on one column.
type Term struct {
	Column Column
	Value  string
}

// Terms are the filter's conditions beside dates, the usually most selective first.
func (f Filter) Terms() []Term {
	candidates := []Term{
		{ByResourceID, f.Resource.ID},
		{ByResourceID, f.ResourceID},
		{ByUserID, f.UserID},
		{BySearch, Fold(f.Search)},
		{ByAction, f.Action},
		{ByResourceType, f.Resource.Type},
		{ByResourceType, f.ResourceType},
	}
	var terms []Term
	for _, t := range candidates {
		if t.Value != "" && (len(terms) == 0 || terms[len(terms)-1] != t) {
			terms = append(terms, t)
		}
	}
	return terms
}

// MaxExcluded is how many bytes a filter's excluded values may have together: so that a
// cursor, which holds them, fits into a URL.
const MaxExcluded = 2048

// CheckExcluded refuses more than [MaxExcluded].
func (f Filter) CheckExcluded() error {
	size, first := 0, ""
	for _, e := range f.exclusions() {
		for _, value := range e.values.All() {
			if size += len(value); size > MaxExcluded && first == "" {
				first = e.parameter
			}
		}
	}
	if first == "" {
		return nil
	}
	return BadParameter(first, "excluded values have at most %d bytes together, and these have %d", MaxExcluded, size)
}

// Excluded are the conditions of which none may hold, the usually most selective first.
func (f Filter) Excluded() []Term {
	var terms []Term
	for _, e := range f.exclusions() {
		for _, value := range e.values.All() {
			terms = append(terms, Term{e.column, value})
		}
	}
	return terms
}

// exclusion is one of a filter's sets, and the parameter that sets it. mark stands before its
// values in a cursor.
type exclusion struct {
	parameter string
	mark      byte
	column    Column
	values    *Values
}

func (f *Filter) exclusions() []exclusion {
	return []exclusion{
		{"exclude_resource_id", 'i', ByResourceID, &f.ExcludeResourceID},
		{"exclude_user_id", 'u', ByUserID, &f.ExcludeUserID},
		{"exclude_action", 'a', ByAction, &f.ExcludeAction},
		{"exclude_resource_type", 't', ByResourceType, &f.ExcludeResourceType},
	}
}

// Between reads the two date parameters, both inclusive, "" for none. Fractions below a
// microsecond round inward.
func (f Filter) Between(start, end string) (Filter, error) {
	for _, d := range []struct {
		name, text string
		round      func(time.Time) time.Time
		into       *time.Time
	}{{"start_date", start, earliest, &f.From}, {"end_date", end, latest, &f.To}} {
		if d.text == "" {
			continue
		}
		t, err := ParseTime(d.text)
		if err != nil {
			return f, BadParameter(d.name, "%s %s", d.name, err)
		}
		*d.into = d.round(t)
	}
	if start != "" && end != "" && f.From.After(f.To) && !sameInstant(start, end) {
		return f, BadParameter("start_date", "start_date is after end_date; exchange them")
	}
	if f.From.After(lastTime) || end != "" && f.To.IsZero() {
		f.From, f.To = lastTime, firstTime // nothing is stored there, and such a bound can't be kept
	}
	return f, nil
}

// The ends of time as a filter can hold it: RFC 3339 has no year 10000, and the zero time
// filters nothing.
var (
	firstTime = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

// sameInstant tells a range that rounding emptied from one that was turned around.
func sameInstant(start, end string) bool {
	from, _ := ParseTime(start)
	to, _ := ParseTime(end)
	return !from.After(to)
}

// Window is the part of what matches a filter that is wanted, newest first.
type Window struct {
	Size     int64 // the state of the trail: its first Size entries; negative for all it has
	Below    int64 // list positions below this one alone; [math.MaxInt64] for all
	RestOnly bool  // count what is below Below alone, too
	Offset   int64 // how many matches below Below to leave out first
	Limit    int64 // how many to list at most
}

// Found is what a filter matches in one state of a trail.
type Found struct {
	Size      int64   // of the trail in that state; smaller than asked where the trail is
	Total     int64   // entries that match
	Positions []int64 // those in the window, descending
}

// All reports whether the filter filters nothing.
func (f Filter) All() bool { return f == Filter{} }

// Span is the positions Low <= p < High.
type Span struct{ Low, High int64 }

// Len is the number of positions in the span, never negative.
func (s Span) Len() int64 { return max(0, s.High-s.Low) }

// Below cuts the span to the positions before position.
func (s Span) Below(position int64) Span {
	s.High = min(s.High, position)
	return s
}

// From cuts the span to the positions not before position.
func (s Span) From(position int64) Span {
	s.Low = max(s.Low, position)
	return s
}

// Descending lists up to limit of the span's positions, the highest first, from the
// offset-th on.
func (s Span) Descending(offset, limit int64) []int64 {
	if offset >= s.Len() {
		return nil
	}
	first := s.High - 1 - offset
	positions := make([]int64, min(limit, first-s.Low+1))
	for i := range positions {
		positions[i] = first - int64(i)
	}
	return positions
}
