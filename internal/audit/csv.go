package audit

import (
	"bytes"
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
	found := members(r.Text)
	for i, column := range CSVColumns {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch column {
		case "position":
			dst = strconv.AppendInt(dst, r.Position, 10)
		case "createdAt":
			dst = r.CreatedAt.UTC().AppendFormat(dst, TimeFormat)
		default:
			dst = appendCell(dst, cellOf(found, column))
		}
	}
	return append(dst, "\r\n"...)
}

// cellOf is a member as a cell holds it before any escaping, nil where it is absent.
func cellOf(found []member, name string) []byte {
	for _, m := range found {
		switch {
		case m.name != name:
		case m.raw[0] != '"':
			return m.raw
		case bytes.IndexByte(m.raw, '\\') < 0:
			return m.raw[1 : len(m.raw)-1]
		default:
			return []byte(unquote(m.raw))
		}
	}
	return nil
}

func appendCell(dst, cell []byte) []byte {
	escape := ""
	if isFormula(bytes.TrimLeft(cell, "'")) {
		escape = "'"
	}
	if !bytes.ContainsAny(cell, "\",\r\n") {
		return append(append(dst, escape...), cell...)
	}
	dst = append(append(dst, '"'), escape...)
	for {
		quote := bytes.IndexByte(cell, '"') + 1
		if quote == 0 {
			return append(append(dst, cell...), '"')
		}
		dst = append(append(dst, cell[:quote]...), '"')
		cell = cell[quote:]
	}
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
	first, _ := utf8.DecodeRune(cell)
	return len(cell) > 0 && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first)
}
