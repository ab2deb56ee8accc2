package importer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"ocore.dev/audit/internal/audit"
)

// splitCSV reads a CSV export: a header of entries' property names in any order, then
// a row for each record, which becomes the JSON object that it was made from.
func splitCSV(content *bufio.Reader, found func(piece)) error {
	rows := rowReader{in: content, line: 1}
	header, err := rows.next()
	if err == nil {
		err = checkHeader(header)
	}
	if err != nil {
		return err
	}
	for {
		r, err := rows.next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		raw := bytes.TrimSuffix(bytes.TrimSuffix(r.raw, []byte("\n")), []byte("\r"))
		p := piece{place: strconv.Itoa(r.line), raw: raw, err: r.err}
		if p.err == nil {
			p.object, p.err = rowObject(header.cells, r.cells)
		}
		found(p)
	}
}

func checkHeader(header row) error {
	if header.err != nil {
		return fmt.Errorf("the header row %w", header.err)
	}
	for i, name := range header.cells {
		if !slices.Contains(audit.CSVColumns, name) {
			return fmt.Errorf("the header row has an unknown column %q", name)
		}
		if slices.Contains(header.cells[:i], name) {
			return fmt.Errorf("the header row has the column %q twice", name)
		}
	}
	return nil
}

// rowObject restores the JSON object of a row; an empty cell is an absent member.
func rowObject(header, cells []string) ([]byte, error) {
	if len(cells) != len(header) {
		return nil, fmt.Errorf("has %d cells, but the header row has %d", len(cells), len(header))
	}
	object := []byte{'{'}
	for i, name := range header {
		cell := audit.UnescapeCell(cells[i])
		if cell == "" {
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		object = audit.AppendString(object, name)
		object = append(object, ':')
		if name != "beforeState" && name != "afterState" {
			object = audit.AppendString(object, cell)
			continue
		}
		var err error
		if object, err = appendState(object, name, cell); err != nil {
			return nil, err
		}
	}
	return append(object, '}'), nil
}

// appendState validates a state by itself, so that no cell can add members to the record.
func appendState(object []byte, name, cell string) ([]byte, error) {
	if isAbsent([]byte(cell)) {
		return append(object, "null"...), nil
	}
	object, err := audit.CompactObject(object, []byte(cell), audit.MaxDepth)
	var fault *audit.JSONError
	if errors.As(err, &fault) {
		fault.Pointer = "/" + name + fault.Pointer
	}
	return object, err
}

// rowReader reads RFC 4180, with LF or CRLF between the rows, without changing a byte
// of a cell. (Package encoding/csv turns CRLF inside a cell into LF, which would alter
// evidence.) Lines without a character are passed over.
type rowReader struct {
	in   *bufio.Reader
	line int // of the next byte
}

type row struct {
	line  int // where it begins
	cells []string
	raw   []byte // with its line ending
	err   error  // what is wrong with it; then it ends with that line
}

// next returns the next row, or an error when there is none or it can't be read.
func (r *rowReader) next() (row, error) {
	for {
		next, err := r.read()
		if blank := string(next.raw); err != nil || blank != "\n" && blank != "\r\n" {
			return next, err
		}
	}
}

func (r *rowReader) read() (row, error) {
	p := rowParser{row: row{line: r.line}}
	for done := false; !done; {
		c, err := r.in.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) && len(p.raw) > 0 {
				p.end()
				break
			}
			return row{}, err
		}
		if c == '\n' {
			r.line++
		}
		p.raw = append(p.raw, c)
		done = p.step(c)
	}
	return p.row, nil
}

type rowState int

const (
	cellStart rowState = iota
	unquoted
	quoted
	quote // in a quoted cell: either its end or the first of two
	quoteCR
	broken // to the end of the line
)

// rowParser takes the bytes of one row.
type rowParser struct {
	row
	cell  []byte
	state rowState
}

// step reports whether the row is complete.
func (p *rowParser) step(c byte) (done bool) {
	switch {
	case p.state == broken:
		return c == '\n'
	case p.state == quoted && c == '"':
		p.state = quote
	case p.state == quoted, p.state == quote && c == '"':
		p.take(c, quoted)
	case c == '\n':
		if p.state == unquoted {
			p.cell = bytes.TrimSuffix(p.cell, []byte("\r"))
		}
		p.end()
		return true
	case p.state == quote && c == '\r':
		p.state = quoteCR
	case c == ',' && p.state != quoteCR:
		p.endCell()
	case p.state == quote, p.state == quoteCR:
		p.fail("has text after the closing quote of a cell")
	case c == '"' && p.state == cellStart:
		p.state = quoted
	case c == '"':
		p.fail("has a quote in a cell that does not begin with one")
	default:
		p.take(c, unquoted)
	}
	return false
}

func (p *rowParser) take(c byte, next rowState) {
	p.cell = append(p.cell, c)
	p.state = next
}

func (p *rowParser) endCell() {
	p.cells = append(p.cells, string(p.cell))
	p.cell = p.cell[:0]
	p.state = cellStart
}

func (p *rowParser) end() {
	if p.state == quoted {
		p.fail("has a quote that is never closed")
	}
	if p.state != broken {
		p.endCell()
	}
}

func (p *rowParser) fail(problem string) {
	p.err = errors.New(problem)
	p.state = broken
}
