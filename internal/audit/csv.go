package audit

import (
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
	cells := map[string]string{
		"position":  strconv.FormatInt(r.Position, 10),
		"createdAt": FormatTime(r.CreatedAt),
	}
	for _, m := range members(r.Text) {
		if m.raw[0] == '"' {
			cells[m.name] = unquote(m.raw)
		} else {
			cells[m.name] = string(m.raw)
		}
	}
	for i, column := range CSVColumns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCell(dst, EscapeCell(cells[column]))
	}
	return append(dst, "\r\n"...)
}

func appendCell(dst []byte, cell string) []byte {
	if !strings.ContainsAny(cell, "\",\r\n") {
		return append(dst, cell...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(cell, `"`, `""`)...)
	return append(dst, '"')
}

// EscapeCell puts an apostrophe before a cell that a spreadsheet would run as a formula
// (OWASP ASVS 5.0, 1.2.10). A cell that already begins with apostrophes before such a
// character gets one more, so that [UnescapeCell] restores every cell exactly.
func EscapeCell(cell string) string {
	if isFormula(strings.TrimLeft(cell, "'")) {
		return "'" + cell
	}
	return cell
}

// UnescapeCell takes away the apostrophe that [EscapeCell] put there, and no other.
func UnescapeCell(cell string) string {
	if strings.HasPrefix(cell, "'") && isFormula(strings.TrimLeft(cell, "'")) {
		return cell[1:]
	}
	return cell
}

func isFormula(cell string) bool {
	first, _ := utf8.DecodeRuneInString(cell)
	return cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first)
}
