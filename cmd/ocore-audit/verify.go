package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"ocore.dev/audit/gen/client/trail"
	"ocore.dev/audit/internal/proof"
)

// newVerify checks evidence. The keys are flags of the command itself, for all of its own.
func newVerify() *cobra.Command {
	var flags verifyFlags
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check that entries, exports, checkpoints and whole trails are what was recorded",
		Long: `Check that entries, exports, checkpoints and whole trails are what was recorded. For entry,
export and checkpoint there is no need of the service, a network or a database: files and
keys are all.

The keys are those that you trust, in the form of c2sp.org/signed-note, with --key or one
a line in --keys-file. A service shows its own (GET /api/audit-logs/keys, and
"ocore-audit keys" beside it). A key that comes from the same server as the file shows
no more than that the two belong together: take it once, from the people who run the
service or at a time when you trusted it, and keep it.

Exit codes: 0 verified; 1 could not be checked, for instance because a file is not in
the format; 2 wrong usage; 5 something isn't as it was recorded.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return usage("say what to verify\nTry: %s --help", c.CommandPath())
		},
	}
	f := c.PersistentFlags()
	f.StringSliceVar(&flags.keys, "key", nil, "verifier key to trust, name+hash+base64; may be repeated")
	f.StringVar(&flags.keysFile, "keys-file", "", "file with verifier keys to trust, one a line")
	f.BoolVar(&flags.json, "json", false, "print one JSON object")
	c.AddCommand(newVerifyEntry(&flags), newVerifyExport(&flags), newVerifyCheckpoint(&flags), newVerifyTrail(&flags))
	return c
}

func newVerifyEntry(flags *verifyFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "entry FILE",
		Short: "Check the proof of an entry",
		Long: `Check the proof of an entry, as GET /api/audit-logs/entries/{id}/proof gives it: that the
entry, with every value in it, stands at its position in the trail that was signed.
FILE may be - for standard input.`,
		Example: `  ocore-audit verify entry proof.json --keys-file keys.txt`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return flags.run(c, args[0], func(keys proof.Keys) (verified, error) {
				text, err := readEvidence(args[0], c.InOrStdin())
				if err != nil {
					return nil, err
				}
				return verifiedBy(proof.VerifyEntry(text, keys))
			})
		},
	}
}

func newVerifyExport(flags *verifyFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "export FILE",
		Short: "Check an export with proofs",
		Long: `Check an export with proofs: that each row, with every value in it, stands at its position
in the trail that was signed, and that between consecutive positions nothing is missing.
The file may be of any size.`,
		Example: `  ocore-audit verify export trail.json --keys-file keys.txt`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return flags.run(c, args[0], func(keys proof.Keys) (verified, error) {
				file, err := openEvidence(c.Context(), args[0])
				if err != nil {
					return nil, err
				}
				defer file.close()
				return verifiedBy(proof.VerifyExport(file, file.size, keys))
			})
		},
	}
}

func newVerifyCheckpoint(flags *verifyFlags) *cobra.Command {
	var consistency string
	c := &cobra.Command{
		Use:   "checkpoint OLD [NEW]",
		Short: "Check that nothing that an older checkpoint has was changed in a newer one",
		Long: `Check that the trail of an older checkpoint is the beginning of that of a newer one: that
no entry was changed, removed, added or moved between them. --proof is the answer of
GET /api/audit-logs/consistency?from=…&to=…, with the sizes of the two; it holds the newer
checkpoint too, so that NEW can be left out. Of two checkpoints of one size no proof is
needed. One of OLD, NEW and --proof may be - for standard input.`,
		Example: `  ocore-audit verify checkpoint monday.txt friday.txt --proof consistency.json --keys-file keys.txt
  ocore-audit verify checkpoint monday.txt --proof consistency.json --keys-file keys.txt`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 && consistency == "" {
				return usage("give a newer checkpoint, or the proof that has one with --proof")
			}
			return flags.run(c, args[len(args)-1], func(keys proof.Keys) (verified, error) {
				texts := make([][]byte, 3)
				for i, name := range append(append(args, "")[:2:2], consistency) {
					if name == "" {
						continue
					}
					var err error
					if texts[i], err = readEvidence(name, c.InOrStdin()); err != nil {
						return nil, err
					}
				}
				return verifiedBy(proof.VerifyCheckpoints(texts[0], texts[1], texts[2], keys))
			})
		},
	}
	c.Flags().StringVar(&consistency, "proof", "", "file with the consistency proof from OLD to NEW")
	return c
}

type verifyFlags struct {
	keys     []string
	keysFile string
	json     bool
}

// verified is what a verification has shown, and what it hasn't.
type verified interface {
	Proven() []string
	NotProven() []string
}

func verifiedBy[T verified](result T, err error) (verified, error) { return result, err }

// run verifies with the keys of the flags and tells the result.
func (f *verifyFlags) run(c *cobra.Command, file string, verify func(proof.Keys) (verified, error)) error {
	keys, err := f.trusted()
	if err != nil {
		return err
	}
	result, err := verify(keys)
	return f.report(c, file, result, err)
}

// report tells what was shown, or what is wrong, of a file or a service.
func (f *verifyFlags) report(c *cobra.Command, file string, result verified, err error) error {
	out := c.OutOrStdout()
	if f.json {
		return errors.Join(f.object(out, result, err), verdict(file, err))
	}
	if err != nil {
		return verdict(file, err)
	}
	lines := slices.Concat([]string{"verified: " + file}, indented(result.Proven()), []string{"not shown by it:"}, indented(result.NotProven()))
	_, err = fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}

func indented(lines []string) []string {
	for i := range lines {
		lines[i] = "  " + lines[i]
	}
	return lines
}

// mismatched reports whether something isn't as it was recorded: by the evidence, or by the
// service's own word.
func mismatched(err error) bool {
	return errors.Is(err, proof.ErrMismatch) || errors.Is(err, trail.ErrAltered)
}

// verdict gives a mismatch its exit code.
func verdict(file string, err error) error {
	switch {
	case err == nil:
		return nil
	case mismatched(err):
		return &exitError{exitMismatch, fmt.Errorf("%s: NOT VERIFIED: %w", file, err)}
	case errors.Is(err, proof.ErrMalformed):
		return fmt.Errorf("%s: could not be checked: %w", file, err)
	}
	return err
}

func (f *verifyFlags) object(out io.Writer, result verified, err error) error {
	verdict := struct {
		Verified  bool     `json:"verified"`
		Proven    []string `json:"proven,omitempty"`
		NotProven []string `json:"notProven,omitempty"`
		Result    any      `json:"result,omitempty"`
		Mismatch  bool     `json:"mismatch,omitempty"`
		Position  *int64   `json:"position,omitempty"`
		Error     string   `json:"error,omitempty"`
	}{Verified: err == nil}
	if err == nil {
		verdict.Proven, verdict.NotProven, verdict.Result = result.Proven(), result.NotProven(), result
	} else {
		verdict.Error, verdict.Mismatch = err.Error(), mismatched(err)
		var told *proof.Error
		if errors.As(err, &told) && told.Position >= 0 {
			verdict.Position = &told.Position
		}
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(verdict)
}

const noKeys = `give the keys that you trust, with --key or --keys-file
A service shows its own at GET /api/audit-logs/keys, and "ocore-audit keys" beside it. A key
from the same server as the file shows only that the two belong together: better is one
that you took earlier, or from the people who run the service.`

// trusted reads the keys of both flags.
func (f *verifyFlags) trusted() (proof.Keys, error) {
	lines := f.keys
	if f.keysFile != "" {
		text, err := readEvidence(f.keysFile, nil)
		if err != nil {
			return proof.Keys{}, usage("--keys-file: %w", err)
		}
		lines = append(lines, proof.KeyLines(string(text))...)
	}
	keys, err := proof.ParseKeys(lines)
	if err != nil {
		return keys, usage("%w", err)
	}
	if keys.Len() == 0 {
		return keys, usage(noKeys)
	}
	return keys, nil
}

// maxEvidence is far above a proof of the largest entry, which has some 260 KB.
const maxEvidence = 8 << 20

// readEvidence reads a file, or standard input for -.
func readEvidence(name string, stdin io.Reader) ([]byte, error) {
	from := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		from = file
	}
	text, err := io.ReadAll(io.LimitReader(from, maxEvidence+1))
	if err == nil && len(text) > maxEvidence {
		err = fmt.Errorf("%s: no proof of an entry, checkpoint or proof of consistency is larger than %d MiB; an export is checked by \"verify export\"", name, maxEvidence>>20)
	}
	return text, err
}

// evidence is a file that may be large: reading it can be interrupted, and moves a bar.
type evidence struct {
	*os.File
	ctx  context.Context
	size int64
	bar  *progressbar.ProgressBar // nil draws nothing
}

// openEvidence opens a file that will be read twice.
func openEvidence(ctx context.Context, name string) (*evidence, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: an export is read twice, so it must be a file", name)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &evidence{file, ctx, info.Size(), newBar("verifying", 2*info.Size(), progressbar.OptionShowBytes(true))}, nil
}

// ReadAt reads as the file does.
func (e *evidence) ReadAt(to []byte, at int64) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := e.File.ReadAt(to, at)
	if e.bar != nil {
		_ = e.bar.Add(n) // what can't be drawn changes nothing
	}
	return n, err
}

// close removes the bar too.
func (e *evidence) close() {
	if e.bar != nil {
		_ = e.bar.Finish()
	}
	e.Close()
}
