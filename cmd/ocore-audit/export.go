package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ocore.dev/audit/gen/client/trail"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
)

func newExport() *cobra.Command {
	var flags exportFlags
	c := &cobra.Command{
		Use:   "export",
		Short: "Take a whole trail, or what a filter matches, out of a running service",
		Long: `Take what a filter matches out of a running service, newest first, as one JSON or CSV
document. It follows the service's exports of at most 10,000 entries to the end; each is
recorded in the platform's admin trail. A file is complete or isn't there.

With --with-proof the document also has what proves every entry of it, to anybody who has
the trail's keys: "ocore-audit verify export" checks it without the service.`,
		Example: `  ocore-audit export --output trail.json
  ocore-audit export --with-proof --output trail.json
  ocore-audit export --format csv --action server.deleted --start-date 2026-11-01T00:00:00Z
  ocore-audit export --exclude-action auth.login --exclude-action auth.logout`,
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
	// Whole values, any of which may hold a comma: no slices, which would cut them there.
	f.StringArrayVar(&flags.excludeAction, "exclude-action", nil, "leave this action out; may be repeated")
	f.StringArrayVar(&flags.excludeResourceType, "exclude-resource-type", nil, "leave this resource type out; may be repeated")
	f.StringArrayVar(&flags.excludeResourceID, "exclude-resource-id", nil, "leave this resource id out; may be repeated")
	f.StringArrayVar(&flags.excludeUserID, "exclude-user-id", nil, "leave this user id out; may be repeated")
	f.StringVar(&flags.start, "start-date", "", "first time, RFC 3339, inclusive")
	f.StringVar(&flags.end, "end-date", "", "last time, RFC 3339, inclusive")
	f.BoolVar(&flags.withProof, "with-proof", false, "with what proves every entry, for \"ocore-audit verify export\"; json only")
	return c
}

type exportFlags struct {
	url, token, dataDir, organization, format, output    string
	action, resourceType, resourceID, userID, start, end string
	excludeAction, excludeResourceType                   []string
	excludeResourceID, excludeUserID                     []string
	withProof                                            bool
}

func (e *exportFlags) run(ctx context.Context, stdout io.Writer) error {
	if format := trail.Format(e.format); !format.Valid() {
		return usage("--format takes json or csv, not %q", e.format)
	}
	if e.withProof && e.format != string(trail.JSON) {
		return usage("--with-proof takes --format json: a CSV doesn't hold values as they were recorded")
	}
	filter, err := e.filter()
	if err != nil {
		return err
	}
	service, err := e.client()
	if err != nil {
		return err
	}
	write := func(to io.Writer) error {
		if e.withProof {
			return service.ExportAllWithProof(ctx, filter, to)
		}
		return service.ExportAll(ctx, filter, trail.Format(e.format), to)
	}
	if e.output == "" {
		return write(stdout)
	}
	partial, err := os.CreateTemp(filepath.Dir(e.output), ".export-*")
	if err != nil {
		return err
	}
	defer os.Remove(partial.Name())
	if err := errors.Join(write(partial), partial.Close()); err != nil {
		return err
	}
	return os.Rename(partial.Name(), e.output)
}

func (e *exportFlags) filter() (f trail.Filter, err error) {
	f = trail.Filter{
		Action: e.action, ResourceType: e.resourceType, ResourceID: e.resourceID, UserID: e.userID,
		ExcludeAction: e.excludeAction, ExcludeResourceType: e.excludeResourceType,
		ExcludeResourceID: e.excludeResourceID, ExcludeUserID: e.excludeUserID,
	}
	if f.Start, err = date("--start-date", e.start); err != nil {
		return f, err
	}
	f.End, err = date("--end-date", e.end)
	return f, err
}

// date reads a flag that may be empty.
func date(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := audit.ParseTime(text)
	if err != nil {
		return t, usage("%s %w", flag, err)
	}
	return t, nil
}

func (e *exportFlags) client() (*trail.Client, error) {
	if e.token == "" {
		secret, err := own{e.dataDir}.developmentSecret()
		if err != nil {
			return nil, err
		}
		organization := e.organization
		if organization == "" || organization == audit.AdminOrganization { // which nobody is a member of
			organization = ownOrganization
		}
		if e.token, err = auth.NewDevelopmentToken(secret, developer(organization), time.Now(), time.Hour); err != nil {
			return nil, err
		}
	}
	service, err := trail.New(strings.TrimSuffix(e.url, "/")+"/api", trail.WithToken(e.token), trail.WithOrganization(e.organization))
	if err != nil {
		return nil, usage("--url: %w", err)
	}
	return service, nil
}
