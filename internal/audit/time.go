package audit

import (
	"errors"
	"strings"
	"time"
)

// TimeFormat is how the service writes every time: UTC, always six fraction digits.
const TimeFormat = "2006-01-02T15:04:05.000000Z"

// FormatTime writes t in [TimeFormat].
func FormatTime(t time.Time) string { return string(appendTime(make([]byte, 0, len(TimeFormat)), t)) }

// appendTime appends t in [TimeFormat]. Package time has a fast way for RFC 3339 alone, which
// knows no fixed number of fraction digits.
func appendTime(dst []byte, t time.Time) []byte {
	dst = t.UTC().AppendFormat(dst, time.RFC3339)
	micros := t.Nanosecond() / 1000
	dst[len(dst)-1] = '.' // was the Z
	for unit := 100_000; unit > 0; unit /= 10 {
		dst = append(dst, '0'+byte(micros/unit%10))
	}
	return append(dst, 'Z')
}

var errTime = errors.New("is not an RFC 3339 date and time such as 2026-11-23T06:05:00Z")

// ParseTime reads an RFC 3339 date and time: any offset up to 23:59, lower-case t and
// z, one to nine fraction digits, and a space where an unescaped + lost its sign in a
// query string. In UTC the years run from 0001 to 9999, so that every result can be
// stored. A leap second is read as the last second before it.
func ParseTime(text string) (time.Time, error) {
	if len(text) < len("2006-01-02T15:04:05Z") || len(text) > len("2006-01-02T15:04:05.000000000+00:00") {
		return time.Time{}, errTime
	}
	text = upperTZ.Replace(text)
	if sign := len(text) - len("+00:00"); text[sign] == ' ' {
		text = text[:sign] + "+" + text[sign+1:]
	}
	if strings.ContainsAny(text, ", ") || !clockRanges(text) {
		return time.Time{}, errTime
	}
	leap := text[17:19] == "60"
	if leap {
		text = text[:17] + "59" + text[19:]
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, errTime
	}
	t = t.UTC()
	if leap && (t.Second() != 59 || t.Minute() != 59 || t.Hour() != 23) {
		return time.Time{}, errTime
	}
	if t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, errTime
	}
	return t, nil
}

// upperTZ leaves all else alone: other letters may change their length with their case.
var upperTZ = strings.NewReplacer("t", "T", "z", "Z")

// clockRanges refuses what package time accepts beside RFC 3339: one-digit hours, more
// than nine fraction digits, and offsets out of range.
func clockRanges(text string) bool {
	if text[10] != 'T' || text[13] != ':' || text[16] != ':' {
		return false
	}
	if text[len(text)-1] == 'Z' {
		return len(text) <= len("2006-01-02T15:04:05.000000000Z")
	}
	offset := text[len(text)-len("+00:00"):]
	return (offset[0] == '+' || offset[0] == '-') && offset[1:3] <= "23" && offset[3] == ':' && offset[4:6] <= "59"
}

// earliest and latest round inward to the microseconds that are stored.
func earliest(t time.Time) time.Time {
	if floor := t.Truncate(time.Microsecond); floor.Before(t) {
		return floor.Add(time.Microsecond)
	}
	return t
}

func latest(t time.Time) time.Time { return t.Truncate(time.Microsecond) }
