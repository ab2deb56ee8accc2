package dataset

import (
	"bytes"
	"testing"
)

func TestTheSameSeedMakesTheSameEntries(t *testing.T) {
	t.Parallel()
	a, b := newGenerator(10_000, 7), newGenerator(10_000, 7)
	for n := range a.chunks() {
		one, err := a.chunk(n)
		if err != nil {
			t.Fatal(err)
		}
		other, err := b.chunk(n)
		if err != nil {
			t.Fatal(err)
		}
		for i := range one {
			if !bytes.Equal(one[i].text, other[i].text) || !bytes.Equal(one[i].hash, other[i].hash) || !one[i].at.Equal(other[i].at) {
				t.Fatalf("entry %d of chunk %d differs:\n%s\n%s", i, n, one[i].text, other[i].text)
			}
		}
	}
}

func TestEntriesHaveTheShapeThatIsPromised(t *testing.T) {
	t.Parallel()
	g := newGenerator(50_000, 1)
	var before, bytes, total, states int
	seen := map[string]bool{}
	types := map[string]bool{}
	for n := range g.chunks() {
		entries, err := g.chunk(n)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range entries {
			if unix := int(s.at.Unix()); unix < before {
				t.Fatalf("time runs backwards at %s", s.at)
			} else {
				before = unix
			}
			if s.entry.ResourceType == "" {
				continue // the platform's own
			}
			seen[s.entry.Action], types[s.entry.ResourceType] = true, true
			total++
			bytes += len(s.text)
			if len(s.text) > 700 {
				states++
			}
		}
	}
	if total != 50_000 || len(seen) < 55 || len(types) != 12 {
		t.Errorf("%d entries, %d actions, %d types", total, len(seen), len(types))
	}
	if mean := bytes / total; mean < 700 || mean > 1100 {
		t.Errorf("an entry has %d bytes on average", mean)
	}
	t.Logf("%d bytes on average; %d of %d over 700", bytes/total, states, total)
}

func BenchmarkGenerate(b *testing.B) {
	g := newGenerator(100_000, 1)
	b.ReportAllocs()
	made := 0
	for b.Loop() {
		entries, err := g.chunk(made / chunkSize % g.chunks())
		if err != nil {
			b.Fatal(err)
		}
		made += len(entries)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(made), "ns/entry")
}
