package main

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
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ocore.dev/audit/gen/client"
	"ocore.dev/audit/internal/auth"
)

func newExport() *cobra.Command {
	var flags exportFlags
	c := &cobra.Command{
		Use:   "export",
		Short: "Take a whole trail, or what a filter matches, out of a running service",
		Long: `Take what a filter matches out of a running service, newest first, as one JSON or CSV
document. It follows the service's exports of at most 10,000 entries to the end; each is
recorded in the platform's admin trail. A file is complete or isn't there.`,
		Example: `  ocore-audit export --output trail.json
  ocore-audit export --format csv --action server.deleted --start-date 2026-11-01T00:00:00Z`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return flags.run(c.Context(), c.OutOrStdout()) },
	}
	f := c.Flags()
	f.StringVar(&flags.url, "url", "http://127.0.0.1:8080", "where the service is")
	f.StringVar(&flags.token, "token", "", "bearer token; without one, a development token of the data folder")
	f.StringVar(&flags.dataDir, "data-dir", ".data", "folder whose development secret signs that token")
	f.StringVar(&flags.organization, "organization", "", "organization, where the token has several")
	f.StringVar(&flags.format, "format", "json", "json or csv; json is the lossless one")
	f.StringVarP(&flags.output, "output", "o", "", "file to write; standard output when not given")
	f.StringVar(&flags.action, "action", "", "only this action")
	f.StringVar(&flags.resourceType, "resource-type", "", "only this resource type")
	f.StringVar(&flags.resourceID, "resource-id", "", "only this resource id")
	f.StringVar(&flags.userID, "user-id", "", "only this user id")
	f.StringVar(&flags.start, "start-date", "", "first time, RFC 3339, inclusive")
	f.StringVar(&flags.end, "end-date", "", "last time, RFC 3339, inclusive")
	return c
}

type exportFlags struct {
	url, token, dataDir, organization, format, output    string
	action, resourceType, resourceID, userID, start, end string
}

func (e *exportFlags) run(ctx context.Context, stdout io.Writer) error {
	api, err := e.client()
	if err != nil {
		return err
	}
	if e.output == "" {
		return e.write(ctx, api, stdout)
	}
	partial, err := os.CreateTemp(filepath.Dir(e.output), ".export-*")
	if err != nil {
		return err
	}
	defer os.Remove(partial.Name())
	if err := errors.Join(e.write(ctx, api, partial), partial.Close()); err != nil {
		return err
	}
	return os.Rename(partial.Name(), e.output)
}

func (e *exportFlags) client() (*client.Client, error) {
	if e.token == "" {
		secret, err := own{e.dataDir}.developmentSecret()
		if err != nil {
			return nil, err
		}
		organization := e.organization
		if organization == "" {
			organization = ownOrganization
		}
		if e.token, err = auth.NewDevelopmentToken(secret, developer(organization), time.Now(), time.Hour); err != nil {
			return nil, err
		}
	}
	return client.NewClient(strings.TrimSuffix(e.url, "/")+"/api", client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+e.token)
		return nil
	}))
}

// write joins the service's exports into one document.
func (e *exportFlags) write(ctx context.Context, api *client.Client, to io.Writer) error {
	out := bufio.NewWriter(to)
	joined, err := newJoined(e.format, out)
	if err != nil {
		return err
	}
	for cursor, first := "", true; first || cursor != ""; first = false {
		if cursor, err = e.part(ctx, api, cursor, joined); err != nil {
			return err
		}
	}
	return errors.Join(joined.close(), out.Flush())
}

// part reads one export and returns the cursor of the next.
func (e *exportFlags) part(ctx context.Context, api *client.Client, cursor string, joined joined) (string, error) {
	response, err := api.ExportAuditLogs(ctx, e.parameters(cursor))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", refusal(response)
	}
	if err := joined.add(response.Body); err != nil {
		return "", fmt.Errorf("the export broke off: %w", err)
	}
	return nextCursor(response.Header.Get("Link"))
}

func (e *exportFlags) parameters(cursor string) *client.ExportAuditLogsParams {
	format := client.ExportFormat(e.format)
	p := &client.ExportAuditLogsParams{Format: &format}
	if e.organization != "" {
		p.XOrgSlug = &e.organization
	}
	if cursor != "" {
		p.Cursor = &cursor
		return p
	}
	for _, f := range []struct {
		value string
		into  **string
	}{
		{e.action, &p.Action},
		{e.resourceType, &p.ResourceType},
		{e.resourceID, &p.ResourceID},
		{e.userID, &p.UserID},
		{e.start, &p.StartDate},
		{e.end, &p.EndDate},
	} {
		if f.value != "" {
			*f.into = &f.value
		}
	}
	return p
}

// refusal is what a problem document says to a person.
func refusal(response *http.Response) error {
	var problem client.Problem
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err := json.Unmarshal(body, &problem); err != nil || problem.Detail == nil {
		return fmt.Errorf("the service answers %s", response.Status)
	}
	return fmt.Errorf("the service answers %s: %s (request %s)", response.Status, *problem.Detail, problem.RequestID)
}

var nextTarget = regexp.MustCompile(`^<([^>]*)>; rel="next"$`)

func nextCursor(link string) (string, error) {
	if link == "" {
		return "", nil
	}
	target := nextTarget.FindStringSubmatch(link)
	if target == nil {
		return "", fmt.Errorf("the service sent a link that can't be read: %q", link)
	}
	next, err := url.Parse(target[1])
	if err != nil {
		return "", err
	}
	return next.Query().Get("cursor"), nil
}

// joined makes one document out of several exports.
type joined interface {
	add(part io.Reader) error
	close() error
}

func newJoined(format string, out *bufio.Writer) (joined, error) {
	switch format {
	case "json":
		return &joinedJSON{out: out}, nil
	case "csv":
		return &joinedCSV{out: out}, nil
	}
	return nil, usage("--format takes json or csv, not %q", format)
}

type joinedJSON struct {
	out   *bufio.Writer
	items int
}

// add copies the items' bytes as they are.
func (j *joinedJSON) add(part io.Reader) error {
	decoder := json.NewDecoder(part)
	for range 3 { // {"items":[
		if _, err := decoder.Token(); err != nil {
			return err
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
	_, err := io.Copy(io.Discard, io.MultiReader(decoder.Buffered(), part)) // an end that is missing is an error
	return err
}

func (j *joinedJSON) close() error {
	begin := ""
	if j.items == 0 {
		begin = `{"items":[`
	}
	_, err := fmt.Fprintf(j.out, "%s\n],\"total\":%d}\n", begin, j.items)
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
