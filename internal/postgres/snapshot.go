package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
)

// Snapshot is one state of a database, to verify it by. It reads alone, so that it can be
// taken while services write. Any login will do that may read the tables; what it may not
// read isn't held against anything, which [Snapshot.Unreadable] tells.
type Snapshot struct {
	free       chan *pgx.Conn // each in a transaction of its own that sees this state
	conns      []*pgx.Conn
	unreadable []string
	several    bool // organizations can be listed
}

// OpenSnapshot takes the state as it is now, and reads it by so many connections.
func OpenSnapshot(ctx context.Context, url string, connections int) (*Snapshot, error) {
	config, err := Options{URL: url}.withDefaults().config("ocore-audit verify")
	if err != nil {
		return nil, err
	}
	for _, unbounded := range []string{"statement_timeout", "idle_in_transaction_session_timeout"} {
		config.ConnConfig.RuntimeParams[unbounded] = "0" // the state must be held for as long as it takes
	}
	s := &Snapshot{free: make(chan *pgx.Conn, connections)}
	state := ""
	for range connections {
		conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
		if err == nil {
			s.conns = append(s.conns, conn)
			err = share(ctx, conn, &state)
		}
		if err != nil {
			s.Close()
			return nil, translate("take a snapshot", err)
		}
		s.free <- conn
	}
	if err := s.privileges(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// share begins a transaction that sees the named state, or names its own.
func share(ctx context.Context, conn *pgx.Conn, state *string) error {
	if _, err := conn.Exec(ctx, "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"); err != nil {
		return err
	}
	if *state == "" {
		return conn.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(state)
	}
	_, err := conn.Exec(ctx, "SET TRANSACTION SNAPSHOT "+quote(*state))
	return err
}

// optional are the tables that repeat what others say, or tell how far work has come:
// verification goes on without those that a login may not read.
var optional = []string{"entry_ids", "admin_search", "posting_progress", "posting_values", "postings", "signing_progress"}

func (s *Snapshot) privileges(ctx context.Context) error {
	conn := <-s.free
	defer func() { s.free <- conn }()
	rows, err := conn.Query(ctx, "SELECT name FROM unnest($1::text[]) AS name WHERE NOT has_table_privilege(name, 'SELECT')", optional)
	if err != nil {
		return translate("ask what may be read", err)
	}
	if s.unreadable, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return translate("ask what may be read", err)
	}
	err = conn.QueryRow(ctx, "SELECT NOT row_security_active('heads') OR pg_has_role('"+WorkerRole+"', 'USAGE')").Scan(&s.several)
	return translate("ask what may be read", err)
}

// Unreadable are the tables that the login may not read.
func (s *Snapshot) Unreadable() []string { return s.unreadable }

// Organizations lists those of which anything is stored. It fails for a login that sees one
// organization at a time.
func (s *Snapshot) Organizations(ctx context.Context) ([]string, error) {
	if !s.several {
		return nil, errors.New("this login sees one organization at a time: name it, or use the worker's login or a superuser's")
	}
	conn := <-s.free
	defer func() { s.free <- conn }()
	organizations, err := queries.OrganizationsStored(ctx, conn)
	return organizations, translate("list organizations", err)
}

// Close ends the connections. Nothing may be reading.
func (s *Snapshot) Close() {
	for _, conn := range s.conns {
		conn.Close(context.Background())
	}
}

// Trail is one organization's. Its methods may be called at once.
func (s *Snapshot) Trail(organization string) *StoredTrail {
	return &StoredTrail{snapshot: s, organization: organization}
}

// StoredTrail reads everything that is stored of a trail, and holds what the store itself
// repeats of entries against them.
type StoredTrail struct {
	snapshot     *Snapshot
	organization string
}

func (t *StoredTrail) run(ctx context.Context, p *pipeline) error {
	var conn *pgx.Conn
	select {
	case conn = <-t.snapshot.free:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { t.snapshot.free <- conn }()
	return translate("read the trail of "+t.organization, p.run(ctx, conn))
}

func (t *StoredTrail) mayRead(table string) bool {
	return !slices.Contains(t.snapshot.unreadable, table)
}

// Step is how many positions are best checked at once: postings' ranges.
func (t *StoredTrail) Step() int64 { return rangeSize }

// Head is what the trail says of itself, or [audit.ErrNotFound].
func (t *StoredTrail) Head(ctx context.Context) (audit.StoredHead, error) {
	var p pipeline
	p.in(ctx, t.organization)
	found := many(&p, queries.HeadWhole(ctx, &p, []string{t.organization}).Query)
	if err := t.run(ctx, &p); err != nil {
		return audit.StoredHead{}, err
	}
	if len(*found) == 0 {
		return audit.StoredHead{}, audit.ErrNotFound
	}
	h := (*found)[0]
	return audit.StoredHead{Size: h.Size, LastCreatedAt: h.LastCreatedAt.UTC(), Frontier: h.Frontier, Root: h.Root}, nil
}

// End is the position behind the last entry that is stored.
func (t *StoredTrail) End(ctx context.Context) (int64, error) {
	var p pipeline
	p.in(ctx, t.organization)
	last := many(&p, queries.EntryLast(ctx, &p, []string{t.organization}).Query)
	err := t.run(ctx, &p)
	if len(*last) == 0 {
		return 0, err
	}
	return max(0, (*last)[0]+1), err
}

// Count is how many entries are stored in a span.
func (t *StoredTrail) Count(ctx context.Context, span audit.Span) (int64, error) {
	var p pipeline
	p.in(ctx, t.organization)
	count := one(&p, queries.EntryCount(ctx, &p, []db.EntryCountParams{{Organization: t.organization, Low: span.Low, High: span.High}}).QueryRow)
	err := t.run(ctx, &p)
	return *count, err
}

// LeafHashes visits the stored leaf hashes of a span in the order of positions.
func (t *StoredTrail) LeafHashes(ctx context.Context, span audit.Span, visit func(position int64, hash []byte)) error {
	var p pipeline
	p.in(ctx, t.organization)
	found := many(&p, queries.LeafHashAt(ctx, &p, []db.LeafHashAtParams{{Organization: t.organization, Low: span.Low, High: span.High}}).Query)
	err := t.run(ctx, &p)
	for _, row := range *found {
		visit(row.Position, row.LeafHash)
	}
	return err
}

// Tiles are the stored tiles of a level, from one index up to, without, another.
func (t *StoredTrail) Tiles(ctx context.Context, level int, low, high int64) ([]audit.StoredTile, error) {
	var p pipeline
	p.in(ctx, t.organization)
	found := many(&p, queries.TileWhole(ctx, &p, []db.TileWholeParams{{Organization: t.organization, Level: int16(level), Low: low, High: high}}).Query)
	err := t.run(ctx, &p)
	tiles := make([]audit.StoredTile, len(*found))
	for i, tile := range *found {
		tiles[i] = audit.StoredTile{Index: tile.Index, Hashes: tile.Hashes, Root: tile.Root}
	}
	return tiles, err
}

// checkpointsAtOnce bounds what of a trail's checkpoints is held.
const checkpointsAtOnce = 1024

// Checkpoints are some, in the order of their numbers, from a number on; none at the end.
func (t *StoredTrail) Checkpoints(ctx context.Context, from int64) ([]audit.Checkpoint, error) {
	var p pipeline
	p.in(ctx, t.organization)
	found := many(&p, queries.CheckpointWhole(ctx, &p, []db.CheckpointWholeParams{{
		Organization: t.organization, FromNumber: from, Max: checkpointsAtOnce,
	}}).Query)
	err := t.run(ctx, &p)
	checkpoints := make([]audit.Checkpoint, len(*found))
	for i, c := range *found {
		checkpoints[i] = audit.Checkpoint{Number: c.Number, Size: c.Size, Root: c.Root, Note: c.Note, SignedAt: c.SignedAt.UTC()}
	}
	return checkpoints, err
}

// findingsAtOnce bounds how much of one kind is told.
const findingsAtOnce = 100

// Beside finds what is stored of the trail where it has nothing, and what its tables of
// progress say that isn't so. size is the trail's, signed that of its newest checkpoint;
// deep looks into the tables that repeat entries too.
func (t *StoredTrail) Beside(ctx context.Context, size, signed int64, deep bool) ([]audit.Finding, error) {
	b := &beside{StoredTrail: t, size: size}
	for _, look := range []struct {
		may   bool
		query func(context.Context) error
	}{
		{true, b.entries},
		{true, b.tiles},
		{t.mayRead("signing_progress"), func(ctx context.Context) error { return b.signing(ctx, signed) }},
		{deep && t.mayRead("entry_ids"), b.ids},
		{deep && t.mayRead("postings") && t.mayRead("posting_values") && t.mayRead("posting_progress"), b.postings},
		{deep && t.organization == audit.AdminOrganization && t.mayRead("admin_search"), b.search},
	} {
		if !look.may {
			continue
		}
		if err := look.query(ctx); err != nil {
			return nil, err
		}
	}
	return b.found, nil
}

type beside struct {
	*StoredTrail
	size  int64
	found []audit.Finding
}

func (b *beside) add(position int64, format string, args ...any) {
	b.found = append(b.found, audit.Finding{Position: position, Detail: fmt.Sprintf(format, args...)})
}

func (b *beside) entries(ctx context.Context) error {
	const lowest, highest = -1 << 63, 1<<63 - 1
	var p pipeline
	p.in(ctx, b.organization)
	below := many(&p, queries.EntryPositions(ctx, &p, []db.EntryPositionsParams{{Organization: b.organization, Low: lowest, High: 0, Max: findingsAtOnce}}).Query)
	behind := many(&p, queries.EntryPositions(ctx, &p, []db.EntryPositionsParams{{Organization: b.organization, Low: b.size, High: highest, Max: findingsAtOnce}}).Query)
	err := b.run(ctx, &p)
	for _, position := range slices.Concat(*below, *behind) {
		b.add(position, "an entry is stored, and the head says that the trail has %d", b.size)
	}
	return err
}

func (b *beside) tiles(ctx context.Context) error {
	var p pipeline
	p.in(ctx, b.organization)
	stray := many(&p, queries.TileStray(ctx, &p, []db.TileStrayParams{{Organization: b.organization, Size: b.size, Max: findingsAtOnce}}).Query)
	err := b.run(ctx, &p)
	for _, tile := range *stray {
		b.add(-1, "tile %d/%d is stored, and a trail of %d entries hasn't got it", tile.Level, tile.Index, b.size)
	}
	return err
}

func (b *beside) signing(ctx context.Context, signed int64) error {
	var p pipeline
	p.in(ctx, b.organization)
	progress := many(&p, queries.SigningSize(ctx, &p, []string{b.organization}).Query)
	err := b.run(ctx, &p)
	said := int64(0)
	if len(*progress) > 0 {
		said = (*progress)[0]
	}
	if err == nil && said != signed {
		b.add(-1, "the progress of signing says that %d entries are signed, and the newest checkpoint is of %d", said, signed)
	}
	return err
}

func (b *beside) ids(ctx context.Context) error {
	var p pipeline
	p.in(ctx, b.organization)
	count := one(&p, queries.IDCount(ctx, &p, []string{b.organization}).QueryRow)
	if err := b.run(ctx, &p); err != nil || *count == b.size {
		return err // each entry has its id, which entries are asked for, so there are no others
	}
	var q pipeline
	q.in(ctx, b.organization)
	stray := many(&q, queries.IDStray(ctx, &q, []db.IDStrayParams{{Organization: b.organization, Max: findingsAtOnce}}).Query)
	err := b.run(ctx, &q)
	for _, row := range *stray {
		b.add(row.Position, "the id %q is said to be this entry's, which has another or isn't stored", row.ID)
	}
	return err
}

func (b *beside) postings(ctx context.Context) error {
	var ask, p pipeline
	ask.in(ctx, b.organization)
	progress := many(&ask, queries.PostedRanges(ctx, &ask, []string{b.organization}).Query)
	if err := b.run(ctx, &ask); err != nil {
		return err
	}
	ranges := int64(0)
	if len(*progress) > 0 {
		ranges = (*progress)[0]
	}
	if ranges > b.size/rangeSize {
		b.add(-1, "postings are said to be built for %d ranges, and the trail has %d", ranges, b.size/rangeSize)
	}
	p.in(ctx, b.organization)
	stray := many(&p, queries.PostingStray(ctx, &p, []db.PostingStrayParams{{Ranges: ranges, Organization: b.organization, Max: findingsAtOnce}}).Query)
	values := many(&p, queries.PostingValueStray(ctx, &p, []db.PostingValueStrayParams{{Organization: b.organization, Max: findingsAtOnce}}).Query)
	err := b.run(ctx, &p)
	for _, row := range *stray {
		what := "stand where none are built"
		if row.Wrong {
			what = "don't count on from those before"
		}
		b.add(max(-1, row.Range*rangeSize), "the postings of %s %q of this range %s", fieldName(row.Field), row.Value, what)
	}
	for _, row := range *values {
		b.add(-1, "%s %q is said to have postings, and has none", fieldName(row.Field), row.Value)
	}
	return err
}

func (b *beside) search(ctx context.Context) error {
	var p pipeline
	p.in(ctx, b.organization)
	stray := many(&p, queries.SearchStray(ctx, &p, []db.SearchStrayParams{{Size: b.size, Max: findingsAtOnce}}).Query)
	err := b.run(ctx, &p)
	for _, position := range *stray {
		b.add(position, "the search index has a text, and the admin trail no such entry")
	}
	return err
}

var fieldNames = [...]string{"", "action", "resource type", "resource id", "user id"}

// fieldName is what a number of the postings' tables stands for.
func fieldName(field int16) string {
	if field < 1 || int(field) >= len(fieldNames) {
		return fmt.Sprintf("field %d", field)
	}
	return fieldNames[field]
}
