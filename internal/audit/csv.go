package audit

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// CSVColumns is the header of a CSV export: the reference's twelve properties in its
// order, then ours.
var CSVColumns = []string{
	"action", "afterState", "beforeState", "createdAt", "id", "ipAddress", "resourceId", "resourceName",
	"resourceType", "userAgent", "userId", "userName",
	"position", "recordedBy", "occurredAt", "importedAt",
}

// AppendCSVHeader appends the header row, CRLF included (RFC 4180).
func AppendCSVHeader(dst []byte) []byte {
	return append(dst, strings.Join(CSVColumns, ",")+"\r\n"...)
}

// AppendCSV appends the entry as one CSV row, CRLF included. Strings are plain text,
// states compact JSON, absent members empty cells, and every cell that a spreadsheet
// would run as a formula is escaped as [EscapeCell] does.
func (r Row) AppendCSV(dst []byte) []byte {
	var cells [csvColumns][]byte
	eachValue(r.Text, func(key, raw []byte) {
		if at, shown := csvColumn[string(key[1:len(key)-1])]; shown && cells[at] == nil { // no column's name is ever escaped
			cells[at] = cellOf(raw)
		}
	})
	for i, column := range CSVColumns {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch column {
		case "position":
			dst = strconv.AppendInt(dst, r.Position, 10)
		case "createdAt":
			dst = appendTime(dst, r.CreatedAt)
		default:
			dst = appendCell(dst, cells[i])
		}
	}
	return append(dst, "\r\n"...)
}

const csvColumns = 16

// csvColumn is each column's place.
var csvColumn = func() map[string]int {
	places := make(map[string]int, csvColumns)
	for i, column := range CSVColumns {
		places[column] = i
	}
	return places
}()

// cellOf is a member's value as a cell holds it before any escaping.
func cellOf(raw []byte) []byte {
	switch {
	case raw[0] != '"':
		return raw
	case bytes.IndexByte(raw, '\\') < 0:
		return raw[1 : len(raw)-1]
	default:
		return []byte(unquote(raw))
	}
}

func appendCell(dst, cell []byte) []byte {
	escape := ""
	if isFormula(bytes.TrimLeft(cell, "'")) {
		escape = "'"
	}
	if !needsQuotes(cell) {
		return append(append(dst, escape...), cell...)
	}
	dst = append(append(dst, '"'), escape...)
	at := len(dst)
	dst = slices.Grow(dst, 2*len(cell)+1)[:at+2*len(cell)+1]
	for _, c := range cell { // states have a quote every few bytes, so looking for the next one doesn't pay
		dst[at], dst[at+1] = c, '"'
		if at++; c == '"' {
			at++
		}
	}
	dst[at] = '"'
	return dst[:at+1]
}

// needsQuotes looks for the likeliest first: each look is much faster than one for any.
func needsQuotes(cell []byte) bool {
	return bytes.IndexByte(cell, '"') >= 0 || bytes.IndexByte(cell, ',') >= 0 || bytes.IndexByte(cell, '\n') >= 0 || bytes.IndexByte(cell, '\r') >= 0
}

// EscapeCell puts an apostrophe before a cell that a spreadsheet would run as a formula
// (OWASP ASVS 5.0, 1.2.10). A cell that already begins with apostrophes before such a
// character gets one more, so that [UnescapeCell] restores every cell exactly.
func EscapeCell(cell string) string {
	if isFormula([]byte(strings.TrimLeft(cell, "'"))) {
		return "'" + cell
	}
	return cell
}

// UnescapeCell takes away the apostrophe that [EscapeCell] put there, and no other.
func UnescapeCell(cell string) string {
	if strings.HasPrefix(cell, "'") && isFormula([]byte(strings.TrimLeft(cell, "'"))) {
		return cell[1:]
	}
	return cell
}

func isFormula(cell []byte) bool {
	if len(cell) > 0 && (cell[0] >= 'a' && cell[0] <= 'z' || cell[0] == '{') {
		return false // nearly all of them
	}
	first, _ := utf8.DecodeRune(cell)
	return len(cell) > 0 && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first)
}
