package audit

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// The schema of the parameter `cursor` and of the members `nextCursor` in openapi.yaml.
const longestCursor = 8192

func fullCursor() cursor {
	return cursor{
		Organization: "acme", Size: 500, Before: 300, Given: 40,
		Filter: Filter{
			Action: "server.updated", ResourceType: "server", ResourceID: "<é\n\"😀>", UserID: "u",
			From:     time.Date(2026, 11, 23, 6, 5, 0, 1000, time.UTC),
			To:       time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
			Resource: ResourceKey{Type: "server", ID: "\x01"}, ExcludeAction: NewValues("auth.login", "é", "aa"), ExcludeUserID: NewValues("\n\n"),
		},
	}
}

func TestCursorComesBackWhole(t *testing.T) {
	t.Parallel()
	searching := cursor{Organization: AdminOrganization, Filter: Filter{Search: "Quota", Action: "a"}}
	for _, c := range []cursor{
		fullCursor(), searching,
		{Organization: "acme"},
		{Organization: "acme", Size: math.MaxInt64, Before: math.MaxInt64, Given: math.MaxInt64},
		{Organization: "acme", Size: 1, Filter: Filter{From: lastTime, To: firstTime}},
	} {
		for _, beside := range []Filter{{}, {Resource: c.Filter.Resource}, c.Filter} {
			got, err := decodeCursor(c.encode(), c.Organization, beside)
			if err != nil || got != c {
				t.Errorf("%+v came back as %+v, %v", c, got, err)
			}
		}
	}
}

func TestCursorGoesBesideItsOwnFilterAlone(t *testing.T) {
	t.Parallel()
	c := fullCursor()
	text := c.encode()
	elsewhere := c.Filter
	elsewhere.From = elsewhere.From.In(time.FixedZone("", 3600))
	if _, err := decodeCursor(text, "acme", elsewhere); err != nil {
		t.Errorf("the same filter with another time zone: %v", err)
	}
	for name, change := range map[string]func(*Filter){
		"action":        func(f *Filter) { f.Action = "server.created" },
		"resource type": func(f *Filter) { f.ResourceType = "" },
		"resource id":   func(f *Filter) { f.ResourceID += " " },
		"user":          func(f *Filter) { f.UserID = "U" },
		"search":        func(f *Filter) { f.Search = "x" },
		"start":         func(f *Filter) { f.From = f.From.Add(time.Microsecond) },
		"no end":        func(f *Filter) { f.To = time.Time{} },
		"path":          func(f *Filter) { f.Resource.ID = "b" },
		"path alone":    func(f *Filter) { *f = Filter{Resource: ResourceKey{Type: "server", ID: "b"}} },
		"no path":       func(f *Filter) { f.Resource = ResourceKey{} },
		"exclusion":     func(f *Filter) { f.ExcludeAction = NewValues("auth.login", "é") },
		"no exclusion":  func(f *Filter) { f.ExcludeUserID = "" },
		"one more":      func(f *Filter) { f.ExcludeResourceID = NewValues("x") },
	} {
		other := c.Filter
		change(&other)
		_, err := decodeCursor(text, "acme", other)
		var r *Rejection
		if !errors.As(err, &r) || !errors.Is(err, ErrMalformed) || r.Parameter != "cursor" {
			t.Errorf("beside another %s: %v", name, err)
		}
	}
}

func TestCursorsOfNobodysMakingAreRefused(t *testing.T) {
	t.Parallel()
	c := fullCursor()
	other := func(change func(*cursor)) string {
		changed := c
		change(&changed)
		return changed.encode()
	}
	plain, err := base64.RawURLEncoding.DecodeString(c.encode())
	if err != nil {
		t.Fatal(err)
	}
	edited := func(old, replaced string) string {
		if !strings.Contains(string(plain), old) {
			t.Fatalf("%q is not in %q", old, plain)
		}
		return base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(plain), old, replaced, 1)))
	}
	for name, text := range map[string]string{
		"nothing":                  "",
		"no base64":                "!",
		"cut":                      c.encode()[:20],
		"one character less":       c.encode()[:len(c.encode())-1],
		"one character more":       c.encode() + "A",
		"padding":                  c.encode() + "=",
		"a line break":             c.encode()[:8] + "\n" + c.encode()[8:],
		"standard base64":          base64.StdEncoding.EncodeToString(plain),
		"JSON":                     base64.RawURLEncoding.EncodeToString([]byte(`{"v":1,"o":"acme","s":1,"b":1}`)),
		"another organization":     other(func(c *cursor) { c.Organization = "acme2" }),
		"the admin trail":          other(func(c *cursor) { c.Organization = AdminOrganization }),
		"a search":                 other(func(c *cursor) { c.Filter.Search = "secret" }), // counts what the admin trail holds
		"below zero":               other(func(c *cursor) { c.Before = -1 }),
		"above the size":           other(func(c *cursor) { c.Before = c.Size + 1 }),
		"less than none given":     other(func(c *cursor) { c.Given = -1 }),
		"more given than exist":    other(func(c *cursor) { c.Given = c.Size + 1 }),
		"a negative size":          other(func(c *cursor) { c.Size, c.Before, c.Given = -1, -1, -1 }),
		"a NUL in a value":         other(func(c *cursor) { c.Filter.Action = "a\x00b" }),
		"invalid UTF-8":            other(func(c *cursor) { c.Filter.Action = "a\xff" }),
		"another version":          edited("1\x00acme", "2\x00acme"),
		"a number above int64":     edited("\x00500\x00", "\x009223372036854775808\x00"),
		"a huge number":            edited("\x00500\x00", "\x00"+strings.Repeat("9", 4000)+"\x00"),
		"a sign":                   edited("\x00500\x00", "\x00+500\x00"),
		"a leading zero":           edited("\x00500\x00", "\x000500\x00"),
		"a fraction":               edited("\x00500\x00", "\x00500.0\x00"),
		"no number":                edited("\x00500\x00", "\x00\x00"),
		"another form of a date":   edited("06:05:00.000001Z", "06:05:00.0000010Z"),
		"an offset":                edited("06:05:00.000001Z", "06:05:00.000001+00:00"),
		"no date":                  edited("2026-11-23", "2026-11-32"),
		"a year that isn't stored": edited("9999-12-31T23", "0000-12-31T23"),
		"a value less":             edited("\x00server.updated", ""),
		"a value more":             edited("\x00server.updated", "\x00server.updated\x00x"),
		"an exclusion of nothing":  edited("\x00aaa", "\x00a"),
		"an exclusion twice":       edited("\x00aaa", "\x00aaa\x00aaa"),
		"exclusions out of order":  edited("\x00aaa\x00aauth.login", "\x00aauth.login\x00aaa"),
		"an exclusion unknown":     edited("\x00aaa", "\x00xaa"),
		"an exclusion elsewhere":   other(func(c *cursor) { c.Filter.ExcludeAction = "a\x00\x00b" }),
	} {
		if got, err := decodeCursor(text, "acme", Filter{}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Cursors continue walks that found something, so that no value in them is longer than an
// entry's: the bounds are bytes, whatever the characters.
func TestTheLongestCursorIsWithinItsBound(t *testing.T) {
	t.Parallel()
	for _, character := range []string{"a", "\x01", "<", `"`, "é", "\u2028", "😀"} {
		filled := func(length int) string { return strings.Repeat(character, length/len(character)) }
		longest := cursor{Organization: strings.Repeat("o", 64), Size: math.MaxInt64, Before: math.MaxInt64, Given: math.MaxInt64}
		longest.Filter = Filter{
			Action: filled(200), ResourceType: filled(100), ResourceID: filled(1024), UserID: filled(512),
			Resource: ResourceKey{Type: filled(100), ID: filled(1024)}, From: lastTime, To: lastTime,
			ExcludeAction: ten(filled, 50), ExcludeResourceType: ten(filled, 50), ExcludeResourceID: ten(filled, 54), ExcludeUserID: ten(filled, 50),
		}
		if err := longest.Filter.CheckExcluded(); err != nil {
			t.Errorf("of %q: %v", character, err)
		}
		searching := longest
		searching.Filter = Filter{Action: filled(200), Search: strings.Repeat("😀", 256)}
		for _, c := range []cursor{longest, searching} {
			if length := len(c.encode()); length > longestCursor {
				t.Errorf("of %q: a cursor of %d characters", character, length)
			}
		}
		if character == "a" {
			t.Logf("the longest cursor has %d characters", len(longest.encode()))
		}
	}
}

// ten are as many values as a parameter takes.
func ten(filled func(int) string, length int) Values {
	var values []string
	for i := range 10 {
		values = append(values, filled(length-1)+strconv.Itoa(i))
	}
	return NewValues(values...)
}

func FuzzCursor(f *testing.F) {
	f.Add(fullCursor().encode(), "")
	f.Add(cursor{Organization: "acme"}.encode(), "a")
	f.Add(cursor{Organization: "acme", Filter: Filter{Search: "x"}}.encode(), "")
	f.Add("", "")
	f.Add(cursor{Organization: "acme", Filter: Filter{ExcludeAction: NewValues("a", "b"), ExcludeResourceType: NewValues("t")}}.encode(), "")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte("1\x00acme\x001\x001\x000"+strings.Repeat("\x00", 9))), "")
	f.Fuzz(func(t *testing.T, text, action string) {
		// The fuzzer can't see through base64, so it gets the plain form too.
		for _, sent := range []string{text, base64.RawURLEncoding.EncodeToString([]byte(text))} {
			c, err := decodeCursor(sent, "acme", Filter{Action: action})
			if err != nil {
				if !errors.Is(err, ErrMalformed) {
					t.Fatal(err)
				}
				continue
			}
			usable := c.Organization == "acme" && c.Filter.Search == "" && 0 <= c.Before && c.Before <= c.Size && 0 <= c.Given && c.Given <= c.Size
			for _, value := range c.Filter.texts() {
				usable = usable && utf8.ValidString(*value) && strings.IndexByte(*value, 0) < 0
			}
			for _, term := range c.Filter.Excluded() {
				usable = usable && utf8.ValidString(term.Value) && term.Value != ""
			}
			if _, err := json.Marshal(c.Filter); err != nil || !usable || c.encode() != sent {
				t.Fatalf("accepted %+v", c)
			}
		}
	})
}
