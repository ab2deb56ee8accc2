package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Table is the report in Markdown.
func (r Report) Table() string {
	var t strings.Builder
	m := r.Machine
	fmt.Fprintf(&t, "%s, version %s, on %d cores (%s) with %.0f GB, %s, PostgreSQL %s, %s; %s entries, seed %d, %d rounds of %g s.\n\n",
		m.Date, m.Version, m.Cores, m.CPU, m.MemoryGB, m.System, m.PostgreSQL, m.Go, grouped(float64(m.Entries)), m.Seed, m.Rounds, m.Seconds)
	t.WriteString("| row | figure | measured | target | |\n|---|---|---:|---:|---|\n")
	for _, row := range r.Rows {
		title := row.Title
		for _, c := range row.Checks {
			fmt.Fprintf(&t, "| %s | %s | %s | %s | %s |\n", title, c.What, quantity(c.Value, c.Unit), c.bound(), c.verdict())
			title = ""
		}
		if len(row.Checks) == 0 {
			fmt.Fprintf(&t, "| %s | see below | | | |\n", title)
		}
	}
	t.WriteString("\nMedians of the rounds, and what else belongs to a row:\n\n")
	for _, row := range r.Rows {
		var figures []string
		for _, s := range row.Series {
			figures = append(figures, s.Name+" "+quantity(s.Median(), s.Unit))
			if s.Unit == "buffers" { // rounds are sizes there
				figures[len(figures)-1] = fmt.Sprintf("%s %s", s.Name, sizes(s.Rounds))
			}
		}
		fmt.Fprintf(&t, "- **%s** (%s): %s.", row.Title, row.Took, strings.Join(figures, "; "))
		for _, note := range row.Notes {
			t.WriteString(" " + note)
		}
		t.WriteString("\n")
	}
	return t.String()
}

func sizes(rounds []float64) string {
	var text []string
	for _, v := range rounds {
		text = append(text, number(v))
	}
	return strings.Join(text, " / ") + " buffers"
}

func (c Check) bound() string {
	if c.AtMost {
		return "≤ " + quantity(c.Target, c.Unit)
	}
	return "≥ " + quantity(c.Target, c.Unit)
}

func (c Check) verdict() string {
	switch {
	case c.Met():
		return "met"
	case c.AtMost:
		return fmt.Sprintf("missed by %s ×", number(c.Value/c.Target))
	case c.Value <= 0:
		return "missed"
	}
	return fmt.Sprintf("missed by %s ×", number(c.Target/c.Value))
}

func quantity(v float64, unit string) string { return number(v) + " " + unit }

// number has three figures, or all of a whole part.
func number(v float64) string {
	switch {
	case v >= 1000 || v <= -1000:
		return grouped(v)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
	}
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}

func grouped(v float64) string {
	digits := fmt.Sprintf("%.0f", v)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

const (
	begin = "<!-- measured: begin (make bench writes what is between) -->"
	end   = "<!-- measured: end -->"
)

const preface = `# Performance

How fast the service is, measured by ` + "`make bench`" + `: ratios to what else could be done on the same
machine in the same minute, since absolute times are one machine's. Both cores are shared by
the clients, the service and PostgreSQL. Tokens are verified (Ed25519), requests are validated against the
document, row-level security is on, and PostgreSQL's durability settings are as they come.

`

// Publish writes the report, its plots and docs/performance.md. In that file only what is
// between the two marks is replaced.
func (r Report) Publish(docs string) error {
	folder := filepath.Join(docs, "performance")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := r.WriteJSON(filepath.Join(folder, "results.json")); err != nil {
		return err
	}
	plots, err := r.Plot(folder)
	if err != nil {
		return err
	}
	var measured strings.Builder
	measured.WriteString(begin + "\n\n" + r.Table() + "\n")
	for _, p := range plots {
		fmt.Fprintf(&measured, "![%s](performance/%s)\n\n", p.title, p.file)
	}
	measured.WriteString("All rounds of all rows: [performance/results.json](performance/results.json).\n\n" + end)
	file := filepath.Join(docs, "performance.md")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = []byte(preface+begin+end+"\n"), nil
	}
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s lacks the marks %s and %s", file, begin, end)
	}
	return os.WriteFile(file, []byte(before+measured.String()+after), 0o644)
}
