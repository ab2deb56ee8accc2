package postgres_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"ocore.dev/audit/internal/metrics"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

// JK-11, where no issuer can be asked for the time: the database can.
func TestAClockThatDiffersFromTheDatabases(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	for off, warned := range map[time.Duration]bool{0: false, 5 * time.Minute: true, -5 * time.Minute: true} {
		var log bytes.Buffer
		counts := metrics.New("test")
		store := openStore(t, postgres.Options{
			URL: d.ServingURL, Metrics: counts, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return time.Now().Add(off) },
		})
		for range 3 {
			if err := store.Ready(t.Context()); err != nil {
				t.Fatalf("%s: %v", off, err)
			}
		}
		w := httptest.NewRecorder()
		counts.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		found := regexp.MustCompile(`(?m)^ocore_audit_clock_offset_seconds (\S+)$`).FindStringSubmatch(w.Body.String())
		if found == nil {
			t.Fatalf("no metric in %s", w.Body)
		}
		// One machine has one clock; the round trip is what is left.
		if seconds, err := strconv.ParseFloat(found[1], 64); err != nil || seconds < off.Seconds()-10 || seconds > off.Seconds()+10 {
			t.Errorf("%s: the offset is %s", off, found[1])
		}
		if times := strings.Count(log.String(), "the clock here"); (times == 1) != warned || times > 1 {
			t.Errorf("%s: warned %d times", off, times)
		}
	}
}
