package measure_test

import (
	"context"
	"os"
	"testing"
	"time"

	"ocore.dev/audit/internal/bench/measure"
)

func TestRatiosAreOfRoundsNotOfMedians(t *testing.T) {
	t.Parallel()
	turn := 0.0
	sides := []measure.Side{
		{Name: "a", Run: func(context.Context) (float64, error) { turn++; return 2 * turn * turn, nil }},
		{Name: "b", Run: func(context.Context) (float64, error) { return turn * turn, nil }},
	}
	series, err := measure.Interleave(t.Context(), 4, "x", sides...)
	if err != nil {
		t.Fatal(err)
	}
	if len(series[0].Rounds) != 4 || series[0].Rounds[0] != 8 { // the first turn warmed up
		t.Errorf("rounds %v", series[0].Rounds)
	}
	if ratio := measure.Ratio(series[0], series[1]); ratio != 2 {
		t.Errorf("a ratio of %v", ratio)
	}
	if median := measure.Median([]float64{5, 1, 3, 2}); median != 2.5 {
		t.Errorf("a median of %v", median)
	}
}

func TestEveryStatementThatARowNamesIsThere(t *testing.T) {
	t.Parallel()
	statements, err := measure.ReadStatements("../../../sql/queries")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"OrganizationSet", "HeadGet", "EntryRange"} {
		if script, err := statements.Script(name); err != nil || len(script) < 20 {
			t.Errorf("%s: %q, %v", name, script, err)
		}
	}
}

func TestCPUIsWhatTheProcessRan(t *testing.T) {
	t.Parallel()
	before, err := measure.CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); time.Since(begun) < 50*time.Millisecond; {
	}
	after, err := measure.CPU(os.Getpid())
	if err != nil || after-before < time.Millisecond || after-before > time.Second {
		t.Errorf("%s in 50 ms, %v", after-before, err)
	}
}
