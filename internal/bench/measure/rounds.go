// Package measure compares sides that run in turns on one machine: what disturbs one
// disturbs the others, so that ratios hold where times don't.
package measure

import (
	"context"
	"fmt"
	"slices"
)

// Side is one of the things compared. Run measures once.
type Side struct {
	Name string
	Run  func(ctx context.Context) (float64, error)
}

// Series is what a side's rounds measured.
type Series struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit"`
	Rounds []float64 `json:"rounds"`
}

// Median is the middle round's.
func (s Series) Median() float64 { return Median(s.Rounds) }

// Interleave runs every side once to warm up and then all sides in turns, so many times.
func Interleave(ctx context.Context, rounds int, unit string, sides ...Side) ([]Series, error) {
	series := make([]Series, len(sides))
	for round := range rounds + 1 {
		for i, side := range sides {
			value, err := side.Run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", side.Name, err)
			}
			if round > 0 {
				series[i].Rounds = append(series[i].Rounds, value)
			}
			series[i].Name, series[i].Unit = side.Name, unit
		}
	}
	return series, nil
}

// Ratio is the median of the rounds' own ratios of a to b: the two of a round had the
// same weather.
func Ratio(a, b Series) float64 {
	ratios := make([]float64, len(a.Rounds))
	for i := range ratios {
		ratios[i] = a.Rounds[i] / b.Rounds[i]
	}
	return Median(ratios)
}

// Median is the middle of the values, or the mean of the two in the middle.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
