package httpapi

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"sync"

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

// body is a list as it will be sent, which its entries are written to while they are read.
// Its memory is used again, as it would be most of what the service allocates.
type body struct {
	text    []byte
	entries int
}

const (
	bodySize     = 64 << 10  // of a new one
	maxFreedSize = 256 << 10 // of one that is used again
)

var bodies = sync.Pool{New: func() any { return &body{text: make([]byte, 0, bodySize)} }}

func newBody(open string) *body {
	b := bodies.Get().(*body)
	b.text, b.entries = append(b.text[:0], open...), 0
	return b
}

func (b *body) add(row audit.Row) {
	if b.entries > 0 {
		b.text = append(b.text, ',')
	}
	b.entries++
	b.text = row.AppendJSON(b.text)
}

// free gives the memory back; nothing may use the body any more.
func (b *body) free() {
	if cap(b.text) <= maxFreedSize {
		bodies.Put(b)
	}
}

// send writes the body, which a list ends, and frees it.
func (b *body) send(w http.ResponseWriter, list audit.List, next string) error {
	setLink(w, next)
	b.text = append(appendNext(b.text, list.Next), '}')
	defer b.free()
	return writeJSON(w, http.StatusOK, b.text)
}

type listAnswer struct {
	body *body
	list audit.List
	next string
}

func (a *listAnswer) write(w http.ResponseWriter) error {
	text := appendNumber(append(a.body.text, ']'), "page", a.list.Page)
	text = appendNumber(text, "perPage", a.list.PerPage)
	a.body.text = appendNumber(text, "total", a.list.Total)
	return a.body.send(w, a.list, a.next)
}

func (a *listAnswer) VisitListAuditLogsResponse(w http.ResponseWriter) error { return a.write(w) }

func (a *listAnswer) VisitListResourceAuditLogsResponse(w http.ResponseWriter) error {
	return a.write(w)
}

type adminListAnswer struct {
	body *body
	list audit.List
	next string
}

func (a *adminListAnswer) VisitListAdminAuditLogsResponse(w http.ResponseWriter) error {
	a.body.text = appendNumber(append(a.body.text, ']'), "total", a.list.Total)
	return a.body.send(w, a.list, a.next)
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
	body := append(make([]byte, 0, 32+256*len(a.receipts)), `{"items":[`...)
	replayed := true
	for i, r := range a.receipts {
		if i > 0 {
			body = append(body, ',')
		}
		body = audit.AppendString(append(body, `{"id":`...), r.ID)
		body = strconv.AppendInt(append(body, `,"position":`...), r.Row.Position, 10)
		body = r.Row.CreatedAt.UTC().AppendFormat(append(body, `,"createdAt":"`...), audit.TimeFormat)
		body = base64.StdEncoding.AppendEncode(append(body, `","leafHash":"`...), r.LeafHash)
		body = append(strconv.AppendBool(append(body, `","existing":`...), r.Existing), '}')
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
