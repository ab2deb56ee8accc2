package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ocore.dev/audit/internal/bench/report"
	"ocore.dev/audit/internal/bench/rows"
)

// Every row must go on running as the service changes, and what it publishes must be
// whole. The figures of so small a dataset and such short rounds tell nothing.
func TestEveryRowRunsAndIsPublished(t *testing.T) {
	t.Parallel()
	self := filepath.Join(t.TempDir(), "bench")
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", self, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	root := t.TempDir()
	for at := root; at != os.TempDir() && len(at) > 1; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil { // as root, PostgreSQL runs as another user
			t.Fatal(err)
		}
	}
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	measure := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), self, append([]string{"--root", source, "--dir", filepath.Join(root, "bench"), "--docs", filepath.Join(root, "docs")}, args...)...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it stops its PostgreSQL
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	measure("--entries", "10000", "--rounds", "1", "--seconds", "0.1", "--publish")
	checkPublished(t, filepath.Join(root, "docs"))
	measure("--entries", "10000", "--", "sh", "-c", `curl -sSf -H "Authorization: Bearer $TOKEN" "$OCORE_AUDIT_URL/api/audit-logs" | grep -q '"total":5000'`)
	measure("--replot") // the same from the results alone
	checkPublished(t, filepath.Join(root, "docs"))
}

func checkPublished(t *testing.T, docs string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(docs, "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(docs, "performance", "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != len(rows.All) {
		t.Errorf("%d of %d rows", len(r.Rows), len(rows.All))
	}
	for _, row := range r.Rows {
		if !strings.Contains(string(text), row.Title) {
			t.Errorf("%s isn't in the table", row.Name)
		}
		for _, c := range row.Checks {
			if c.Value <= 0 && row.Name != "export" { // memory that was freed meanwhile may be negative
				t.Errorf("%s, %s: %v", row.Name, c.What, c.Value)
			}
		}
	}
	for _, plot := range []string{"throughput-reads", "throughput-writes", "latency", "cost", "buffers"} {
		svg, err := os.ReadFile(filepath.Join(docs, "performance", plot+".svg"))
		if err != nil || !strings.Contains(string(svg), "<svg") || !strings.Contains(string(text), plot+".svg") {
			t.Errorf("%s: %v", plot, err)
		}
	}
}

func TestRowsAreChosenByName(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"--rows", "export,list"})
	if err != nil {
		t.Fatal(err)
	}
	if chosen, err := o.chosen(); err != nil || len(chosen) != 2 || chosen[0].Name != "export" {
		t.Error(chosen, err)
	}
	if err := bench(context.Background(), []string{"--rows", "lists"}); err == nil || !strings.Contains(err.Error(), "combinations") {
		t.Error(err)
	}
}
