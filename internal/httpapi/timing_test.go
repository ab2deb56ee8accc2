package httpapi_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/testkit"
)

// timingPairs is how many pairs TestTimeTellsNothing asks for. Times are held against the promise
// from a thousand on, which `make timing` takes on a quiet machine; below, only bytes are.
var timingPairs = flag.Int("timing", 20, "pairs of calls for what another organization has and for what nobody has")

// What another organization has takes as long to refuse as what nobody has (AZ-02): the median
// differs by less than a millisecond, or by no more than chance explains.
func TestTimeTellsNothing(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	globex := testkit.Member("globex")
	var batch []string
	for i := range *timingPairs {
		batch = append(batch, fmt.Sprintf(`{"id":"theirs-%05d","action":"a.b","resourceType":"server","resourceId":"theirs-%05d"}`, i, i))
	}
	for items := range slices.Chunk(batch, 1000) {
		if a := post(t, s, globex, "/audit-logs/batch", `{"items":[`+strings.Join(items, ",")+`]}`); a.status != http.StatusCreated {
			t.Fatal(a.body)
		}
	}
	for range 20 { // connections, plans and the caller's token are warm for both
		get(t, s, ada, "/audit-logs/entries/nobodys")
		get(t, s, ada, "/audit-logs/resource/server/nobodys")
	}
	for name, path := range map[string]string{"entry": "/audit-logs/entries/%s-%05d", "resource": "/audit-logs/resource/server/%s-%05d"} {
		took := map[string][]float64{}
		for i := range *timingPairs {
			order := []string{"theirs", "nobody"}
			rand.Shuffle(2, func(a, b int) { order[a], order[b] = order[b], order[a] })
			bodies := map[string]string{}
			for _, whose := range order {
				begun := time.Now()
				a := get(t, unchecked(s), ada, fmt.Sprintf(path, whose, i))
				took[whose] = append(took[whose], time.Since(begun).Seconds()*1000)
				bodies[whose] = a.comparable()
			}
			if bodies["theirs"] != bodies["nobody"] {
				t.Fatalf("%s\n%s", bodies["theirs"], bodies["nobody"])
			}
		}
		differ, p := median(took["theirs"])-median(took["nobody"]), mannWhitney(took["theirs"], took["nobody"])
		t.Logf("%s, %d pairs: the medians are %.3f ms and %.3f ms, p = %.3f", name, *timingPairs, median(took["theirs"]), median(took["nobody"]), p)
		if *timingPairs >= 1000 && math.Abs(differ) >= 1 && p <= 0.01 {
			t.Errorf("%s: another organization's takes %.3f ms longer than nobody's", name, differ)
		}
	}
}

// unchecked is the service without the checks of answers, which take longer than the answer.
func unchecked(s *testkit.Service) *testkit.Service {
	plain := *s
	plain.HTTP = http.DefaultClient
	return &plain
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// mannWhitney is how likely samples that differ this much are by chance: the two-sided U test
// in its normal approximation, without ties, which nanoseconds hardly have.
func mannWhitney(a, b []float64) float64 {
	u := 0.0
	for _, x := range a {
		for _, y := range b {
			if x > y {
				u++
			}
		}
	}
	n, m := float64(len(a)), float64(len(b))
	z := (u - n*m/2) / math.Sqrt(n*m*(n+m+1)/12)
	return math.Erfc(math.Abs(z) / math.Sqrt2)
}
