package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/testkit"
)

// batcherTime is how long TestManyClientsLoseNothing goes on; `make batcher` takes a minute.
var batcherTime = flag.Duration("batcher", 2*time.Second, "how long 64 clients record entries")

// recorder is a client that records entries, one after the other.
type recorder struct {
	name, url, token string
	http             *http.Client
	acknowledged     int
	last             int64 // position
}

// record sends the next entry and holds the answer against the one before.
func (c *recorder) record(ctx context.Context) error {
	id := fmt.Sprintf("%s-%d", c.name, c.acknowledged)
	body := fmt.Appendf(nil, `{"id":%q,"action":"server.updated","resourceType":"server","resourceId":%q,"afterState":{"note":%q}}`, id, c.name, strings.Repeat("n", 300))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/audit-logs", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var stored struct {
		ID       string
		Position int64
	}
	if err := json.Unmarshal(text, &stored); err != nil || response.StatusCode != http.StatusCreated || response.Header.Get("Idempotency-Replayed") != "" {
		return fmt.Errorf("%s: %s: %s (%w)", id, response.Status, text, err)
	}
	if stored.ID != id || stored.Position <= c.last {
		return fmt.Errorf("%s after position %d: %s", id, c.last, text)
	}
	c.acknowledged, c.last = c.acknowledged+1, stored.Position
	return nil
}

// Of what 64 clients record, over two trails, nothing is lost, doubled or out of order;
// memory stays flat; and a client that is alone waits for its own commits and no other.
func TestManyClientsLoseNothing(t *testing.T) {
	s := testkit.NewService(t)
	database := testkit.Connect(t, s.Database.SuperuserURL)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	client := func(name, organization string) *recorder {
		return &recorder{name: name, url: s.URL, token: testkit.Token(t, testkit.Member(organization)), http: &http.Client{Transport: transport}, last: -1}
	}
	clients := make([]*recorder, 64)
	organizations := []string{"acme", "acme", "acme", "globex"}
	var all sync.WaitGroup
	var stop atomic.Bool
	for i := range clients {
		clients[i] = client(fmt.Sprint("client", i), organizations[i%len(organizations)])
		all.Go(func() {
			for !stop.Load() {
				if err := clients[i].record(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var live, resident []uint64
	for range 10 { // the first tenth warms up
		time.Sleep(*batcherTime / 10)
		live, resident = append(live, liveHeap()), append(resident, residentBytes())
	}
	stop.Store(true)
	all.Wait()
	total := 0
	for i, c := range clients {
		total += c.acknowledged
		if c.acknowledged == 0 {
			t.Errorf("client %d recorded nothing", i)
		}
		checkRecorded(t, database, organizations[i%len(organizations)], c)
	}
	checkWhole(t, database, total)
	const mb = 1 << 20
	if live[9] > live[0]+8*mb {
		t.Errorf("the live heap grew from %d to %d MB", live[0]/mb, live[9]/mb)
	}
	commits := rowOf[int](t, database, "SELECT count(DISTINCT xmin::text) FROM entries")
	t.Logf("64 clients, %s: %d entries in %d transactions; live heap %d MB after a tenth, %d at the end; resident %d and %d MB, clients included",
		*batcherTime, total, commits, live[0]/mb, live[9]/mb, resident[0]/mb, resident[9]/mb)

	lonely := client("lonely", "initech")
	for range 50 {
		if err := lonely.record(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// Each answer came before the next request: a commit each is one commit's wait each.
	if commits := rowOf[int](t, database, "SELECT count(DISTINCT xmin::text) FROM entries WHERE organization = 'initech'"); commits != 50 {
		t.Errorf("50 entries of a client that is alone took %d commits", commits)
	}
}

// checkRecorded holds the table against what the client was told.
func checkRecorded(t *testing.T, database *pgx.Conn, organization string, c *recorder) {
	t.Helper()
	stored := rowOf[int](t, database, `SELECT count(*) FROM (SELECT position, row_number() OVER (ORDER BY position) - 1 AS nth, entry::json ->> 'id' AS id
		FROM entries WHERE organization = $1 AND resource_id = $2) AS e WHERE id = $2 || '-' || nth`, organization, c.name)
	rows := rowOf[int](t, database, "SELECT count(*) FROM entries WHERE organization = $1 AND resource_id = $2", organization, c.name)
	if stored != c.acknowledged || rows != c.acknowledged {
		t.Errorf("%s was told of %d entries; %d are stored, %d of them where they belong", c.name, c.acknowledged, rows, stored)
	}
}

// checkWhole finds gaps, doubles and times that run backwards.
func checkWhole(t *testing.T, database *pgx.Conn, total int) {
	t.Helper()
	if stored := rowOf[int](t, database, "SELECT count(*) FROM entries"); stored != total {
		t.Errorf("%d entries are stored, %d were acknowledged", stored, total)
	}
	wrong := rowOf[int](t, database, `SELECT count(*) FROM (
		SELECT position - row_number() OVER trail + 1 AS gap, created_at < lag(created_at) OVER trail AS backwards FROM entries
		WINDOW trail AS (PARTITION BY organization ORDER BY position)) AS e WHERE gap <> 0 OR backwards`)
	if wrong != 0 {
		t.Errorf("%d positions have a gap before them, or an earlier time", wrong)
	}
	if ids := rowOf[int](t, database, "SELECT count(*) FROM entry_ids JOIN entries USING (organization, position) WHERE entry::json ->> 'id' = id"); ids != total {
		t.Errorf("%d ids lead to their entries, of %d", ids, total)
	}
	if sizes := rowOf[int](t, database, "SELECT sum(size)::int FROM heads"); sizes != total {
		t.Errorf("the trails' sizes are %d together, with %d entries", sizes, total)
	}
}

func rowOf[T any](t *testing.T, database *pgx.Conn, statement string, args ...any) (value T) {
	t.Helper()
	if err := database.QueryRow(t.Context(), statement, args...).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// residentBytes is 0 where the system doesn't tell.
func residentBytes() uint64 {
	text, _ := os.ReadFile("/proc/self/statm")
	var size, resident uint64
	_, _ = fmt.Sscan(string(text), &size, &resident)
	return resident * uint64(os.Getpagesize())
}
