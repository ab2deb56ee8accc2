package audit

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// cursor continues a walk. It carries the filter and the state of the trail that the
// walk began with, so that pages never shift under new entries, and it gives no
// authority: the organization is checked against the token's.
type cursor struct {
	Organization string
	Filter       Filter
	Size         int64 // of the trail when the walk began
	Before       int64 // the walk goes on below this position
	Given        int64 // items handed out so far
}

const cursorVersion = "1"

// encode joins the cursor's values by NUL, which none of them holds. So no value grows by
// escaping, and the filters of any entry make a cursor that fits a URL.
func (c cursor) encode() string {
	values := []string{
		cursorVersion, c.Organization,
		strconv.FormatInt(c.Size, 10), strconv.FormatInt(c.Before, 10), strconv.FormatInt(c.Given, 10),
		formatDate(c.Filter.From), formatDate(c.Filter.To),
	}
	for _, value := range c.Filter.texts() {
		values = append(values, *value)
	}
	for _, e := range c.Filter.exclusions() {
		for _, value := range e.values.All() {
			values = append(values, string(e.mark)+value)
		}
	}
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(values, "\x00")))
}

// decodeCursor reads a cursor of the organization. filter is what stands beside it in
// the same request: nothing, or the resource in the path alone, or the cursor's own.
func decodeCursor(text, organization string, filter Filter) (cursor, error) {
	c, ok := parseCursor(text)
	if !ok || c.Organization != organization || c.Before < 0 || c.Before > c.Size || c.Given < 0 || c.Given > c.Size {
		return c, errCursor
	}
	if c.Filter.Search != "" && organization != AdminOrganization {
		return c, errCursor // made up: the index that is searched holds the admin trail alone
	}
	if filter != (Filter{}) && filter != (Filter{Resource: c.Filter.Resource}) && !filter.equal(c.Filter) {
		return c, BadParameter("cursor", "the cursor continues another filter; send it alone, or with the filter it came from")
	}
	return c, nil
}

// parseCursor reads what encode wrote, in exactly the form in which it wrote it.
func parseCursor(text string) (c cursor, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	values := strings.Split(string(raw), "\x00")
	texts := c.Filter.texts()
	if err != nil || len(values) < 7+len(texts) || !utf8.Valid(raw) {
		return c, false
	}
	c.Organization = values[1]
	for i, number := range []*int64{&c.Size, &c.Before, &c.Given} {
		*number, _ = strconv.ParseInt(values[2+i], 10, 64) // a fault shows below
	}
	for i, date := range []*time.Time{&c.Filter.From, &c.Filter.To} {
		*date, _ = ParseTime(values[5+i])
	}
	for i, value := range texts {
		*value = values[7+i]
	}
	for _, e := range c.Filter.exclusions() {
		*e.values = valuesMarked(e.mark, values[7+len(texts):])
	}
	return c, c.encode() == text
}

func valuesMarked(mark byte, values []string) Values {
	var found []string
	for _, value := range values {
		if value != "" && value[0] == mark {
			found = append(found, value[1:])
		}
	}
	return NewValues(found...)
}

var errCursor = BadParameter("cursor", "the cursor is not one of this organization's; begin again without it")

func formatDate(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return FormatTime(t)
}

func (f Filter) equal(other Filter) bool {
	dates := f.From.Equal(other.From) && f.To.Equal(other.To)
	f.From, f.To = other.From, other.To
	return dates && f == other
}

// texts are the filter's conditions beside dates and exclusions.
func (f *Filter) texts() []*string {
	return []*string{&f.Action, &f.ResourceType, &f.ResourceID, &f.UserID, &f.Search, &f.Resource.Type, &f.Resource.ID}
}
