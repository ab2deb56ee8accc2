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
}

type tally struct {
	Rounds       int       `json:"rounds"`
	Acknowledged int       `json:"acknowledged"`
	Ambiguous    int       `json:"ambiguous"`
	Resolved     int       `json:"resolved"`       // of the ambiguous, by sending them again
	Cuts         int       `json:"cuts,omitempty"` // messages cut, swallowed or held
	Findings     int       `json:"findings"`
	Recovery     []float64 `json:"recoverySeconds"`
	Writable     []float64 `json:"writableSeconds"` // after readiness
	Skipped      string    `json:"skipped,omitempty"`
}

func (t *tally) add(o outcome) {
	t.Rounds++
	t.Acknowledged += o.acknowledged
	t.Ambiguous += o.ambiguous
	t.Resolved += o.resolved
	t.Cuts += o.hits
	t.Recovery = append(t.Recovery, seconds(o.recovery))
	t.Writable = append(t.Writable, seconds(o.writable))
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

func (r *results) print(to io.Writer) {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "fault\trounds\tacknowledged\tambiguous\tsent again\tfindings\tready after (median, longest)\ta write taken after that")
	for _, f := range faults {
		if t := r.Faults[f.name]; t != nil && t.Rounds+t.Findings > 0 {
			_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%s, %s\t%s, %s\n", f.name, t.Rounds, t.Acknowledged, t.Ambiguous, t.Resolved, t.Findings, quantile(t.Recovery, 0.5), quantile(t.Recovery, 1), quantile(t.Writable, 0.5), quantile(t.Writable, 1))
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
		all.Findings += t.Findings
		if t.Rounds < f.planned {
			missing.Rounds++
		}
		fmt.Fprintf(&table, "| %s | %s | %d of %d | %d | %d | %d | %d | %s, %s | %s, %s |\n", f.name, f.what, t.Rounds, f.planned, t.Acknowledged, t.Ambiguous, t.Resolved, t.Findings,
			quantile(t.Recovery, 0.5), quantile(t.Recovery, 1), quantile(t.Writable, 0.5), quantile(t.Writable, 1))
	}
	fmt.Fprintf(&table, "| all | | %d | %d | %d | %d | %d | | |\n", all.Rounds, all.Acknowledged, all.Ambiguous, all.Resolved, all.Findings)
	if missing.Rounds > 0 {
		fmt.Fprintf(&table, "\nOf %d faults fewer rounds ran than are planned: `make storm` adds to them.\n", missing.Rounds)
	}
	return []byte(strings.Replace(pageText, "TABLE\n", table.String(), 1))
}
