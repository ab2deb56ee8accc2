package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/importer"
	"ocore.dev/audit/internal/postgres"
)

// importBatch is how many entries one commit of an import holds.
const importBatch = 500

func newImport() *cobra.Command {
	var flags importFlags
	c := &cobra.Command{
		Use:   "import --format FORMAT [FILE|FOLDER|-]...",
		Short: "Bring another system's records into a trail, under their original times",
		Long: `Bring another system's records into an organization's trail. Formats:

  cloudtrail  AWS CloudTrail files
  ocore       JSON pages, JSON exports and CSV exports of the oCore platform's own audit log
  ndjson      newline-delimited entries as this API takes and gives them

Files, folders and standard input, plain or gzip. Records are sorted by their original
time, which becomes createdAt (importedAt keeps the time of the import); so a trail must
be empty, or end no later than the first new record. Ids come from the records: a second
run, or one after a crash, stores nothing twice. A record that can't be imported goes
with its place and the reason into the rejects file and stops nothing; the exit code is
then 3. What was stored stays, and a trail only grows forward: older records that are
mended later can't follow newer ones. --dry-run says beforehand what would be rejected.

Without --database-url the PostgreSQL in the data folder is used, beside a running
"ocore-audit run" or alone.`,
		Example: `  ocore-audit import --format cloudtrail ./cloudtrail/
  ocore-audit import --format ocore --organization acme export.csv
  zcat history.ndjson.gz | ocore-audit import --format ndjson -`,
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("organization") && flags.organization == "" {
				return usage("--organization is empty")
			}
			return flags.run(c.Context(), args, c.InOrStdin())
		},
	}
	f := c.Flags()
	f.StringVar(&flags.format, "format", "", "form of the records: cloudtrail, ocore or ndjson")
	f.StringVar(&flags.organization, "organization", "", `organization whose trail receives them; with the own PostgreSQL "`+ownOrganization+`" by default`)
	f.StringVar(&flags.databaseURL, "database-url", "", "PostgreSQL URL of the serving login")
	f.StringVar(&flags.dataDir, "data-dir", ".data", "folder of the own PostgreSQL")
	f.StringVar(&flags.recordedBy, "recorded-by", "import", "recordedBy of the entries")
	f.StringVar(&flags.rejects, "rejects", "import.rejects.ndjson", "file that records that were rejected are added to")
	f.BoolVar(&flags.dryRun, "dry-run", false, "only read and check the records; store nothing")
	flags.log.add(c, "warn")
	return c
}

type importFlags struct {
	format, organization, databaseURL, dataDir, recordedBy, rejects string
	dryRun                                                          bool
	log                                                             logFlags
}

func (i *importFlags) check() error {
	if !slices.Contains(importer.Formats, importer.Format(i.format)) {
		return usage("--format takes one of %v, not %q", importer.Formats, i.format)
	}
	if i.organization == "" && i.databaseURL == "" {
		i.organization = ownOrganization
	}
	if !audit.ValidOrganization(i.organization) {
		return usage("--organization takes 1 to 64 of A-Z a-z 0-9 . ~ -, not %q", i.organization)
	}
	if i.recordedBy == "" || len(i.recordedBy) > 512 {
		return usage("--recorded-by takes 1 to 512 bytes")
	}
	return nil
}

func (i *importFlags) run(ctx context.Context, paths []string, stdin io.Reader) (err error) {
	if err := i.check(); err != nil {
		return err
	}
	log, err := i.log.logger()
	if err != nil {
		return err
	}
	records, rejected, err := importer.Read(importer.Format(i.format), paths, stdin)
	if err != nil {
		return err
	}
	if i.dryRun {
		fmt.Printf("%s: %s could be imported, %d rejected\n", i.organization, plural(len(records), "record", "records"), len(rejected))
		return i.writeRejects(rejected)
	}
	db, err := openDatabase(ctx, i.databaseURL, i.dataDir, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.stop()) }()
	store, err := postgres.Open(ctx, postgres.Options{URL: db.url, Log: log})
	if err != nil {
		return usage("%s", err)
	}
	defer store.Close()
	if err := store.CheckServing(ctx); err != nil {
		return err
	}
	load := &load{
		service: audit.NewService(store), organization: i.organization,
		by: audit.Principal{Subject: i.recordedBy}, rejected: rejected, bar: progress("importing", len(records)),
	}
	if err := load.all(ctx, records); err != nil {
		err = fmt.Errorf("after at least %s: %w; run it again to go on", plural(load.stored+load.known, "record", "records"), err)
		return errors.Join(err, i.writeRejects(load.rejected))
	}
	fmt.Printf("%s: %d stored, %d known already, %d rejected\n", i.organization, load.stored, load.known, len(load.rejected))
	return i.writeRejects(load.rejected)
}

// progress draws a bar where somebody looks, and nothing elsewhere.
func progress(what string, of int) *progressbar.ProgressBar {
	return newBar(what, int64(of), progressbar.OptionShowCount(), progressbar.OptionShowIts())
}

func newBar(what string, of int64, options ...progressbar.Option) *progressbar.ProgressBar {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil
	}
	options = append(options, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionClearOnFinish(), progressbar.OptionSetDescription(what))
	return progressbar.NewOptions64(of, options...)
}

func (i *importFlags) writeRejects(rejected []importer.Rejected) error {
	if len(rejected) == 0 {
		return nil
	}
	file, err := os.OpenFile(i.rejects, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(file)
	for _, r := range rejected {
		line := struct {
			Place  string `json:"place"`
			Reason string `json:"reason"`
			Record string `json:"record,omitempty"`
		}{r.Place, r.Reason, string(r.Raw)}
		if err := encoder.Encode(line); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	if err := file.Close(); err != nil {
		return err
	}
	return &exitError{exitRejected, fmt.Errorf("%s rejected: see %s", plural(len(rejected), "record was", "records were"), i.rejects)}
}

// load puts records into a trail, in their order.
type load struct {
	service      *audit.Service
	organization string
	by           audit.Principal
	bar          *progressbar.ProgressBar // nil draws nothing
	stored       int
	known        int
	rejected     []importer.Rejected
}

func (l *load) all(ctx context.Context, records []importer.Record) error {
	for batch := range slices.Chunk(records, importBatch) {
		if err := l.batch(ctx, batch); err != nil {
			return err
		}
		if l.bar != nil {
			if err := l.bar.Add(len(batch)); err != nil {
				return err
			}
		}
	}
	return nil
}

// batch commits the records together. When one of them is refused, each half is tried by
// itself, so that the others go in.
func (l *load) batch(ctx context.Context, records []importer.Record) error {
	err := l.commit(ctx, records)
	var refused *audit.Rejection
	if !errors.As(err, &refused) {
		return err
	}
	if len(records) == 1 {
		l.rejected = append(l.rejected, importer.Rejected{Place: records[0].Place, Reason: refused.Detail, Raw: recordText(records[0])})
		return nil
	}
	half := len(records) / 2
	if err := l.batch(ctx, records[:half]); err != nil {
		return err
	}
	return l.batch(ctx, records[half:])
}

// recordText shows a record that was understood and yet refused as the entry that it
// would have become.
func recordText(record importer.Record) []byte {
	entry, err := audit.Admit(record.Draft, "")
	if err != nil {
		return nil
	}
	return append(entry.Content, '}')
}

func (l *load) commit(ctx context.Context, records []importer.Record) error {
	entries := make([]audit.Admitted, len(records))
	for i, record := range records {
		entry, err := audit.Admit(record.Draft, "")
		if err != nil {
			return err
		}
		entry.OriginalTime = record.Time
		entries[i] = entry
	}
	receipts, err := l.service.Import(ctx, l.organization, l.by, entries)
	if err != nil {
		return err
	}
	for _, receipt := range receipts {
		if receipt.Existing {
			l.known++
		} else {
			l.stored++
		}
	}
	return nil
}
