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

// exportAnswer streams an export: while a chunk is written, the next one is read.
type exportAnswer struct {
	context context.Context
	export  *audit.Export
	first   []audit.Row
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
	next := make(chan readChunk, 1)
	read := func() { next <- a.readChunk(ctx) }
	buffer := a.form.open(nil)
	first := true
	for rows := a.first; len(rows) > 0; {
		go read()
		for _, row := range rows {
			buffer = a.form.row(buffer, row, first)
			first = false
		}
		err := a.send(w, buffer)
		if err != nil {
			cancel()
		}
		chunk := <-next // nothing is read any more when this returns
		if err == nil {
			err = chunk.err
		}
		if err != nil {
			return err
		}
		rows, buffer = chunk.rows, buffer[:0]
	}
	buffer = a.form.close(buffer, a.export)
	if a.proof != nil {
		var err error
		if buffer, err = a.proof.write(a.context, buffer, func(chunk []byte) error { return a.send(w, chunk) }); err != nil {
			return err
		}
	}
	return a.send(w, append(buffer, a.form.end...))
}

type readChunk struct {
	rows []audit.Row
	err  error
}

// readChunk runs beside the answer: its panic is this export's error, not the process's end.
func (a *exportAnswer) readChunk(ctx context.Context) (c readChunk) {
	defer func() {
		if broken := recover(); broken != nil {
			c.err = fmt.Errorf("panic: %v\n%s", broken, debug.Stack())
		}
	}()
	c.rows, c.err = a.export.Chunk(ctx)
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
