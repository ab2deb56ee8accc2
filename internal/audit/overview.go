package audit

import (
	"context"
	"math"
	"time"
)

// DefaultBuckets and MaxBuckets bound a histogram; MaxFacets is how many values a facet
// lists, MaxFacetEntries over how many entries it counts, MaxValues how many values complete
// a text.
const (
	DefaultBuckets  = 60
	MaxBuckets      = 200
	MaxFacets       = 20
	MaxFacetEntries = 10_000
	MaxValues       = 20
)

// Histogram is how many entries match in each interval of time, oldest first.
type Histogram struct {
	Start, End time.Time // both included; zero where nothing says when
	Intervals  []Interval
	Total      int64
}

// Interval ends where the next one begins.
type Interval struct {
	Start time.Time
	Count int64
}

// Histogram counts what matches in intervals of equal length, to the microsecond, from the
// filter's dates or, where it has none, the trail's first and last entry.
func (s *Service) Histogram(ctx context.Context, organization string, f Filter, buckets int64) (Histogram, error) {
	if buckets == 0 {
		buckets = DefaultBuckets
	}
	if buckets < 1 || buckets > MaxBuckets {
		return Histogram{}, BadParameter("buckets", "buckets takes 1 to %d, or 0 for %d", MaxBuckets, DefaultBuckets)
	}
	extent, err := s.store.Extent(ctx, organization)
	if err != nil {
		return Histogram{}, err
	}
	h := Histogram{Start: f.From, End: f.To}
	if f.From.After(f.To) && !f.To.IsZero() { // no instant that is stored lies between
		h.Start, h.End = f.To, f.To
	}
	if h.Start.IsZero() {
		h.Start = notAfter(extent.First, h.End)
	}
	if h.End.IsZero() {
		h.End = notBefore(extent.Last, h.Start)
	}
	if h.Start.IsZero() || h.End.IsZero() {
		return Histogram{Start: f.From, End: f.To}, nil
	}
	starts := intervals(h.Start, h.End, buckets)
	counts, err := s.store.Counts(ctx, organization, f, extent.Size, starts)
	if err != nil {
		return Histogram{}, err
	}
	for i, start := range starts {
		h.Intervals = append(h.Intervals, Interval{start, counts[i]})
		h.Total += counts[i]
	}
	return h, nil
}

// notAfter is t, or the bound where that is earlier.
func notAfter(t, bound time.Time) time.Time {
	if !bound.IsZero() && bound.Before(t) {
		return bound
	}
	return t
}

// notBefore is t, or the bound where that is later.
func notBefore(t, bound time.Time) time.Time {
	if bound.After(t) {
		return bound
	}
	return t
}

// intervals are the beginnings of n equal parts of the time from start to end, both included,
// or of as many as it has microseconds.
func intervals(start, end time.Time, n int64) []time.Time {
	length := end.UnixMicro() - start.UnixMicro() + 1
	n = min(n, length)
	starts := make([]time.Time, n)
	for i := range n {
		starts[i] = time.UnixMicro(start.UnixMicro() + length/n*i + length%n*i/n).UTC()
	}
	return starts
}

// Facets are the commonest values of a column in the newest entries that match.
type Facets struct {
	Values   []ValueCount // commonest first
	Distinct int64        // how many values there were, listed or not
	Of       int64        // entries that were looked at: what matches, or the newest of it
	Total    int64        // entries that match
}

// ValueCount is a value, and how many entries have it.
type ValueCount struct {
	Value string
	Count int64
}

// Facets counts the column's values over the newest [MaxFacetEntries] entries that match.
func (s *Service) Facets(ctx context.Context, organization string, f Filter, c Column) (Facets, error) {
	found, err := s.store.Find(ctx, organization, f, Window{Size: -1, Below: math.MaxInt64, Limit: MaxFacetEntries})
	if err != nil {
		return Facets{}, err
	}
	facets := Facets{Of: int64(len(found.Positions)), Total: found.Total}
	facets.Values, facets.Distinct, err = s.store.CountValues(ctx, organization, c, found.Positions, MaxFacets)
	return facets, err
}

// Values lists the first of the column's values that begin with prefix, in order of bytes.
func (s *Service) Values(ctx context.Context, organization string, c Column, prefix string) ([]string, error) {
	return s.store.Values(ctx, organization, c, prefix, MaxValues)
}
