package postgres_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/metrics"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

// totalsTime is how long TestTotalsEqualCounts goes on; `make totals` takes half an hour.
var totalsTime = flag.Duration("totals", 5*time.Second, "how long to compare totals with counts")

// Totals and pages of random filters and dates, read through two instances while eight
// writers append, two workers build and connections are killed, equal what PostgreSQL
// counts in the same state of the trail.
func TestTotalsEqualCounts(t *testing.T) {
	d := testkit.NewDatabase(t)
	stores := [2]*postgres.Store{testkit.NewStore(t, d), testkit.NewStore(t, d)}
	end := time.Now().Add(*totalsTime)
	ctx, cancel := context.WithDeadline(t.Context(), end)
	defer cancel()
	var background, readers sync.WaitGroup
	var written, compared, killed atomic.Int64
	for w := range 8 {
		background.Go(func() { writeTotals(ctx, t, stores[w%2], w, &written) })
	}
	for range 2 {
		background.Go(func() { buildTotals(ctx, t, d) })
	}
	background.Go(func() { killOneAfterAnother(ctx, t, d, &killed) })
	for r := range 3 {
		readers.Go(func() { compareTotals(ctx, t, d, stores[r%2], uint64(r), &compared) })
	}
	readers.Wait()
	background.Wait()
	ranges := scan[int](t, testkit.Connect(t, d.SuperuserURL), "SELECT coalesce(sum(ranges), 0) FROM posting_progress")
	t.Logf("%d entries, %d ranges built, %d filters compared, %d connections killed", written.Load(), ranges, compared.Load(), killed.Load())
	if compared.Load() == 0 || written.Load() == 0 || killed.Load() == 0 {
		t.Error("nothing was tried")
	}
}

var totalsOrganizations = []string{"acme", "globex"}

// unavailable are failures that a killed connection explains.
func unavailable(err error) bool {
	return errors.Is(err, audit.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func writeTotals(ctx context.Context, t *testing.T, store *postgres.Store, w int, written *atomic.Int64) {
	random := rand.New(rand.NewPCG(1, uint64(w)))
	users := rand.NewZipf(random, 1.3, 1, 200)
	for n := 0; ctx.Err() == nil; n++ {
		entries := make([]audit.Admitted, 1+random.IntN(200))
		for i := range entries {
			entries[i] = admit(t, audit.Draft{
				Action: fmt.Sprint("action.", random.IntN(5)), ResourceType: fmt.Sprint("type-", random.IntN(3)),
				ResourceID: fmt.Sprint("resource-", users.Uint64()), UserID: fmt.Sprint("user-", users.Uint64()),
			})
		}
		_, err := store.Append(ctx, submission(totalsOrganizations[random.IntN(10)/9], entries...))
		if err == nil {
			written.Add(int64(len(entries)))
		} else if !unavailable(err) {
			t.Error(err)
		}
	}
}

func buildTotals(ctx context.Context, t *testing.T, d testkit.Database) {
	worker, err := postgres.OpenWorker(ctx, postgres.WorkerOptions{URL: d.WorkerURL, PostFrom: 1500})
	if err != nil {
		t.Error(err)
		return
	}
	defer worker.Close()
	for ctx.Err() == nil {
		if _, err := worker.Build(ctx); err != nil && !unavailable(err) {
			t.Error(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func killOneAfterAnother(ctx context.Context, t *testing.T, d testkit.Database, killed *atomic.Int64) {
	conn := testkit.Connect(t, d.SuperuserURL)
	for ctx.Err() == nil {
		time.Sleep(200 * time.Millisecond)
		tag, err := conn.Exec(context.WithoutCancel(ctx), `SELECT pg_terminate_backend(pid) FROM (
			SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename IN ('serving', 'worker') ORDER BY random() LIMIT 1) AS one`)
		if err != nil {
			t.Error(err)
			return
		}
		killed.Add(tag.RowsAffected())
	}
}

// compareTotals compares as somebody to whom no policy applies, with statements that know
// of no postings.
func compareTotals(ctx context.Context, t *testing.T, d testkit.Database, store *postgres.Store, seed uint64, compared *atomic.Int64) {
	conn := testkit.Connect(t, d.SuperuserURL)
	random := rand.New(rand.NewPCG(2, seed))
	begun := time.Now()
	for ctx.Err() == nil {
		organization := totalsOrganizations[random.IntN(2)]
		f, w := totalsFilter(random, begun), audit.Window{Size: -1, Below: math.MaxInt64, Offset: random.Int64N(3000), Limit: 100}
		found, err := store.Find(ctx, organization, f, w)
		if err != nil {
			if !unavailable(err) {
				t.Error(err)
			}
			continue
		}
		total, positions := countNaively(t, conn, organization, f, found.Size, w)
		if found.Total != total || !slices.Equal(found.Positions, positions) {
			t.Errorf("%s %+v at size %d: total %d, want %d; %d positions, want %d", organization, f, found.Size, found.Total, total, len(found.Positions), len(positions))
			return
		}
		compared.Add(1)
	}
}

func totalsFilter(random *rand.Rand, begun time.Time) audit.Filter {
	maybe := func(text string) string {
		if random.IntN(3) > 0 {
			return ""
		}
		return text
	}
	moment := func() time.Time {
		if random.IntN(4) > 0 {
			return time.Time{}
		}
		return begun.Add(time.Duration(random.Int64N(int64(time.Since(begun) + time.Second)))).UTC().Truncate(time.Microsecond)
	}
	excluded := func(prefix string, of int) audit.Values {
		if random.IntN(4) > 0 {
			return ""
		}
		values := []string{fmt.Sprint(prefix, random.IntN(of)), fmt.Sprint(prefix, random.IntN(of)), fmt.Sprint(prefix, random.IntN(of))}
		return audit.NewValues(values[:1+random.IntN(3)]...)
	}
	return audit.Filter{
		ExcludeAction: excluded("action.", 5), ExcludeResourceType: excluded("type-", 3), ExcludeResourceID: excluded("resource-", 20), ExcludeUserID: excluded("user-", 30),
		Action: maybe(fmt.Sprint("action.", random.IntN(6))), ResourceType: maybe(fmt.Sprint("type-", random.IntN(3))),
		ResourceID: maybe(fmt.Sprint("resource-", random.IntN(20))), UserID: maybe(fmt.Sprint("user-", random.IntN(30))),
		From: moment(), To: moment(),
	}
}

func countNaively(t *testing.T, conn *pgx.Conn, organization string, f audit.Filter, size int64, w audit.Window) (total int64, positions []int64) {
	where, args := []string{"organization = $1", "position < $2"}, []any{organization, size}
	for column, value := range map[string]string{"action": f.Action, "resource_type": f.ResourceType, "resource_id": f.ResourceID, "user_id": f.UserID} {
		if value != "" {
			args = append(args, value)
			where = append(where, fmt.Sprintf("%s = $%d", column, len(args)))
		}
	}
	for column, values := range map[string]audit.Values{"action": f.ExcludeAction, "resource_type": f.ExcludeResourceType, "resource_id": f.ExcludeResourceID, "user_id": f.ExcludeUserID} {
		if values != "" {
			args = append(args, values.All())
			where = append(where, fmt.Sprintf("(%s <> ALL ($%d)) IS NOT FALSE", column, len(args)))
		}
	}
	for operator, at := range map[string]time.Time{">=": f.From, "<=": f.To} {
		if !at.IsZero() {
			args = append(args, at)
			where = append(where, fmt.Sprintf("created_at %s $%d", operator, len(args)))
		}
	}
	condition := " FROM entries WHERE " + strings.Join(where, " AND ")
	ctx := context.WithoutCancel(t.Context())
	if err := conn.QueryRow(ctx, "SELECT count(*)"+condition, args...).Scan(&total); err != nil {
		t.Error(err)
	}
	rows, err := conn.Query(ctx, "SELECT position"+condition+fmt.Sprintf(" ORDER BY position DESC OFFSET %d LIMIT %d", w.Offset, w.Limit), args...)
	if err != nil {
		t.Error(err)
		return total, nil
	}
	positions, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		t.Error(err)
	}
	return total, positions
}

// The gauge of the builder's lag counts whole ranges, and falls as they are built.
func TestLagOfTheBuilderIsShown(t *testing.T) {
	t.Parallel()
	database := testkit.NewDatabase(t)
	store := testkit.NewStore(t, database)
	counts := metrics.New("test")
	worker, err := postgres.OpenWorker(t.Context(), postgres.WorkerOptions{URL: database.WorkerURL, Metrics: counts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(worker.Close)
	lag := func() string {
		w := httptest.NewRecorder()
		counts.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		_, after, _ := strings.Cut(w.Body.String(), "\nocore_audit_unposted_positions ")
		value, _, _ := strings.Cut(after, "\n")
		return value
	}
	const rangeSize = 16384
	for from := range 2 * rangeSize / 2000 {
		mustAppend(t, store, "acme", plain(t, fmt.Sprintf("e%d-", from), 2000)...)
	}
	mustAppend(t, store, "acme", plain(t, "rest-", 1000)...)
	other, err := testkit.Connect(t, database.WorkerURL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), "SELECT set_config('ocore_audit.organization', 'acme', true)"); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), "INSERT INTO posting_progress (organization) VALUES ('acme')"); err != nil {
		t.Fatal(err)
	}
	blocked, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if built, err := worker.Build(blocked); err == nil || built > 0 { // another's row is in the way
		t.Fatalf("built %d", built)
	}
	if got := lag(); got != fmt.Sprint(2*rangeSize) {
		t.Errorf("the lag is %s, want %d", got, 2*rangeSize)
	}
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if built, err := worker.Build(t.Context()); err != nil || built != 2 || lag() != "0" {
		t.Errorf("built %d, then the lag is %s: %v", built, lag(), err)
	}
}
