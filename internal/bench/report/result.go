// Package report shows what was measured: as a table, as JSON and as plots.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"ocore.dev/audit/internal/bench/measure"
)

// Check is one figure held against its target.
type Check struct {
	What   string  `json:"what"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"` // × for ratios
	Target float64 `json:"target"`
	AtMost bool    `json:"atMost"` // the target is an upper bound
}

// Met reports whether the figure reaches its target.
func (c Check) Met() bool {
	if c.AtMost {
		return c.Value <= c.Target
	}
	return c.Value >= c.Target
}

// Curve is one line of a plot.
type Curve struct {
	Plot string    `json:"plot"`
	Name string    `json:"name"`
	X    []float64 `json:"x"`
	Y    []float64 `json:"y"`
}

// Result is what a row has found.
type Result struct {
	Name   string           `json:"name"`
	Title  string           `json:"title"`
	Checks []Check          `json:"checks"`
	Series []measure.Series `json:"series"`
	Curves []Curve          `json:"curves,omitempty"`
	Notes  []string         `json:"notes,omitempty"`
	Took   string           `json:"took"`
}

// Note adds a remark for the table's readers.
func (r *Result) Note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Machine is what the figures come from.
type Machine struct {
	Date       string  `json:"date"`
	Version    string  `json:"version"` // of the service
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	MemoryGB   float64 `json:"memoryGB"`
	System     string  `json:"system"`
	PostgreSQL string  `json:"postgresql"`
	Go         string  `json:"go"`
	Entries    int     `json:"entries"`
	Seed       uint64  `json:"seed"`
	Rounds     int     `json:"rounds"`
	Seconds    float64 `json:"secondsPerRound"`
}

// Report is a whole run.
type Report struct {
	Machine Machine  `json:"machine"`
	Rows    []Result `json:"rows"`
}

// With is the report with rows of a later run on the same machine and data in place of its
// own; each says so.
func (r Report) With(later Report) Report {
	rows := slices.Clone(r.Rows)
	for _, row := range later.Rows {
		row.Note("Measured again, alone, on %s, version %s.", later.Machine.Date, later.Machine.Version)
		if i := slices.IndexFunc(rows, func(old Result) bool { return old.Name == row.Name }); i >= 0 {
			rows[i] = row
		} else {
			rows = append(rows, row)
		}
	}
	return Report{r.Machine, rows}
}

// WriteJSON keeps the report.
func (r Report) WriteJSON(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// ReadJSON reads a report that was kept.
func ReadJSON(file string) (Report, error) {
	var r Report
	text, err := os.ReadFile(file)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(text, &r)
}

// Stamp is the time as a report has it.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
