package importer

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"ocore.dev/audit/internal/audit"
)

// allRows reads rows up to the first bad one.
func allRows(text string) (all [][]string, err error) {
	r := rowReader{in: bufio.NewReader(strings.NewReader(text)), line: 1}
	for {
		next, err := r.next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err = errors.Join(err, next.err); err != nil {
			return all, err
		}
		all = append(all, next.cells)
	}
}

func TestRowsKeepEveryByte(t *testing.T) {
	for text, want := range map[string][]string{
		"a,b\r\n":                   {"a", "b"},
		"a,b":                       {"a", "b"},
		"\r\n\n,\n":                 {"", ""},
		"\"a\r\nb\",\"c\nd\"\r\n":   {"a\r\nb", "c\nd"},
		"\"\r\",\"\"\"\"\n":         {"\r", `"`},
		"a\rb,\r\r\n":               {"a\rb", "\r"},
		"\"\"\r\n":                  {""},
		" \"\xff,\x00\n":            nil,
		"\"a\"\rb\n":                nil,
		"\"a\"\r,b\n":               nil,
		"\xff, \x00'\n":             {"\xff", " \x00'"},
		"\"a\"\"b\"\"\",\"\",\"x\"": {`a"b"`, "", "x"},
	} {
		got, err := allRows(text)
		if want == nil {
			if err == nil {
				t.Errorf("%q: read %q", text, got)
			}
		} else if err != nil || len(got) != 1 || !slices.Equal(got[0], want) {
			t.Errorf("%q: read %q, %v", text, got, err)
		}
	}
}

// FuzzRows holds the reader against encoding/csv, which differs in carriage returns only.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{"a,b\nc,\"d\ne\"\"\"\n", "\"a\"b\n", "a\"\n", "\n\n,\n\"", "\"\",\"", "a,\"b\"\n\"c\",d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(text, "\r", "")
		reference := csv.NewReader(strings.NewReader(text))
		reference.FieldsPerRecord = -1
		var want [][]string
		var wantErr error
		for {
			cells, err := reference.Read()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					wantErr = err
				}
				break
			}
			want = append(want, cells)
		}
		got, err := allRows(text)
		if (err == nil) != (wantErr == nil) || !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("read %q, %v\nwant %q, %v", got, err, want, wantErr)
		}
	})
}

func FuzzReadCSV(f *testing.F) {
	f.Add("action,resourceType,createdAt\na,\"t\"\"\r\n\",2026-11-23T06:05:00Z\n")
	f.Add("\ufeffid,action,afterState,resourceType,createdAt\n1,'=a,\"{\"\"a\"\":1}\",t,2026-11-23T06:05:00Z\r\n")
	f.Add(string(audit.AppendCSVHeader(nil)) + "\"a")
	f.Fuzz(func(t *testing.T, text string) {
		admitsAll(t, OCore, text)
		admitsAll(t, OCore, string(audit.AppendCSVHeader(nil))+text)
	})
}
