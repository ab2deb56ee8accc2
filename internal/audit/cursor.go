package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
)

// cursor continues a walk. It carries the filter and the state of the trail that the
// walk began with, so that pages never shift under new entries, and it gives no
// authority: the organization is checked against the token's.
type cursor struct {
	Version      int    `json:"v"`
	Organization string `json:"o"`
	Filter       Filter `json:"f"`
	Size         int64  `json:"s"` // of the trail when the walk began
	Before       int64  `json:"b"` // the walk goes on below this position
	Given        int64  `json:"n"` // items handed out so far
}

const cursorVersion = 1

func (c cursor) encode() string {
	c.Version = cursorVersion
	text, err := json.Marshal(c)
	if err != nil {
		return "" // unreachable: strings, integers and times of years 1 to 9999 encode
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// decodeCursor reads a cursor of the organization. filter is what stands beside it in
// the same request: nothing, or the cursor's own.
func decodeCursor(text, organization string, filter Filter) (cursor, error) {
	var c cursor
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return c, errCursor
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil || decoder.More() || c.Version != cursorVersion {
		return c, errCursor
	}
	if c.Organization != organization || c.Before < 0 || c.Before > c.Size || c.Given < 0 || c.Given > c.Size {
		return c, errCursor
	}
	if !validDate(c.Filter.From) || !validDate(c.Filter.To) || !validText(c.Filter.values()) {
		return c, errCursor
	}
	if filter != (Filter{}) && !filter.equal(c.Filter) {
		return c, BadParameter("cursor", "the cursor continues another filter; send it alone, or with the filter it came from")
	}
	return c, nil
}

var errCursor = BadParameter("cursor", "the cursor is not one of this organization's; begin again without it")

func (f Filter) equal(other Filter) bool {
	dates := f.From.Equal(other.From) && f.To.Equal(other.To)
	f.From, f.To = other.From, other.To
	return dates && f == other
}

func (f Filter) values() string {
	return f.Action + f.ResourceType + f.ResourceID + f.UserID + f.Search + f.Resource.Type + f.Resource.ID
}
