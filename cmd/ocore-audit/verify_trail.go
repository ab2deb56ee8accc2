package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"ocore.dev/audit/gen/client/trail"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/embedded"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/proof"
)

func newVerifyTrail(common *verifyFlags) *cobra.Command {
	flags := verifyTrailFlags{verifyFlags: common}
	c := &cobra.Command{
		Use:   "trail",
		Short: "Check a whole trail, in a database or of a running service",
		Long: `Check a whole trail: that positions have no gap, that the stored tree is whole, that it has
the root of every checkpoint ever signed, and that nothing is stored beside it. With --deep
every leaf is made anew from the stored entry, and all that the database repeats of entries
is compared with them: hashes, tiles, ids, columns, postings, search texts.

The database is the one of --database-url, by a login that may read it: the service's (one
organization at a time), the worker's (which may not read the tables of ids and searches) or
a superuser's, which sees all, for instance in a restored backup. Without one it is the
data folder's own. It is read in one state, by a transaction that changes nothing, so that
services can go on; rows that are deleted meanwhile can't be vacuumed until it ends.

With --service everything is taken from a running service instead: the trail is exported with
proofs to a temporary file and checked there. Services record exports. What a service answers
it may have read before somebody changed the database, or before that was mended.

--checkpoint-dir compares the newest checkpoints that the service keeps outside of the database, and
--checkpoint one that you kept: without any, an older copy of the database looks the same.

Keys are those of --key and --keys-file, or the public halves in --signing-key-file, which
are good for every organization; without any, and without --database-url or --token, the
data folder's own.

What is wrong is told by its position, the lowest first. Exit codes: 0 verified; 1 could not
be checked; 2 wrong usage; 5 something isn't as it was recorded.`,
		Example: `  ocore-audit verify trail --deep
  ocore-audit verify trail --deep --all --database-url postgres://superuser@restored/audit --signing-key-file public.pem --checkpoint-dir /var/lib/audit/checkpoints
  ocore-audit verify trail --service https://audit.example --keys-file keys.txt --checkpoint monday.txt`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if flags.url != "" {
				return flags.service(c)
			}
			return flags.database(c)
		},
	}
	f := c.Flags()
	f.StringVar(&flags.databaseURL, "database-url", "", "PostgreSQL URL of a login that may read; without it the data folder's own PostgreSQL")
	f.StringVar(&flags.organization, "organization", "", "organization of the trail; "+ownOrganization+" when not given; _admin for the admin trail")
	f.BoolVar(&flags.all, "all", false, "every organization that the login sees")
	f.BoolVar(&flags.deep, "deep", false, "make every leaf anew from its entry, and compare all that repeats entries")
	f.StringVar(&flags.dataDir, "data-dir", ".data", "folder of the own PostgreSQL, its signing key, checkpoints and development secret")
	f.StringVar(&flags.checkpointDir, "checkpoint-dir", "", "folder, outside of the database, that keeps each trail's newest checkpoint")
	f.StringVar(&flags.checkpoint, "checkpoint", "", "file with a checkpoint that must be of this trail")
	f.StringVar(&flags.url, "service", "", "address of a running service, to check by what it answers")
	f.StringVar(&flags.token, "token", "", "bearer token for the service; without one, a development token of the data folder")
	flags.signing.addKeys(c)
	return c
}

type verifyTrailFlags struct {
	*verifyFlags
	databaseURL, organization, dataDir, checkpointDir, checkpoint, url, token string
	all, deep                                                                 bool
	signing                                                                   signingFlags
}

// database verifies what is stored.
func (f *verifyTrailFlags) database(c *cobra.Command) error {
	switch {
	case f.all && f.organization != "":
		return usage("--all and --organization exclude each other")
	case f.all && f.checkpoint != "":
		return usage("--checkpoint is one trail's: name its organization")
	}
	if f.organization == "" {
		f.organization = ownOrganization
	}
	if err := f.own(); err != nil {
		return err
	}
	keys, err := f.keysOf()
	if err != nil {
		return err
	}
	held, err := f.held()
	if err != nil {
		return err
	}
	holdHeap()
	snapshot, err := postgres.OpenSnapshot(c.Context(), f.databaseURL, 1+runtime.GOMAXPROCS(0))
	if err != nil {
		return err
	}
	defer snapshot.Close()
	organizations, err := f.organizations(c.Context(), snapshot, held)
	if err != nil {
		return err
	}
	bar, err := trailsBar(c.Context(), snapshot, organizations)
	if err != nil {
		return err
	}
	v := &trailsVerifier{verifyTrailFlags: f, out: c.OutOrStdout(), snapshot: snapshot, keys: keys, held: held, bar: bar}
	for _, organization := range organizations {
		if err := v.verify(c.Context(), organization); err != nil {
			return err
		}
	}
	return v.verdict()
}

// own completes what isn't given by what the data folder has.
func (f *verifyTrailFlags) own() error {
	if f.databaseURL != "" {
		return nil
	}
	server, err := embedded.Attach(filepath.Join(f.dataDir, "postgres"))
	if errors.Is(err, embedded.ErrNotRunning) {
		return usage("no PostgreSQL runs in %s; name a database with --database-url, or a service with --service", f.dataDir)
	}
	if err != nil {
		return err
	}
	f.databaseURL = server.SuperuserURL(ownDatabase)
	f.ownKeys()
	if f.checkpointDir == "" {
		f.checkpointDir = filepath.Join(f.dataDir, checkpointFolder)
	}
	return nil
}

// ownKeys trusts the data folder's own key when nobody says whom to trust.
func (f *verifyTrailFlags) ownKeys() {
	file := filepath.Join(f.dataDir, signingKeyFile)
	if _, err := os.Stat(file); err == nil && f.signing.keyFile == "" && len(f.keys) == 0 && f.keysFile == "" {
		f.signing.keyFile = file
	}
}

// keysOf are the keys that are trusted for each organization.
func (f *verifyTrailFlags) keysOf() (func(organization string) (proof.Keys, error), error) {
	if f.signing.keyFile == "" {
		keys, err := f.trusted()
		return func(string) (proof.Keys, error) { return keys, nil }, err
	}
	if len(f.keys) > 0 || f.keysFile != "" {
		return nil, usage("--signing-key-file excludes --key and --keys-file")
	}
	keys, err := f.signing.keys()
	if err != nil {
		return nil, err
	}
	return keys.Keys, nil
}

func (f *verifyTrailFlags) organizations(ctx context.Context, snapshot *postgres.Snapshot, held map[string][]proof.HeldNote) ([]string, error) {
	if !f.all {
		return []string{f.organization}, nil
	}
	organizations, err := snapshot.Organizations(ctx)
	organizations = append(organizations, slices.Collect(maps.Keys(held))...) // the database may have nothing left of them
	slices.Sort(organizations)
	return slices.Compact(organizations), err
}

// held are the checkpoints that were kept outside of the database, by organization. They are
// read before the database, which had published each when it was kept.
func (f *verifyTrailFlags) held() (map[string][]proof.HeldNote, error) {
	held := map[string][]proof.HeldNote{}
	if f.checkpoint != "" {
		text, err := readEvidence(f.checkpoint, nil)
		if err != nil {
			return nil, usage("--checkpoint: %w", err)
		}
		held[f.organization] = append(held[f.organization], proof.HeldNote{Name: "the checkpoint in " + f.checkpoint, Note: string(text)})
	}
	if f.checkpointDir == "" {
		return held, nil
	}
	folder := proof.KeptFolder(f.checkpointDir)
	organizations, err := folder.Organizations()
	if err != nil {
		return nil, usage("--checkpoint-dir: %w", err)
	}
	for _, organization := range organizations {
		note, err := folder.Newest(organization)
		if err != nil {
			return nil, usage("--checkpoint-dir: %w", err)
		}
		if note != "" && (f.all || organization == f.organization) {
			held[organization] = append(held[organization], proof.HeldNote{Name: "the checkpoint kept in " + f.checkpointDir, Note: note})
		}
	}
	return held, nil
}

// trailsBar draws entries as they are looked at; nil draws nothing.
func trailsBar(ctx context.Context, snapshot *postgres.Snapshot, organizations []string) (*progressbar.ProgressBar, error) {
	entries := int64(0)
	for _, organization := range organizations {
		end, err := snapshot.Trail(organization).End(ctx)
		if err != nil {
			return nil, err
		}
		entries += end
	}
	return newBar("verifying", entries, progressbar.OptionShowCount(), progressbar.OptionShowIts()), nil
}

// trailsVerifier verifies trails one after the other, each on all cores.
type trailsVerifier struct {
	*verifyTrailFlags
	out      io.Writer
	snapshot *postgres.Snapshot
	keys     func(organization string) (proof.Keys, error)
	held     map[string][]proof.HeldNote
	bar      *progressbar.ProgressBar
	trails   int
	first    error // of those that are not verified
	wrong    int
}

func (v *trailsVerifier) verify(ctx context.Context, organization string) error {
	keys, err := v.keys(organization)
	if err != nil {
		return usage("--organization %s: %w", organization, err)
	}
	options := proof.TrailOptions{Keys: keys, Held: v.held[organization], Deep: v.deep, Progress: func(entries int64) {
		if v.bar != nil {
			_ = v.bar.Add64(entries) // what can't be drawn changes nothing
		}
	}}
	found, err := proof.VerifyTrail(ctx, v.snapshot.Trail(organization), organization, options)
	if errors.Is(err, audit.ErrNotFound) {
		return fmt.Errorf("%s: could not be checked: the database has no such trail, or the login sees none of it", organization)
	}
	if err != nil {
		return fmt.Errorf("%s: could not be checked: %w", organization, err)
	}
	found.Unread = v.snapshot.Unreadable()
	v.trails++
	if err := found.Err(); err != nil {
		if v.wrong++; v.wrong == 1 {
			v.first = verdict(organization, err)
		}
	}
	if v.bar != nil {
		_ = v.bar.Clear()
	}
	return v.tell(found)
}

func (v *trailsVerifier) tell(t proof.Trail) error {
	wrong := t.Err()
	if v.json {
		encoder := json.NewEncoder(v.out)
		encoder.SetEscapeHTML(false)
		object := struct {
			Verified  bool        `json:"verified"`
			Mismatch  bool        `json:"mismatch,omitempty"`
			Proven    []string    `json:"proven,omitempty"`
			NotProven []string    `json:"notProven"`
			Result    proof.Trail `json:"result"`
		}{wrong == nil, wrong != nil, nil, t.NotProven(), t}
		if wrong == nil {
			object.Proven = t.Proven()
		}
		return encoder.Encode(object)
	}
	var lines []string
	if wrong == nil {
		lines = slices.Concat([]string{"verified: " + t.Organization}, indented(t.Proven()), []string{"not shown by it:"}, indented(t.NotProven()))
	} else {
		lines = []string{"NOT VERIFIED: " + t.Organization}
		for _, f := range t.Findings {
			lines = append(lines, "  "+findingText(f.Position, f.Detail))
		}
		if more := t.Found - int64(len(t.Findings)); more > 0 {
			lines = append(lines, fmt.Sprintf("  and %d more", more))
		}
	}
	_, err := fmt.Fprintln(v.out, strings.Join(lines, "\n"))
	return err
}

func findingText(position int64, detail string) string {
	if position < 0 {
		return detail
	}
	return fmt.Sprintf("position %d: %s", position, detail)
}

// verdict ends the command with the first trail that isn't as it was recorded.
func (v *trailsVerifier) verdict() error {
	if v.wrong < 2 {
		return v.first
	}
	return &exitError{exitMismatch, fmt.Errorf("%d of %d trails are NOT VERIFIED; the first: %w", v.wrong, v.trails, v.first)}
}

// service verifies what a running service answers.
func (f *verifyTrailFlags) service(c *cobra.Command) error {
	switch {
	case f.all || f.deep || f.databaseURL != "" || f.checkpointDir != "":
		return usage("--service takes the trail from a service: --all, --deep, --database-url and --checkpoint-dir are of databases")
	case f.organization == audit.AdminOrganization:
		return usage("services don't export the admin trail: verify it in the database, or keep a copy of its tree with ocore-audit mirror")
	}
	if f.token == "" {
		f.ownKeys()
	}
	keysOf, err := f.keysOf()
	if err != nil {
		return err
	}
	keys, err := keysOf(cmp.Or(f.organization, ownOrganization))
	if err != nil {
		return usage("--organization %s: %w", f.organization, err)
	}
	older, err := f.older(keys)
	if err != nil {
		return err
	}
	export := exportFlags{url: f.url, token: f.token, dataDir: f.dataDir, organization: f.organization}
	service, err := export.client()
	if err != nil {
		return err
	}
	result, err := f.exported(c.Context(), service, keys)
	if err == nil && older != nil {
		result.growth, err = older.grown(c.Context(), service, keys)
	}
	return f.report(c, f.url, result, err)
}

// servedTrail is what the answers of a service have shown.
type servedTrail struct {
	proof.Export
	growth *proof.Growth
}

// Proven says what was shown, a sentence each.
func (t servedTrail) Proven() []string {
	said := t.Export.Proven()
	if t.growth != nil {
		said = append(said, t.growth.Proven()...)
	}
	return said
}

// exported takes the whole trail out of the service and checks every entry of it.
func (f *verifyTrailFlags) exported(ctx context.Context, service *trail.Client, keys proof.Keys) (servedTrail, error) {
	file, err := os.CreateTemp("", "ocore-audit-trail-*.json")
	if err != nil {
		return servedTrail{}, err
	}
	defer os.Remove(file.Name())
	if err := errors.Join(service.ExportAllWithProof(ctx, trail.Filter{}, file), file.Close()); err != nil {
		return servedTrail{}, err
	}
	evidence, err := openEvidence(ctx, file.Name())
	if err != nil {
		return servedTrail{}, err
	}
	defer evidence.close()
	export, err := proof.VerifyExportWith(evidence, evidence.size, keys, func(organization string, index, width int64) ([]byte, error) {
		return service.TreeFile(ctx, organization, proof.TilePath("0", index, width))
	})
	if err == nil {
		err = export.WholeTrail()
	}
	return servedTrail{Export: export}, err
}

// olderCheckpoint is one that somebody kept.
type olderCheckpoint struct {
	text []byte
	size int64
}

// older reads the checkpoint of --checkpoint, if there is one: before anything is asked for.
func (f *verifyTrailFlags) older(keys proof.Keys) (*olderCheckpoint, error) {
	if f.checkpoint == "" {
		return nil, nil
	}
	text, err := readEvidence(f.checkpoint, nil)
	if err != nil {
		return nil, usage("--checkpoint: %w", err)
	}
	signed, err := keys.Open(text)
	return &olderCheckpoint{text, signed.Size}, verdict(f.checkpoint, err)
}

// grown asks for the proof that the trail begins with what a checkpoint says.
func (o *olderCheckpoint) grown(ctx context.Context, service *trail.Client, keys proof.Keys) (*proof.Growth, error) {
	newest, err := service.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	var consistency []byte
	if newest.Size >= o.size {
		if consistency, err = service.Consistency(ctx, o.size, newest.Size); err != nil {
			return nil, err
		}
	}
	growth, err := proof.VerifyCheckpoints(o.text, []byte(newest.Checkpoint), consistency, keys)
	return &growth, err
}
