package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"ocore.dev/audit/gen/api"
	"ocore.dev/audit/internal/audit"
)

// defaultChunkTimeout is how long one chunk of an export may take to reach its reader. The
// whole may take as long as it moves.
const defaultChunkTimeout = 30 * time.Second

// exportForm is how one format frames and writes entries.
type exportForm struct {
	contentType string
	file        string
	open        func([]byte) []byte
	row         func(dst []byte, row audit.Row, first bool) []byte
	close       func(dst []byte, e *audit.Export) []byte
	end         string // after everything
}

var exportForms = map[string]exportForm{
	string(api.ExportFormatJSON): {
		contentType: "application/json",
		file:        "audit-logs.json",
		open:        func(dst []byte) []byte { return append(dst, `{"items":[`...) },
		row: func(dst []byte, row audit.Row, first bool) []byte {
			if !first {
				dst = append(dst, ',')
			}
			return row.AppendJSON(dst)
		},
		close: func(dst []byte, e *audit.Export) []byte {
			return appendNext(fmt.Appendf(dst, `],"total":%d`, e.Total), e.Next)
		},
		end: "}",
	},
	string(api.ExportFormatCsv): {
		contentType: "text/csv; charset=utf-8",
		file:        "audit-logs.csv",
		open:        audit.AppendCSVHeader,
		row:         func(dst []byte, row audit.Row, _ bool) []byte { return row.AppendCSV(dst) },
		close:       func(dst []byte, _ *audit.Export) []byte { return dst },
	},
}

// exportAnswer streams an export: while a chunk is sent, the next one is read.
type exportAnswer struct {
	context context.Context
	export  *audit.Export
	first   exportChunk
	begun   bool // an entry was read
	form    exportForm
	proof   *exportProof // nil: none was asked for
	next    string
	timeout time.Duration // of each chunk
}

// VisitExportAuditLogsResponse returns an error when the export breaks off; the error
// handler then cuts the connection, so that a cut export never looks complete.
func (a *exportAnswer) VisitExportAuditLogsResponse(w http.ResponseWriter) error {
	header := w.Header()
	header.Set("Content-Type", a.form.contentType)
	header.Set("Content-Disposition", `attachment; filename="`+a.form.file+`"`)
	header.Set("X-Total-Count", strconv.FormatInt(a.export.Total, 10))
	if a.export.Next != "" {
		header.Set("X-Truncated", "true")
		header.Set("Link", a.next)
	}
	w.WriteHeader(http.StatusOK)
	ctx, cancel := context.WithCancel(a.context)
	defer cancel()
	next := make(chan exportChunk, 1)
	chunk, spare := a.first, []byte(nil)
	for chunk.entries > 0 {
		go func() { next <- a.read(ctx, spare[:0]) }()
		err := a.send(w, chunk.text)
		if err != nil {
			cancel()
		}
		following := <-next // nothing is read any more when this returns
		if err == nil {
			err = following.err
		}
		if err != nil {
			return err
		}
		chunk, spare = following, chunk.text
	}
	buffer := a.form.close(chunk.text, a.export)
	if a.proof != nil {
		var err error
		if buffer, err = a.proof.write(a.context, buffer, func(chunk []byte) error { return a.send(w, chunk) }); err != nil {
			return err
		}
	}
	return a.send(w, append(buffer, a.form.end...))
}

// exportChunk is some entries as they will be sent.
type exportChunk struct {
	text    []byte
	entries int
	err     error
}

// read appends the next chunk to text. It runs beside the answer: its panic is this export's
// error, not the process's end.
func (a *exportAnswer) read(ctx context.Context, text []byte) (c exportChunk) {
	defer func() {
		if broken := recover(); broken != nil {
			c.err = fmt.Errorf("panic: %v\n%s", broken, debug.Stack())
		}
	}()
	c.entries, c.err = a.export.Chunk(ctx, func(row audit.Row) {
		text = a.form.row(text, row, !a.begun)
		a.begun = true
	})
	c.text = text
	return c
}

func (a *exportAnswer) send(w http.ResponseWriter, chunk []byte) error {
	control := http.NewResponseController(w)
	if err := control.SetWriteDeadline(time.Now().Add(a.timeout)); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if _, err := w.Write(chunk); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return control.Flush()
}
