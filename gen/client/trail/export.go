package trail

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"

	"ocore.dev/audit/gen/client"
)

// Format is a form of exports.
type Format = client.ExportFormat

// The formats of exports. JSON loses nothing; CSV opens in a spreadsheet, and has an
// apostrophe before each cell that one would run as a formula.
const (
	JSON = client.ExportFormatJSON
	CSV  = client.ExportFormatCsv
)

// Export is one answer of the service's export, to be read to its end and closed. Reading
// fails with an error other than io.EOF when the answer was cut: what was read up to io.EOF
// is whole.
type Export struct {
	io.ReadCloser
	Total     int64 // how many entries match
	Truncated bool  // there are more than this answer holds, which is up to 10,000

	link string
}

// Export begins an export of the entries that match, newest first, all from one state of the
// trail. Its bytes are those that the service sends, as they come. The attempts and their
// time-out concern its beginning; ctx holds to its end. Each attempt may leave a record in the
// platform's admin trail.
func (c *Client) Export(ctx context.Context, f Filter, format Format) (*Export, error) {
	return c.export(ctx, exportParams(f, format))
}

// ExportWithProof is Export in JSON, with what proves every entry of it to whoever has the keys
// ("ocore-audit verify export", docs/format.md). Where the service can't prove, it is an
// [ErrUnavailable].
func (c *Client) ExportWithProof(ctx context.Context, f Filter) (*Export, error) {
	p := exportParams(f, JSON)
	p.WithProof = optional(true)
	return c.export(ctx, p)
}

func exportParams(f Filter, format Format) *client.ExportAuditLogsParams {
	return &client.ExportAuditLogsParams{
		Format: &format, ResourceType: optional(f.ResourceType), ResourceID: optional(f.ResourceID),
		Action: optional(f.Action), UserID: optional(f.UserID),
		ExcludeResourceType: optionalList(f.ExcludeResourceType), ExcludeResourceID: optionalList(f.ExcludeResourceID),
		ExcludeAction: optionalList(f.ExcludeAction), ExcludeUserID: optionalList(f.ExcludeUserID),
		StartDate: optional(moment(f.Start)), EndDate: optional(moment(f.End)),
	}
}

func (c *Client) export(ctx context.Context, p *client.ExportAuditLogsParams) (*Export, error) {
	var export *Export
	err := c.send(ctx, http.StatusOK, func() (*http.Request, error) {
		return client.NewExportAuditLogsRequest(c.base, p)
	}, func(response *http.Response) (err error) {
		if export, err = newExport(response); err != nil {
			response.Body.Close()
		}
		return err
	})
	return export, err
}

func newExport(response *http.Response) (*Export, error) {
	if !framed(response) {
		return nil, errors.New("the answer's end can't be told from a cut, because it has neither a length nor chunks: a proxy in between must speak HTTP/1.1")
	}
	total, err := strconv.ParseInt(response.Header.Get("X-Total-Count"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the answer has no X-Total-Count: %w", err)
	}
	return &Export{
		ReadCloser: response.Body, Total: total, Truncated: response.Header.Get("X-Truncated") == "true", link: response.Header.Get("Link"),
	}, nil
}

// framed reports whether the end of the answer is marked, so that package http makes an
// error of a cut.
func framed(r *http.Response) bool {
	return r.ProtoMajor > 1 || r.ContentLength >= 0 || len(r.TransferEncoding) > 0 || r.Uncompressed
}

// ExportAll writes all entries that match, newest first, as one document: it follows exports
// that are truncated to the end, each of which is recorded in the platform's admin trail. The
// entries' bytes are those that the service sent. One entry is in memory at a time. What is
// in to after an error isn't whole.
func (c *Client) ExportAll(ctx context.Context, f Filter, format Format, to io.Writer) error {
	out := bufio.NewWriter(to)
	all, err := newJoined(format, out)
	if err != nil {
		return err
	}
	return c.exportAll(ctx, exportParams(f, format), all, out)
}

// ExportAllWithProof is ExportAll in JSON, with what proves every entry: a bundle for each part.
// The bundles wait in a temporary file for the entries, which come first.
func (c *Client) ExportAllWithProof(ctx context.Context, f Filter, to io.Writer) error {
	proofs, err := os.CreateTemp("", "ocore-audit-proofs-*")
	if err != nil {
		return fmt.Errorf("trail: %w", err)
	}
	defer os.Remove(proofs.Name())
	defer proofs.Close()
	p := exportParams(f, JSON)
	p.WithProof = optional(true)
	out := bufio.NewWriter(to)
	return c.exportAll(ctx, p, &joinedJSON{out: out, proofs: proofs}, out)
}

func (c *Client) exportAll(ctx context.Context, p *client.ExportAuditLogsParams, all joined, out *bufio.Writer) error {
	export, err := c.export(ctx, p)
	for err == nil {
		if err = addPart(all, export); err != nil || !export.Truncated {
			break
		}
		var cursor string
		if cursor, err = nextCursor(export.link); err == nil {
			export, err = c.export(ctx, &client.ExportAuditLogsParams{Format: p.Format, WithProof: p.WithProof, Cursor: &cursor})
		}
	}
	if err != nil {
		return err
	}
	return errors.Join(all.close(), out.Flush())
}

func addPart(all joined, export *Export) error {
	defer export.Close()
	if err := all.add(export); err != nil {
		return fmt.Errorf("trail: the export broke off: %w", err)
	}
	return nil
}

var nextTarget = regexp.MustCompile(`^<([^>]*)>; rel="next"$`)

func nextCursor(link string) (string, error) {
	if target := nextTarget.FindStringSubmatch(link); target != nil {
		if next, err := url.Parse(target[1]); err == nil && next.Query().Get("cursor") != "" {
			return next.Query().Get("cursor"), nil
		}
	}
	return "", fmt.Errorf("trail: the export goes on, but its link can't be read: %q", link)
}

// joined makes one document out of several exports.
type joined interface {
	add(part io.Reader) error
	close() error
}

func newJoined(format Format, out *bufio.Writer) (joined, error) {
	switch format {
	case JSON:
		return &joinedJSON{out: out}, nil
	case CSV:
		return &joinedCSV{out: out}, nil
	}
	return nil, fmt.Errorf("trail: %q is no format of exports", format)
}

type joinedJSON struct {
	out     *bufio.Writer
	items   int
	proofs  *os.File // nil: without
	bundles int
}

// add copies the items' bytes as they are.
func (j *joinedJSON) add(part io.Reader) error {
	decoder := json.NewDecoder(part)
	for _, want := range []json.Token{json.Delim('{'), "items", json.Delim('[')} {
		if got, err := decoder.Token(); err != nil {
			return err
		} else if got != want {
			return fmt.Errorf("it has %v where %v should be", got, want)
		}
	}
	for decoder.More() {
		var item json.RawMessage
		if err := decoder.Decode(&item); err != nil {
			return err
		}
		separator := ",\n"
		if j.items == 0 {
			separator = "{\"items\":[\n"
		}
		j.items++
		if _, err := j.out.WriteString(separator + string(item)); err != nil {
			return err
		}
	}
	if j.proofs != nil {
		if err := j.addBundles(decoder); err != nil {
			return err
		}
	}
	_, err := io.Copy(io.Discard, io.MultiReader(decoder.Buffered(), part)) // an end that is missing is an error
	return err
}

// addBundles puts aside what stands behind the items as their proofs.
func (j *joinedJSON) addBundles(decoder *json.Decoder) error {
	for token := json.Token(nil); token != "proofs"; {
		var err error
		if token, err = decoder.Token(); err != nil {
			return fmt.Errorf("it has no proofs: %w", err)
		}
	}
	if _, err := decoder.Token(); err != nil {
		return err
	}
	for decoder.More() {
		var bundle json.RawMessage
		if err := decoder.Decode(&bundle); err != nil {
			return err
		}
		if j.bundles++; j.bundles > 1 {
			bundle = append([]byte(",\n"), bundle...)
		}
		if _, err := j.proofs.Write(bundle); err != nil {
			return err
		}
	}
	return nil
}

func (j *joinedJSON) close() error {
	begin := ""
	if j.items == 0 {
		begin = `{"items":[`
	}
	if _, err := fmt.Fprintf(j.out, "%s\n],\"total\":%d", begin, j.items); err != nil {
		return err
	}
	if j.proofs != nil {
		if err := j.writeBundles(); err != nil {
			return err
		}
	}
	_, err := j.out.WriteString("}\n")
	return err
}

func (j *joinedJSON) writeBundles() error {
	_, err := j.proofs.Seek(0, io.SeekStart)
	if err != nil {
		return err
	}
	if _, err = j.out.WriteString(`,"proofs":[`); err == nil {
		_, err = io.Copy(j.out, j.proofs)
	}
	if err == nil {
		_, err = j.out.WriteString("]")
	}
	return err
}

type joinedCSV struct {
	out   *bufio.Writer
	parts int
}

// add keeps the first part's header row, which holds no line break, and drops the others'.
func (j *joinedCSV) add(part io.Reader) error {
	reader := bufio.NewReader(part)
	header, err := reader.ReadString('\n')
	if err != nil {
		return err
	}
	if j.parts == 0 {
		if _, err := j.out.WriteString(header); err != nil {
			return err
		}
	}
	j.parts++
	_, err = io.Copy(j.out, reader)
	return err
}

func (j *joinedCSV) close() error { return nil }
