package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// results are what all rounds of each fault came to.
type results struct {
	Faults map[string]*tally `json:"faults"`
	Bites  bites             `json:"bites,omitempty"`
}

type tally struct {
	Rounds       int       `json:"rounds"`
	Acknowledged int       `json:"acknowledged"`
	Ambiguous    int       `json:"ambiguous"`
	Resolved     int       `json:"resolved"`       // of the ambiguous, by sending them again
	Cuts         int       `json:"cuts,omitempty"` // messages cut, swallowed or held
	Verified     int       `json:"verified"`       // rounds after which `verify trail --deep` and all checkpoints were held too
	Checkpoints  int       `json:"checkpoints"`    // that were seen in those
	Findings     int       `json:"findings"`
	Recovery     []float64 `json:"recoverySeconds"`
	Writable     []float64 `json:"writableSeconds"` // after readiness
	Signing      []float64 `json:"signingSeconds"`  // after that
	Skipped      string    `json:"skipped,omitempty"`
}

func (t *tally) add(o outcome) {
	t.Rounds++
	t.Verified++
	t.Checkpoints += o.checkpoints
	t.Acknowledged += o.acknowledged
	t.Ambiguous += o.ambiguous
	t.Resolved += o.resolved
	t.Cuts += o.hits
	t.Recovery = append(t.Recovery, seconds(o.recovery))
	t.Writable = append(t.Writable, seconds(o.writable))
	t.Signing = append(t.Signing, seconds(o.signing))
}

func readResults(o options) (*results, error) {
	r := &results{Faults: map[string]*tally{}}
	if !o.resume {
		return r, nil
	}
	text, err := os.ReadFile(o.results)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	return r, err
}

func (r *results) of(fault string) *tally {
	if r.Faults[fault] == nil {
		r.Faults[fault] = &tally{}
	}
	return r.Faults[fault]
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// quantile is the time that a part of the recoveries took at most.
func quantile(times []float64, part float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return time.Duration(sorted[int(part*float64(len(sorted)-1)+0.5)] * float64(time.Second)).Round(10 * time.Millisecond)
}

// times is the median and the longest, if there are any.
func times(all []float64) string {
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprintf("%s, %s", quantile(all, 0.5), quantile(all, 1))
}

func (r *results) print(to io.Writer) {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "fault\trounds\tacknowledged\tambiguous\tsent again\tverified\tfindings\tready after (median, longest)\ta write taken after that\tsigned after that")
	for _, f := range faults {
		if t := r.Faults[f.name]; t != nil && t.Rounds+t.Findings > 0 {
			_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", f.name, t.Rounds, t.Acknowledged, t.Ambiguous, t.Resolved, t.Verified, t.Findings,
				times(t.Recovery), times(t.Writable), times(t.Signing))
		}
	}
	_ = table.Flush() // to standard output
}

// write keeps the results, and the page that shows them.
func (r *results) write(o options) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(o.results, append(text, '\n'), 0o644), os.WriteFile(o.page, r.page(), 0o644))
}

//go:embed page.md
var pageText string

// page is docs/storm.md: what page.md says, and the table.
func (r *results) page() []byte {
	var table strings.Builder
	var all, missing tally
	for _, f := range faults {
		t := r.of(f.name)
		all.Rounds += t.Rounds
		all.Acknowledged += t.Acknowledged
		all.Ambiguous += t.Ambiguous
		all.Resolved += t.Resolved
		all.Verified += t.Verified
		all.Checkpoints += t.Checkpoints
		all.Findings += t.Findings
		if t.Rounds < f.planned {
			missing.Rounds++
		}
		fmt.Fprintf(&table, "| %s | %s | %d of %d | %d | %d | %d | %d | %d | %s | %s | %s |\n", f.name, f.what, t.Rounds, f.planned, t.Acknowledged, t.Ambiguous, t.Resolved, t.Verified, t.Findings,
			times(t.Recovery), times(t.Writable), times(t.Signing))
	}
	fmt.Fprintf(&table, "| all | | %d | %d | %d | %d | %d | %d | | | |\n", all.Rounds, all.Acknowledged, all.Ambiguous, all.Resolved, all.Verified, all.Findings)
	if missing.Rounds > 0 {
		fmt.Fprintf(&table, "\nOf %d faults fewer rounds ran than are planned: `make storm` adds to them.\n", missing.Rounds)
	}
	var bitten strings.Builder
	for _, b := range r.Bites {
		rounds := ""
		if b.Rounds > 0 {
			rounds = fmt.Sprint(b.Rounds)
		}
		fmt.Fprintf(&bitten, "| %s | %s | %s |\n", b.What, strings.Join(b.Checks, ", "), rounds)
	}
	return []byte(strings.NewReplacer("TABLE\n", table.String(), "BITES\n", bitten.String(), "CHECKPOINTS", fmt.Sprint(all.Checkpoints)).Replace(pageText))
}
