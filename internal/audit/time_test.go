package audit_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/audit"
)

func TestParseTimeReadsRFC3339(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-11-23T06:05:00Z":                "2026-11-23T06:05:00Z",
		"2026-11-23t06:05:00z":                "2026-11-23T06:05:00Z",
		"2026-11-23T06:05:00+00:00":           "2026-11-23T06:05:00Z",
		"2026-11-23T06:05:00-00:00":           "2026-11-23T06:05:00Z",
		"2026-11-23T06:05:00+01:30":           "2026-11-23T04:35:00Z",
		"2026-11-23t06:05:00-11:00":           "2026-11-23T17:05:00Z",
		"2026-11-23T06:05:00+23:59":           "2026-11-22T06:06:00Z",
		"2026-11-23T06:05:00-23:59":           "2026-11-24T06:04:00Z",
		"2026-11-23T06:05:00 01:00":           "2026-11-23T05:05:00Z", // a + that a query string made a space
		"2026-11-23T06:05:00.5 01:00":         "2026-11-23T05:05:00.5Z",
		"2026-11-23T06:05:00.1Z":              "2026-11-23T06:05:00.1Z",
		"2026-11-23T06:05:00.12z":             "2026-11-23T06:05:00.12Z",
		"2026-11-23T06:05:00.123Z":            "2026-11-23T06:05:00.123Z",
		"2026-11-23T06:05:00.1234+01:00":      "2026-11-23T05:05:00.1234Z",
		"2026-11-23T06:05:00.12345Z":          "2026-11-23T06:05:00.12345Z",
		"2026-11-23T06:05:00.123456Z":         "2026-11-23T06:05:00.123456Z",
		"2026-11-23T06:05:00.1234567Z":        "2026-11-23T06:05:00.1234567Z",
		"2026-11-23T06:05:00.12345678Z":       "2026-11-23T06:05:00.12345678Z",
		"2026-11-23T06:05:00.123456789Z":      "2026-11-23T06:05:00.123456789Z",
		"2026-11-23T06:05:00.123456789+01:00": "2026-11-23T05:05:00.123456789Z",
		"2026-11-23T06:05:00.000000000Z":      "2026-11-23T06:05:00Z",
		"2024-02-29T00:00:00Z":                "2024-02-29T00:00:00Z",
		"2000-02-29T23:59:59Z":                "2000-02-29T23:59:59Z",
		"1970-01-01T00:00:00Z":                "1970-01-01T00:00:00Z",

		"2016-12-31T23:59:60Z":           "2016-12-31T23:59:59Z",
		"2016-12-31t23:59:60.75z":        "2016-12-31T23:59:59.75Z",
		"1990-12-31T15:59:60-08:00":      "1990-12-31T23:59:59Z",
		"2017-01-01T00:59:60 01:00":      "2016-12-31T23:59:59Z",
		"0001-01-01T00:00:00Z":           "0001-01-01T00:00:00Z",
		"0001-01-01T01:00:00+01:00":      "0001-01-01T00:00:00Z",
		"0000-12-31T23:30:00-01:00":      "0001-01-01T00:30:00Z",
		"9999-12-31T23:59:59.999999999Z": "9999-12-31T23:59:59.999999999Z",
		"9999-12-31T23:59:59+00:01":      "9999-12-31T23:58:59Z",
	} {
		got, err := audit.ParseTime(text)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("ParseTime(%q) = %v, %v; want %s", text, got, err, want)
		}
	}
}

func TestParseTimeRefusesAllElse(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "now", "2026-11-23", "2026-11-23T06:05Z", "2026-11-23T06:05:00", "1795413900", "06:05:00Z",
		"2026-11-23 06:05:00Z", "2026-11-23_06:05:00Z", "2026/11/23T06:05:00Z", "20261123T060500Z       ",
		"2026-11-23T6:05:00Z", "2026-11-23T6:05:00.0Z", "2026-11-23T06:5:00.0Z", "2026-11-23T06:05:0.00Z",
		"2026-1-023T06:05:00Z", "2026-11-3T06:05:00.0Z", "26-11-23T06:05:00.00Z", "+2026-11-23T06:05:00Z", "-026-11-23T06:05:00Z",
		"2026-00-23T06:05:00Z", "2026-13-23T06:05:00Z", "2026-11-00T06:05:00Z", "2026-11-31T06:05:00Z", "2025-02-29T06:05:00Z", "1900-02-29T00:00:00Z",
		"2026-11-23T24:00:00Z", "2026-11-23T25:00:00Z", "2026-11-23T06:60:00Z", "2026-11-23T06:05:61Z",
		"2026-11-23T06:05:60Z", "2026-11-23T22:59:60Z", "2016-12-31T23:59:60+01:00", // no minute that a leap second ends
		"2026-11-23T06:05:00,5Z", "2026-11-23T06:05:00.Z", "2026-11-23T06:05:00.+01:00", "2026-11-23T06:05:00.5", "2026-11-23T06:05:00.-5Z",
		"2026-11-23T06:05:00.1234567890Z", "2026-11-23T06:05:00.12345678901234Z", "2026-11-23T06:05:00.1234567890+01:00",
		"2026-11-23T06:05:00+24:00", "2026-11-23T06:05:00+01:60", "2026-11-23T06:05:00+99:99", "2026-11-23T06:05:00+0100", "2026-11-23T06:05:00+01",
		"2026-11-23T06:05:00+1:00", "2026-11-23T06:05:00  1:00", "2026-11-23T06:05:00 -1:00", "2026-11-23T06:05:00Z+01:00", "2026-11-23T06:05:00+01:00Z", "2026-11-23T06:05:00 CET  ",
		" 2026-11-23T06:05:00Z", "2026-11-23T06:05:00Z ", "2026-11-23T06:05:00Z\n", "2026-11-23T06:05:00\x00Z", "2026-11-23T06:05:00ZZ",
		"0000-01-01T00:00:00Z", "0000-12-31T23:59:59Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:60-00:01", "10000-01-01T00:00:00Z",
		"２０２６-11-23T06:05:00Z", "2026-11-23T06:05:00\xff", strings.Repeat("\xff", 25),
		strings.Repeat("ı", 10), // becomes shorter in upper case
		strings.Repeat("2", 1<<20),
	} {
		if got, err := audit.ParseTime(text); err == nil {
			t.Errorf("ParseTime(%.40q) = %v; want an error", text, got)
		}
	}
}

func TestFormatTimeAlwaysHasSixDigits(t *testing.T) {
	t.Parallel()
	for want, at := range map[string]time.Time{
		"2026-11-23T06:05:00.000000Z": time.Date(2026, 11, 23, 7, 5, 0, 0, time.FixedZone("", 3600)),
		"2026-11-23T06:05:00.123456Z": time.Date(2026, 11, 23, 6, 5, 0, 123456789, time.UTC),
		"0001-01-01T00:00:00.000000Z": {},
	} {
		if got := audit.FormatTime(at); got != want {
			t.Errorf("FormatTime(%v) = %s; want %s", at, got, want)
		}
	}
}

// instant reads a time that a test states; "" is none.
func instant(t *testing.T, text string) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC()
}

func TestBetweenIsInclusiveAndRoundsInward(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ start, end, from, to string }{
		{"", "", "", ""},
		{"2026-11-01T00:00:00Z", "", "2026-11-01T00:00:00Z", ""},
		{"", "2026-11-01T00:00:00Z", "", "2026-11-01T00:00:00Z"},
		{"2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"},
		{"2026-11-01T02:00:00 02:00", "2026-11-01T00:00:01z", "2026-11-01T00:00:00Z", "2026-11-01T00:00:01Z"},
		{"2026-11-01T00:00:00.000001Z", "2026-11-01T00:00:00.000001Z", "2026-11-01T00:00:00.000001Z", "2026-11-01T00:00:00.000001Z"},
		{"2026-11-01T00:00:00.0000001Z", "2026-11-01T00:00:00.0000019Z", "2026-11-01T00:00:00.000001Z", "2026-11-01T00:00:00.000001Z"},
		{"2026-11-01T00:00:00.999999001Z", "2026-11-01T00:00:01.999999999Z", "2026-11-01T00:00:01Z", "2026-11-01T00:00:01.999999Z"},
		{"1969-12-31T23:59:59.9999991Z", "1969-12-31T23:59:59.9999999Z", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z"},
		{"0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "", "9999-12-31T23:59:59.999999Z"},
	} {
		f, err := audit.Filter{Action: "a"}.Between(c.start, c.end)
		if err != nil || !f.From.Equal(instant(t, c.from)) || !f.To.Equal(instant(t, c.to)) || f.Action != "a" {
			t.Errorf("Between(%q, %q) = %+v, %v; want %s to %s", c.start, c.end, f, err, c.from, c.to)
		}
	}
}

func TestBetweenWithoutAnInstantIsEmptyAndNoError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ start, end string }{
		{"2026-11-01T00:00:00.0000004Z", "2026-11-01T00:00:00.0000006Z"},
		{"2026-11-01T00:00:00.0000005Z", "2026-11-01T00:00:00.0000005Z"},
		{"9999-12-31T23:59:59.9999991Z", ""}, // would begin in the year 10000
		{"9999-12-31T23:59:59.9999991Z", "9999-12-31T23:59:59.9999999Z"},
		{"", "0001-01-01T00:00:00Z"}, // the zero time, which must not become no filter
		{"", "0001-01-01T00:00:00.0000009Z"},
		{"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		f, err := audit.Filter{}.Between(c.start, c.end)
		if err != nil || !f.From.After(f.To) || f.From.Year() > 9999 || f.To.IsZero() {
			t.Errorf("Between(%q, %q) = %+v, %v; want an empty range", c.start, c.end, f, err)
		}
	}
}

func TestBetweenNamesTheParameterAtFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ start, end, parameter string }{
		{"2026-11-01T00:00:01Z", "2026-11-01T00:00:00Z", "start_date"},
		{"2026-11-01T00:00:00.000000002Z", "2026-11-01T00:00:00.000000001Z", "start_date"},
		{"2026-11-01T00:00:00.0000015Z", "2026-11-01T00:00:00.0000014Z", "start_date"},
		{"2026-11-01T00:00:00-01:00", "2026-11-01T00:59:59Z", "start_date"},
		{"9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.9999998Z", "start_date"},
		{"0001-01-01T00:00:01Z", "0001-01-01T00:00:00Z", "start_date"},
		{"yesterday", "", "start_date"},
		{"", "0000-01-01T00:00:00Z", "end_date"},
		{"2026-11-01T00:00:00Z", "2026-11-31T00:00:00Z", "end_date"},
	} {
		_, err := audit.Filter{}.Between(c.start, c.end)
		var r *audit.Rejection
		if !errors.As(err, &r) || !errors.Is(err, audit.ErrMalformed) || r.Parameter != c.parameter {
			t.Errorf("Between(%q, %q) = %v; want %s at fault", c.start, c.end, err, c.parameter)
		}
	}
}

// The grammar of RFC 3339 but for the leap second, and with our space for a plus.
var grammar = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+ -]([01]\d|2[0-3]):[0-5]\d)$`)

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{
		"2026-11-23T06:05:00Z", "2026-11-23t06:05:00.123456789 01:00", "2016-12-31T23:59:60Z", "0000-12-31T23:30:00-01:00",
		"2026-11-23T06:05:00,5Z", "2026-11-23T6:05:00.0Z", "2026-11-23T06:05:00+24:00", strings.Repeat("ı", 10), "9999-12-31T23:59:59.9999999Z",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := audit.ParseTime(text)
		fits := grammar.MatchString(text)
		if err == nil && (!fits || got.Location() != time.UTC || got.Year() < 1 || got.Year() > 9999) {
			t.Fatalf("ParseTime(%q) = %v", text, got)
		}
		if !fits {
			return
		}
		plain := text[:11] + strings.Replace(text[11:], " ", "+", 1)
		want, wantErr := time.Parse(time.RFC3339Nano, strings.ToUpper(plain))
		storable := wantErr == nil && want.UTC().Year() >= 1 && want.UTC().Year() <= 9999
		leap := text[17:19] == "60"
		if !leap && (storable != (err == nil) || err == nil && !got.Equal(want)) {
			t.Fatalf("ParseTime(%q) = %v, %v; package time says %v, %v", text, got, err, want, wantErr)
		}
		if bounded, err := (audit.Filter{}).Between(text, text); storable && (err != nil || bounded.From.Year() > 9999) {
			t.Fatalf("Between(%q) = %+v, %v", text, bounded, err)
		}
	})
}
