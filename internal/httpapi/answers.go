package httpapi

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"ocore.dev/audit/internal/audit"
)

// The answers implement the generated Visit methods, so that stored bytes go out as
// they are instead of through structs and an encoder.

// jsonType is shared by all answers: nobody changes a header's values in place.
var jsonType = []string{"application/json"}

func writeJSON(w http.ResponseWriter, status int, body []byte) error {
	w.Header()["Content-Type"] = jsonType
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}

// nextLink is the target of rel="next", or "" on the last page. It repeats what shapes
// the page, if it was sent: names and values in turn; the cursor carries the filter. None
// of it needs escaping: a cursor is base64url, a value a number, a format or a yes.
func nextLink(path, cursor string, parameters ...string) string {
	if cursor == "" {
		return ""
	}
	link := "<" + path + "?cursor=" + cursor
	for pair := range slices.Chunk(parameters, 2) {
		if value := pair[1]; value != "" && value != "0" {
			link += "&" + pair[0] + "=" + value
		}
	}
	return link + `>; rel="next"`
}

func setLink(w http.ResponseWriter, next string) {
	if next != "" {
		w.Header().Set("Link", next)
	}
}

func appendRows(dst []byte, rows []audit.Row) []byte {
	for i, row := range rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = row.AppendJSON(dst)
	}
	return dst
}

func appendNext(dst []byte, cursor string) []byte {
	if cursor == "" {
		return dst
	}
	dst = append(append(dst, `,"nextCursor":"`...), cursor...) // base64url: nothing to escape
	return append(dst, '"')
}

func appendNumber(dst []byte, name string, value int64) []byte {
	dst = append(append(dst, `,"`...), name...)
	return strconv.AppendInt(append(dst, `":`...), value, 10)
}

// rowsSize is enough for the rows' text and what is appended to each.
func rowsSize(rows []audit.Row) int {
	size := 256
	for _, row := range rows {
		size += len(row.Text) + 80
	}
	return size
}

type listAnswer struct {
	list audit.List
	next string
}

func (a *listAnswer) write(w http.ResponseWriter) error {
	body := append(make([]byte, 0, rowsSize(a.list.Rows)), `{"items":[`...)
	body = appendRows(body, a.list.Rows)
	body = appendNumber(append(body, ']'), "page", a.list.Page)
	body = appendNumber(body, "perPage", a.list.PerPage)
	body = appendNumber(body, "total", a.list.Total)
	setLink(w, a.next)
	return writeJSON(w, http.StatusOK, append(appendNext(body, a.list.Next), '}'))
}

func (a *listAnswer) VisitListAuditLogsResponse(w http.ResponseWriter) error { return a.write(w) }

func (a *listAnswer) VisitListResourceAuditLogsResponse(w http.ResponseWriter) error {
	return a.write(w)
}

type adminListAnswer struct {
	list audit.List
	next string
}

func (a *adminListAnswer) VisitListAdminAuditLogsResponse(w http.ResponseWriter) error {
	body := append(make([]byte, 0, rowsSize(a.list.Rows)), `{"logs":[`...)
	body = appendRows(body, a.list.Rows)
	body = appendNumber(append(body, ']'), "total", a.list.Total)
	setLink(w, a.next)
	return writeJSON(w, http.StatusOK, append(appendNext(body, a.list.Next), '}'))
}

type entryAnswer struct{ row audit.Row }

func (a *entryAnswer) VisitGetAuditLogResponse(w http.ResponseWriter) error {
	return writeJSON(w, http.StatusOK, a.row.AppendJSON(nil))
}

type recordedAnswer struct{ receipt audit.Receipt }

func (a *recordedAnswer) write(w http.ResponseWriter) error {
	setReplayed(w, a.receipt.Existing)
	return writeJSON(w, http.StatusCreated, a.receipt.AppendJSON(nil))
}

func (a *recordedAnswer) VisitCreateAuditLogResponse(w http.ResponseWriter) error { return a.write(w) }

func (a *recordedAnswer) VisitCreateAdminAuditLogResponse(w http.ResponseWriter) error {
	return a.write(w)
}

type receiptsAnswer struct{ receipts []audit.Receipt }

func (a *receiptsAnswer) VisitCreateAuditLogBatchResponse(w http.ResponseWriter) error {
	body := []byte(`{"items":[`)
	replayed := true
	for i, r := range a.receipts {
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"id":%q,"position":%d,"createdAt":%q,"leafHash":"%s","existing":%t}`,
			r.ID, r.Row.Position, audit.FormatTime(r.Row.CreatedAt), base64.StdEncoding.EncodeToString(r.LeafHash), r.Existing)
		replayed = replayed && r.Existing
	}
	setReplayed(w, replayed)
	return writeJSON(w, http.StatusCreated, append(body, `]}`...))
}

// setReplayed says that nothing was written, because everything was known.
func setReplayed(w http.ResponseWriter, replayed bool) {
	if replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
}
