package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"ocore.dev/audit/internal/compare"
)

func newCompare() *cobra.Command {
	var flags compareFlags
	c := &cobra.Command{
		Use:   "compare OLD NEW",
		Short: "Send the same read calls to two services and print every difference of their answers",
		Long: `Send the same read calls to two services, before one replaces the other, and print every
difference in status, envelope and items. OLD and NEW are addresses with their base path,
such as https://api.ocore.dev/api. Nothing but GET is sent; a service of this program
records each export in its admin trail, as always.

Calls come from --calls, a path with its query a line. Without it they are made from the
first page of OLD's trail: lists with pages, each filter, date ranges, histories of
resources, the admin list, and exports as JSON and CSV. They are sent one after the other,
each to both services at once; a service that is busy (429, or 503 with Retry-After) is
asked again. Compare while nothing is recorded, or with calls that have an end_date.

Items are told apart by their ids, numbers are compared digit for digit, rows of CSV by
their columns. Of answers other than 200 only the status is compared. What this service
adds (position, recordedBy, importedAt, nextCursor and the like) or writes in another form
(absent for null, six fraction digits) is counted at the end; with --strict it is a
difference.

Exit codes: 0 the same; 1 a call failed; 2 wrong usage; 4 differences.`,
		Example: `  ocore-audit compare https://api.ocore.dev/api http://127.0.0.1:8080/api --old-token-file old.jwt --new-token-file new.jwt
  zgrep -oP 'GET /api\K/audit-logs\S*' access.log.gz | ocore-audit compare OLD NEW --calls -`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return flags.run(c.Context(), args[0], args[1], c.InOrStdin(), c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVar(&flags.calls, "calls", "", "file with a path and query a line, # for comments; - is standard input")
	f.StringVar(&flags.oldToken, "old-token", "", "bearer token for OLD")
	f.StringVar(&flags.newToken, "new-token", "", "bearer token for NEW")
	f.StringVar(&flags.oldTokenFile, "old-token-file", "", "file with the bearer token for OLD")
	f.StringVar(&flags.newTokenFile, "new-token-file", "", "file with the bearer token for NEW")
	f.StringVar(&flags.organization, "organization", "", "organization to name to both in X-Org-Slug")
	f.StringSliceVar(&flags.ignore, "ignore", nil, "member of items or envelopes, or column, not to compare; may be repeated")
	f.BoolVar(&flags.strict, "strict", false, "count what is added or written in another form as differences")
	f.BoolVar(&flags.json, "json", false, "print a JSON object a difference, and at last one with the summary")
	return c
}

type compareFlags struct {
	calls, oldToken, newToken, oldTokenFile, newTokenFile, organization string
	ignore                                                              []string
	strict, json                                                        bool
}

func (f *compareFlags) run(ctx context.Context, oldBase, newBase string, stdin io.Reader, stdout io.Writer) error {
	var calls []string
	if f.calls != "" {
		var err error
		if calls, err = f.readCalls(stdin); err != nil {
			return err
		}
	}
	out := &findings{out: bufio.NewWriter(stdout), json: f.json}
	options := compare.Options{Ignore: f.ignore, Strict: f.strict, Report: out.add}
	var err error
	if options.Old, err = f.side("OLD", oldBase, "--old-token", f.oldToken, f.oldTokenFile); err != nil {
		return err
	}
	if options.New, err = f.side("NEW", newBase, "--new-token", f.newToken, f.newTokenFile); err != nil {
		return err
	}
	comparison := compare.New(options)
	var notes []string
	if calls == nil {
		if calls, notes, err = comparison.Calls(ctx); err != nil {
			return err
		}
	}
	out.bar = progress("comparing", len(calls))
	for _, call := range calls {
		if err := errors.Join(comparison.Call(ctx, call), out.step()); err != nil {
			return err
		}
	}
	summary := comparison.Summary()
	if err := out.end(summary, notes); err != nil {
		return err
	}
	switch {
	case summary.Failed > 0:
		return fmt.Errorf("%s could not be compared", plural(summary.Failed, "call", "calls"))
	case summary.Different > 0:
		return &exitError{exitDifferent, fmt.Errorf("%s in %s", plural(summary.Differences, "difference", "differences"), plural(summary.Different, "call", "calls"))}
	}
	return nil
}

func (f *compareFlags) side(name, base, flag, token, file string) (compare.Side, error) {
	s := compare.Side{Base: base, Token: token, Organization: f.organization}
	if u, err := url.Parse(base); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return s, usage("%s is an address with its base path, such as https://api.ocore.dev/api, not %q", name, base)
	}
	if file == "" {
		return s, nil
	}
	if token != "" {
		return s, usage("%s and %s-file exclude each other", flag, flag)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return s, usage("%s-file: %w", flag, err)
	}
	s.Token = strings.TrimSpace(string(text))
	return s, nil
}

// readCalls refuses a list with anything in it that isn't read, before the first call is sent.
func (f *compareFlags) readCalls(stdin io.Reader) ([]string, error) {
	in := stdin
	if f.calls != "-" {
		file, err := os.Open(f.calls)
		if err != nil {
			return nil, usage("--calls: %w", err)
		}
		defer file.Close()
		in = file
	}
	calls := []string{}
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		call, err := compare.CheckCall(line)
		if err != nil {
			return nil, usage("--calls, line %d: %w", n, err)
		}
		calls = append(calls, call)
	}
	if err := lines.Err(); err != nil {
		return nil, usage("--calls: %w", err)
	}
	if len(calls) == 0 {
		return nil, usage("--calls has no call")
	}
	return calls, nil
}

// findings prints differences as they are found.
type findings struct {
	out  *bufio.Writer
	json bool
	bar  *progressbar.ProgressBar // nil draws nothing
	call string                   // whose heading was printed last
}

func (f *findings) add(found compare.Finding) error {
	if f.bar != nil {
		if err := f.bar.Clear(); err != nil {
			return err
		}
	}
	if f.json {
		return f.object(found)
	}
	if f.call != found.Call {
		f.call = found.Call
		fmt.Fprintln(f.out, "GET "+found.Call)
	}
	fmt.Fprintln(f.out, "  "+sentence(found)) // its buffer keeps what goes wrong for the next Flush
	return nil
}

func (f *findings) step() error {
	if err := f.out.Flush(); err != nil || f.bar == nil {
		return err
	}
	return f.bar.Add(1)
}

func (f *findings) object(v any) error {
	encoder := json.NewEncoder(f.out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

func (f *findings) end(s compare.Summary, notes []string) error {
	if f.json {
		ended := struct {
			Summary compare.Summary `json:"summary"`
			Notes   []string        `json:"notes,omitempty"`
		}{s, notes}
		return errors.Join(f.object(ended), f.out.Flush())
	}
	total := fmt.Sprintf("%s: %d the same, %d different, %d failed; %s compared",
		plural(s.Calls, "call", "calls"), s.Same, s.Different, s.Failed, plural(s.Items, "item", "items"))
	fmt.Fprintln(f.out, total)
	for _, status := range slices.Sorted(maps.Keys(s.Refused)) {
		fmt.Fprintln(f.out, "both answer", strconv.Itoa(status)+":", plural(s.Refused[status], "call", "calls"))
	}
	f.counts("added", s.Added)
	f.counts("in another form", s.Rewritten)
	for _, note := range notes {
		fmt.Fprintln(f.out, "note: "+note)
	}
	return f.out.Flush()
}

func (f *findings) counts(what string, of map[string]int) {
	for _, name := range slices.Sorted(maps.Keys(of)) {
		fmt.Fprintln(f.out, what+": "+name+" ("+plural(of[name], "time", "times")+")")
	}
}

// sentence tells a difference to a person.
func sentence(f compare.Finding) string {
	note := ""
	if f.Note != "" {
		note = " (" + f.Note + ")"
	}
	switch f.Kind {
	case compare.Failed:
		return fmt.Sprintf("failed: the %s service: %s", f.Member, f.Note)
	case compare.Missing:
		return fmt.Sprintf("item %s: missing in NEW%s", f.ID, note)
	case compare.Extra:
		return fmt.Sprintf("item %s: only in NEW%s", f.ID, note)
	case compare.Member:
		return fmt.Sprintf("item %s: %s: %s, now %s%s", f.ID, f.Member, shown(f.Old), shown(f.New), note)
	case compare.Columns:
		switch {
		case f.New == nil:
			return "column " + f.Member + ": missing in NEW"
		case f.Old == nil:
			return "column " + f.Member + ": only in NEW"
		}
	case compare.Envelope:
		if f.Member != "" {
			return fmt.Sprintf("%s: %s, now %s%s", f.Member, shown(f.Old), shown(f.New), note)
		}
	case compare.Status, compare.Type, compare.Order:
	}
	return fmt.Sprintf("%s: %s, now %s%s", f.Kind, shown(f.Old), shown(f.New), note)
}

// shown is a value, shortened for a line.
func shown(value json.RawMessage) string {
	const most = 200
	text := string(value)
	if value == nil {
		return "absent"
	}
	if len(text) <= most {
		return text
	}
	cut := most
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:cut], len(text))
}
