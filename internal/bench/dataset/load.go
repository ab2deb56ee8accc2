package dataset

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
	"ocore.dev/audit/internal/postgres"
)

// load fills a migrated, empty database.
func (d *Dataset) load(ctx context.Context, database Database, bulk bool) error {
	g := newGenerator(database.Entries, d.Seed)
	l := &loader{generator: g, url: database.SuperuserURL(), log: d.Log}
	var indexes []string
	if bulk {
		var err error
		if indexes, err = l.dropIndexes(ctx); err != nil {
			return err
		}
	}
	if err := l.copyAll(ctx); err != nil {
		return err
	}
	if err := l.run(ctx, indexes...); err != nil {
		return err
	}
	if err := buildCounts(ctx, database); err != nil {
		return err
	}
	if err := l.fillNaive(ctx, bulk); err != nil {
		return err
	}
	return l.run(ctx, popular, "VACUUM (FREEZE, ANALYZE)", "CHECKPOINT")
}

// buildCounts brings what the worker builds in the background up to the heads.
func buildCounts(ctx context.Context, database Database) error {
	builder, err := postgres.OpenWorker(ctx, postgres.WorkerOptions{URL: database.WorkerURL()})
	if err != nil {
		return err
	}
	defer builder.Close()
	_, err = builder.Build(ctx)
	return err
}

// popular keeps how often each value stands in the largest trail: rows choose by it what
// they ask for.
const popular = `CREATE SCHEMA bench;
CREATE TABLE bench.popular AS
SELECT 'action' AS name, action AS value, count(*) AS entries FROM entries WHERE organization = '` + Large + `' GROUP BY 2
UNION ALL SELECT 'resource_type', resource_type, count(*) FROM entries WHERE organization = '` + Large + `' GROUP BY 2
UNION ALL (SELECT 'user_id', user_id, count(*) FROM entries WHERE organization = '` + Large + `' GROUP BY 2 ORDER BY 3 DESC LIMIT 1000)
UNION ALL (SELECT 'resource_id', resource_id, count(*) FROM entries WHERE organization = '` + Large + `' GROUP BY 2 ORDER BY 3 DESC LIMIT 1000)`

type loader struct {
	generator *generator
	url       string
	log       *slog.Logger
}

// run executes statements one by one, each in a transaction of its own.
func (l *loader) run(ctx context.Context, statements ...string) error {
	conn, err := pgx.Connect(ctx, l.url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		begun := time.Now()
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%.60s…: %w", statement, err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			l.log.LogAttrs(ctx, slog.LevelInfo, "done", slog.String("statement", fmt.Sprintf("%.60s…", statement)), slog.Duration("took", took.Round(time.Second)))
		}
	}
	return nil
}

// dropIndexes takes away the indexes that no constraint needs, and returns what makes
// them again.
func (l *loader) dropIndexes(ctx context.Context) ([]string, error) {
	conn, err := pgx.Connect(ctx, l.url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
		WHERE t.relnamespace = 'public'::regnamespace AND t.relname IN ('entries', 'admin_search')
		AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)`)
	if err != nil {
		return nil, err
	}
	type index struct{ Name, Definition string }
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[index])
	if err != nil {
		return nil, err
	}
	var definitions []string
	for _, i := range found {
		if _, err := conn.Exec(ctx, "DROP INDEX "+i.Name); err != nil {
			return nil, err
		}
		definitions = append(definitions, i.Definition)
	}
	return definitions, nil
}

// copyAll makes chunks of entries side by side, brings them into order, and copies what
// follows from them into all tables at once.
func (l *loader) copyAll(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	entries := newCopy("entries", "organization", "position", "created_at", "action", "resource_type", "resource_id", "user_id", "entry", "salts", "leaf_hash")
	ids := newCopy("entry_ids", "organization", "id", "position")
	search := newCopy("admin_search", "position", "folded")
	tiles := newCopy("tiles", "organization", "level", "index", "hashes", "root")
	heads := newCopy("heads", "organization", "size", "last_created_at", "frontier", "root")
	copies := []*tableCopy{entries, ids, search, tiles, heads}
	for _, c := range copies {
		group.Go(func() error { return c.run(ctx, l.url) })
	}
	group.Go(func() error {
		defer func() {
			for _, c := range copies {
				close(c.batches)
			}
		}()
		return l.place(ctx, entries, ids, search, tiles, heads)
	})
	return group.Wait()
}

// place gives the entries their positions and their trees.
func (l *loader) place(ctx context.Context, entries, ids, search, tiles, heads *tableCopy) error {
	trees := make([]*tree, len(l.generator.trails))
	for i := range trees {
		t, err := newTree()
		if err != nil {
			return err
		}
		trees[i] = t
	}
	done, told := 0, time.Now()
	for chunk, err := range l.chunks(ctx) {
		if err != nil {
			return err
		}
		for _, s := range chunk {
			organization := l.generator.trails[s.trail].Organization
			t := trees[s.trail]
			position := t.merkle.Size()
			full, err := t.add(s.hash)
			if err != nil {
				return err
			}
			for _, tile := range full {
				tiles.add(organization, tile.level, tile.index, tile.hashes, tile.root)
			}
			t.last = s.at
			e := s.entry
			entries.add(organization, position, s.at, e.Action, optional(e.ResourceType), optional(e.ResourceID), optional(e.UserID), string(s.text), s.salts, s.hash)
			ids.add(organization, e.ID, position)
			if organization == audit.AdminOrganization {
				search.add(position, e.SearchText)
			}
		}
		for _, c := range []*tableCopy{entries, ids, search, tiles} {
			if err := c.flush(ctx); err != nil {
				return err
			}
		}
		if done += len(chunk); time.Since(told) > 10*time.Second {
			told = time.Now()
			l.log.LogAttrs(ctx, slog.LevelInfo, "loading", slog.Int("entries", done), slog.Int("of", len(l.generator.order)))
		}
	}
	for i, t := range trees {
		root, err := t.merkle.Root()
		if err != nil {
			return err
		}
		heads.add(l.generator.trails[i].Organization, t.merkle.Size(), t.last, t.merkle.Frontier(), root)
	}
	return heads.flush(ctx)
}

func optional(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// chunks makes the generator's chunks on all cores and yields them in order.
func (l *loader) chunks(ctx context.Context) func(yield func([]sealed, error) bool) {
	type made struct {
		chunk []sealed
		err   error
	}
	return func(yield func([]sealed, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		inOrder := make(chan chan made, runtime.NumCPU())
		go func() {
			defer close(inOrder)
			for n := range l.generator.chunks() {
				slot := make(chan made, 1)
				select {
				case inOrder <- slot:
				case <-ctx.Done():
					return
				}
				go func() {
					chunk, err := l.generator.chunk(n)
					slot <- made{chunk, err}
				}()
			}
		}()
		for slot := range inOrder {
			if m := <-slot; !yield(m.chunk, m.err) || m.err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// tableCopy is one COPY, fed in batches.
type tableCopy struct {
	table   string
	columns []string
	rows    [][]any
	batches chan [][]any
}

func newCopy(table string, columns ...string) *tableCopy {
	return &tableCopy{table: table, columns: columns, batches: make(chan [][]any, 4)}
}

func (c *tableCopy) add(values ...any) { c.rows = append(c.rows, values) }

func (c *tableCopy) flush(ctx context.Context) error {
	if len(c.rows) == 0 {
		return nil
	}
	select {
	case c.batches <- c.rows:
		c.rows = nil
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *tableCopy) run(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var batch [][]any
	next := func() ([]any, error) {
		for len(batch) == 0 {
			var more bool
			select {
			case batch, more = <-c.batches:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			if !more {
				return nil, ctx.Err()
			}
		}
		row := batch[0]
		batch = batch[1:]
		return row, nil
	}
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{c.table}, c.columns, pgx.CopyFromFunc(next)); err != nil {
		return fmt.Errorf("copy into %s: %w", c.table, err)
	}
	return nil
}

// tree is one trail's: the frontier, and at each level the hashes of the tile that isn't
// full yet.
type tree struct {
	merkle *merkle.Tree
	open   [][]byte
	index  []int64
	last   time.Time
}

type tile struct {
	level        int16
	index        int64
	hashes, root []byte
}

func newTree() (*tree, error) {
	m, err := merkle.Open(0, nil)
	return &tree{merkle: m, last: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)}, err
}

// add appends a leaf and returns the tiles that it fills.
func (t *tree) add(hash []byte) ([]tile, error) {
	if err := t.merkle.Append(hash); err != nil {
		return nil, err
	}
	var full []tile
	for level := 0; ; level++ {
		if level == len(t.open) {
			t.open, t.index = append(t.open, nil), append(t.index, 0)
		}
		t.open[level] = append(t.open[level], hash...)
		if len(t.open[level]) < merkle.TileWidth*merkle.HashSize {
			return full, nil
		}
		root, err := merkle.TileRoot(t.open[level])
		if err != nil {
			return nil, err
		}
		full = append(full, tile{int16(level), t.index[level], t.open[level], root})
		t.open[level], hash = nil, root
		t.index[level]++
	}
}

//go:embed naive.sql
var naiveSchema string

// fillNaive fills the naive form from the same rows, and builds its indexes.
func (l *loader) fillNaive(ctx context.Context, covering bool) error {
	statements := []string{
		naiveSchema,
		`INSERT INTO naive.audit_logs
		SELECT e.organization, e.position, e.created_at, j->>'id', j->>'action', j->>'resourceType', j->>'resourceId', j->>'resourceName',
			j->>'userId', j->>'userName', j->>'ipAddress', j->>'userAgent', j->'beforeState', j->'afterState'
		FROM public.entries e, LATERAL (SELECT e.entry::jsonb AS j OFFSET 0) AS parsed WHERE e.organization <> '` + audit.AdminOrganization + `'`,
		"INSERT INTO naive.heads SELECT organization, size FROM public.heads WHERE organization <> '" + audit.AdminOrganization + "'",
		"INSERT INTO naive.admin_logs SELECT position, action, entry::jsonb->'details' FROM public.entries WHERE organization = '" + audit.AdminOrganization + "'",
		"ALTER TABLE naive.audit_logs ADD PRIMARY KEY (organization, number)",
		"CREATE UNIQUE INDEX ON naive.audit_logs (organization, id)",
		"CREATE INDEX ON naive.audit_logs (organization, created_at, number)",
		"CREATE INDEX ON naive.audit_logs (organization, action, number)",
		"CREATE INDEX ON naive.audit_logs (organization, resource_type, number)",
		"CREATE INDEX ON naive.audit_logs (organization, resource_id, number)",
		"CREATE INDEX ON naive.audit_logs (organization, user_id, number)",
	}
	if covering {
		// What a database administrator would add for counts of combinations.
		statements = append(statements,
			"CREATE INDEX covering_user ON naive.audit_logs (organization, user_id, number) INCLUDE (action, resource_type)",
			"CREATE INDEX covering_action ON naive.audit_logs (organization, action, number) INCLUDE (resource_type)",
		)
	}
	return l.run(ctx, statements...)
}
