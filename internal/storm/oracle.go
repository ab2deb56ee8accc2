package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
	"ocore.dev/audit/internal/proof"
)

// oracle holds one trail against what the clients were told of it. It trusts nobody: rows are
// read by SQL as the superuser, answers over HTTP from every instance, and hashes are computed
// anew by another library than the service's. Findings are its errors, each beginning with the
// name of its check.
type oracle struct {
	rig          *rig
	organization string
	findings     []error
	found        map[string]int // by check

	rows        []row
	positions   map[string]int64 // by id, from entry_ids
	head        headRow
	tiles       map[merkle.TileID]tileRow
	checkpoints []checkpointRow
	kept        []string // by instance
	hashes      tlog.HashReader
}

type row struct {
	position                                 int64
	createdAt                                time.Time
	action, resourceType, resourceID, userID *string
	entry                                    string
	salts, leafHash                          []byte
	id                                       string
	members                                  map[string]json.RawMessage
}

type headRow struct {
	size     int64
	last     time.Time
	frontier []byte
	root     []byte
}

type tileRow struct{ hashes, root []byte }

type checkpointRow struct {
	number, size int64
	root         []byte
	note         string
}

// judge looks at the trails, and tells all findings.
func (r *rig) judge(ctx context.Context, random *rand.Rand, organizations ...string) error {
	var all []error
	for _, organization := range organizations {
		o := &oracle{rig: r, organization: organization}
		if err := errors.Join(o.readKept(), o.read(ctx)); err != nil {
			return fmt.Errorf("the oracle can't read %s: %w", organization, err)
		}
		o.stored()
		o.order()
		o.tree()
		keys, err := r.keys.Keys(organization)
		if err != nil {
			return err
		}
		o.signatures(keys)
		seen := o.published(keys)
		if err := errors.Join(o.answers(ctx, keys, seen, random), o.verify(ctx, random)); err != nil {
			o.findings = append(o.findings, fmt.Errorf("the oracle can't ask about %s: %w", organization, err))
		}
		all = append(all, o.findings...)
	}
	return errors.Join(all...)
}

func (o *oracle) find(check, format string, arguments ...any) {
	if o.found == nil {
		o.found = map[string]int{}
	}
	if o.found[check]++; o.found[check] <= 5 {
		o.findings = append(o.findings, fmt.Errorf("%s: %s: %s", check, o.organization, fmt.Sprintf(format, arguments...)))
	}
}

// read takes one state of the whole trail.
func (o *oracle) read(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, o.rig.postgres().SuperuserURL(own.Name))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // it only read
	if _, err := tx.Exec(ctx, "SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_indexonlyscan = off"); err != nil {
		return err // the table itself, not what an index says of it
	}
	err = tx.QueryRow(ctx, "SELECT size, last_created_at, frontier, root FROM heads WHERE organization = $1", o.organization).
		Scan(&o.head.size, &o.head.last, &o.head.frontier, &o.head.root)
	if errors.Is(err, pgx.ErrNoRows) {
		o.head.root = nil
	} else if err != nil {
		return err
	}
	return errors.Join(o.readRows(ctx, tx), o.readIDs(ctx, tx), o.readTiles(ctx, tx), o.readCheckpoints(ctx, tx))
}

func (o *oracle) readRows(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT position, created_at, action, resource_type, resource_id, user_id, entry, salts, leaf_hash
		FROM entries WHERE organization = $1 ORDER BY position`, o.organization)
	if err != nil {
		return err
	}
	var r row
	_, err = pgx.ForEachRow(rows, []any{&r.position, &r.createdAt, &r.action, &r.resourceType, &r.resourceID, &r.userID, &r.entry, &r.salts, &r.leafHash}, func() error {
		next := r
		next.salts, next.leafHash = bytes.Clone(r.salts), bytes.Clone(r.leafHash)
		next.members = map[string]json.RawMessage{}
		if err := json.Unmarshal([]byte(r.entry), &next.members); err != nil {
			o.find("content", "position %d is no JSON object", r.position)
		}
		_ = json.Unmarshal(next.members["id"], &next.id)
		o.rows = append(o.rows, next)
		return nil
	})
	return err
}

func (o *oracle) readIDs(ctx context.Context, tx pgx.Tx) error {
	o.positions = map[string]int64{}
	rows, err := tx.Query(ctx, "SELECT id, position FROM entry_ids WHERE organization = $1", o.organization)
	if err != nil {
		return err
	}
	var id string
	var position int64
	_, err = pgx.ForEachRow(rows, []any{&id, &position}, func() error {
		if _, twice := o.positions[id]; twice {
			o.find("once", "the id %s has two positions", id)
		}
		o.positions[id] = position
		return nil
	})
	return err
}

func (o *oracle) readTiles(ctx context.Context, tx pgx.Tx) error {
	o.tiles = map[merkle.TileID]tileRow{}
	rows, err := tx.Query(ctx, "SELECT level, index, hashes, root FROM tiles WHERE organization = $1", o.organization)
	if err != nil {
		return err
	}
	var id merkle.TileID
	var t tileRow
	_, err = pgx.ForEachRow(rows, []any{&id.Level, &id.Index, &t.hashes, &t.root}, func() error {
		o.tiles[id] = tileRow{bytes.Clone(t.hashes), bytes.Clone(t.root)}
		return nil
	})
	return err
}

func (o *oracle) readCheckpoints(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, "SELECT number, size, root, note FROM checkpoints WHERE organization = $1 ORDER BY number", o.organization)
	if err != nil {
		return err
	}
	var c checkpointRow
	_, err = pgx.ForEachRow(rows, []any{&c.number, &c.size, &c.root, &c.note}, func() error {
		next := c
		next.root = bytes.Clone(c.root)
		o.checkpoints = append(o.checkpoints, next)
		return nil
	})
	return err
}

// stored holds rows and history against each other.
func (o *oracle) stored() {
	h := o.rig.history
	h.mu.Lock()
	defer h.mu.Unlock()
	byID := map[string]*row{}
	for n := range o.rows {
		r := &o.rows[n]
		if byID[r.id] != nil {
			o.find("once", "the id %s stands at %d and %d", r.id, byID[r.id].position, r.position)
		}
		byID[r.id] = r
		if at, has := o.positions[r.id]; !has || at != r.position {
			o.find("once", "the id %s of position %d leads to %d", r.id, r.position, at)
		}
		o.sent(r, h.entries[key{o.organization, r.id}])
	}
	if len(o.positions) != len(o.rows) {
		o.find("once", "%d ids lead to %d entries", len(o.positions), len(o.rows))
	}
	for k, t := range h.entries {
		if k.organization != o.organization {
			continue
		}
		if t.receipt != nil {
			o.acknowledged(k, t, byID[k.id])
		}
		switch r := byID[k.id]; {
		case t.fate == kept && r == nil:
			o.find("lost", "the id %s was taken by a spool or an outbox, and isn't stored", k.id)
		case t.fate == never && r != nil:
			o.find("invented", "the id %s at %d was refused by a spool, or rolled back", k.id, r.position)
		}
	}
}

// sent holds that an entry was sent by somebody who wasn't told that it isn't stored, and
// is what was sent.
func (o *oracle) sent(r *row, t *told) {
	var action string
	_ = json.Unmarshal(r.members["action"], &action)
	if o.organization == audit.AdminOrganization && action == "audit_log.exported" {
		return // by the service itself
	}
	if t == nil {
		o.find("invented", "the id %s at %d was never sent", r.id, r.position)
		return
	}
	for _, c := range t.contents {
		if difference := differs(r.members, c.members); difference != "" {
			if len(t.contents) == 1 {
				o.find("content", "the id %s at %d: %s", r.id, r.position, difference)
			}
			continue
		}
		if c.sent <= c.refused {
			o.find("invented", "the id %s at %d is stored, and every answer was a 4xx", r.id, r.position)
		}
		if t.receipt != nil && !c.stored {
			o.find("content", "the id %s at %d is stored with another content than was acknowledged", r.id, r.position)
		}
		return
	}
	if len(t.contents) > 1 {
		o.find("content", "the id %s at %d has none of the contents that were sent", r.id, r.position)
	}
}

// differs compares byte for byte what is kept so; of strings outside states it compares what
// they say, and of occurredAt the moment.
func differs(stored, sent map[string]json.RawMessage) string {
	if len(stored) != len(sent)+1 || stored["recordedBy"] == nil {
		return fmt.Sprintf("it has %d members, and %d were sent", len(stored), len(sent))
	}
	for name, want := range sent {
		got := stored[name]
		if bytes.Equal(got, want) {
			continue
		}
		var a, b string
		if json.Unmarshal(got, &a) != nil || json.Unmarshal(want, &b) != nil {
			return fmt.Sprintf("%s is %s, and %s was sent", name, got, want)
		}
		if name == "occurredAt" {
			at, _ := time.Parse(time.RFC3339Nano, a)
			sent, err := time.Parse(time.RFC3339Nano, b)
			if err == nil && at.Equal(sent) {
				continue
			}
		}
		if a != b {
			return fmt.Sprintf("%s is %q, and %q was sent", name, a, b)
		}
	}
	return ""
}

// acknowledged holds that what was acknowledged is there, where and when it was said to be.
func (o *oracle) acknowledged(k key, t *told, r *row) {
	if r == nil {
		o.find("lost", "the id %s was acknowledged at %d, and isn't stored", k.id, t.receipt.position)
		return
	}
	if r.position != t.receipt.position || audit.FormatTime(r.createdAt) != t.receipt.createdAt {
		o.find("lost", "the id %s was acknowledged at %d, %s, and stands at %d, %s", k.id,
			t.receipt.position, t.receipt.createdAt, r.position, audit.FormatTime(r.createdAt))
	}
	taken := 0
	for _, c := range t.contents {
		if c.stored {
			taken++
		}
	}
	if taken > 1 {
		o.find("content", "%d contents were acknowledged under the id %s", taken, k.id)
	}
}

// order holds positions, times and the columns that are filtered on.
func (o *oracle) order() {
	last := time.Time{}
	for n := range o.rows {
		r := &o.rows[n]
		if r.position != int64(n) {
			o.find("dense", "position %d follows %d others", r.position, n)
			return
		}
		if r.createdAt.Before(last) {
			o.find("time", "position %d is earlier than the one before it", n)
		}
		last = r.createdAt
		for name, column := range map[string]*string{"action": r.action, "resourceType": r.resourceType, "resourceId": r.resourceID, "userId": r.userID} {
			var value *string
			if raw, has := r.members[name]; has {
				_ = json.Unmarshal(raw, &value)
			}
			if (value == nil) != (column == nil) || value != nil && *value != *column {
				o.find("content", "position %d: the column of %s isn't the entry's", n, name)
			}
		}
	}
	if o.head.size != int64(len(o.rows)) {
		o.find("dense", "the head says %d, and there are %d entries", o.head.size, len(o.rows))
	}
	if len(o.rows) > 0 && o.head.last.Before(last) {
		o.find("time", "the head's time is before its last entry's")
	}
}

// hashStore keeps the tree's hashes as package tlog numbers them.
type hashStore []tlog.Hash

func (s hashStore) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(s)) {
			return nil, fmt.Errorf("the tree has no hash %d", index)
		}
		hashes[i] = s[index]
	}
	return hashes, nil
}

// tileHeight is of tiles of 256 hashes (c2sp.org/tlog-tiles).
const tileHeight = 8

// tree computes all hashes anew from the entries.
func (o *oracle) tree() {
	var store hashStore
	for n := range o.rows {
		r := &o.rows[n]
		leaf, err := audit.Leaf(o.organization, r.createdAt, []byte(r.entry), r.salts)
		if err != nil {
			o.find("root", "position %d: %s", n, err)
			return
		}
		hash := tlog.RecordHash(leaf)
		if !bytes.Equal(hash[:], r.leafHash) {
			o.find("root", "position %d: the leaf's hash isn't that of its entry", n)
		}
		more, err := tlog.StoredHashesForRecordHash(int64(n), hash, store)
		if err != nil {
			o.find("root", "position %d: %s", n, err)
			return
		}
		store = append(store, more...)
	}
	o.hashes = store
	if o.head.root != nil {
		o.root("the head", o.head.size, o.head.root)
		tree, err := merkle.Open(o.head.size, o.head.frontier)
		if err != nil {
			o.find("root", "the head's frontier: %s", err)
		} else if root, err := tree.Root(); err != nil || !bytes.Equal(root, o.head.root) {
			o.find("root", "the head's frontier doesn't lead to its root")
		}
	}
	o.checkTiles()
}

func (o *oracle) root(whose string, size int64, root []byte) {
	if size > int64(len(o.rows)) {
		o.find("root", "%s says %d entries, and there are %d", whose, size, len(o.rows))
		return
	}
	hash, err := tlog.TreeHash(size, o.hashes)
	if err != nil || !bytes.Equal(hash[:], root) {
		o.find("root", "%s says another root of size %d than its entries have (%v)", whose, size, err)
	}
}

func (o *oracle) checkTiles() {
	want := 0
	for level, width := 0, int64(len(o.rows))/256; width > 0; level, width = level+1, width/256 {
		for index := range width {
			want++
			id := merkle.TileID{Level: level, Index: index}
			stored, has := o.tiles[id]
			if !has {
				o.find("tiles", "tile %d of level %d is missing", index, level)
				continue
			}
			data, err := tlog.ReadTileData(tlog.Tile{H: tileHeight, L: level, N: index, W: 256}, o.hashes)
			if err != nil || !bytes.Equal(data, stored.hashes) {
				o.find("tiles", "tile %d of level %d is another one (%v)", index, level, err)
			}
			above, err := o.hashes.ReadHashes([]int64{tlog.StoredHashIndex(tileHeight*(level+1), index)})
			if err != nil || !bytes.Equal(above[0][:], stored.root) {
				o.find("tiles", "the root of tile %d of level %d is another one (%v)", index, level, err)
			}
		}
	}
	if want != len(o.tiles) {
		o.find("tiles", "there are %d tiles, not %d", len(o.tiles), want)
	}
}

// signatures holds everything that was ever signed against the entries and against each other.
func (o *oracle) signatures(keys proof.Keys) {
	notes := map[string]bool{}
	for n, c := range o.checkpoints {
		notes[c.note] = true
		signed, err := keys.Open([]byte(c.note))
		if err != nil || signed.Origin != o.rig.keys.Origin(o.organization) || signed.Size != c.size || !bytes.Equal(signed.Root, c.root) {
			o.find("checkpoints", "number %d isn't what its note says (%v)", c.number, err)
			continue
		}
		if c.number != int64(n) {
			o.find("checkpoints", "number %d follows %d others", c.number, n)
		}
		o.root(fmt.Sprintf("checkpoint %d", c.number), c.size, c.root)
		if n > 0 {
			o.consistent(o.checkpoints[n-1], c)
		}
	}
	for instance, note := range o.kept {
		if note != "" && !notes[note] {
			o.find("checkpoints", "what instance %d kept isn't in the database", instance)
		}
	}
}

func (o *oracle) consistent(from, to checkpointRow) {
	if to.size < from.size || to.size > int64(len(o.rows)) {
		o.find("checkpoints", "number %d of size %d follows one of size %d", to.number, to.size, from.size)
		return
	}
	var path [][]byte
	if from.size < to.size {
		hashes, err := tlog.ProveTree(to.size, from.size, o.hashes)
		if err != nil {
			o.find("checkpoints", "number %d: %s", to.number, err)
			return
		}
		for _, hash := range hashes {
			path = append(path, bytes.Clone(hash[:]))
		}
	}
	if err := merkle.VerifyConsistency(from.size, to.size, path, from.root, to.root); err != nil {
		o.find("checkpoints", "number %d doesn't go on from the one before it: %s", to.number, err)
	}
}

// readKept comes before the database is read: what is kept was published before.
func (o *oracle) readKept() error {
	var failed []error
	for _, i := range o.rig.instances {
		note, err := i.kept(o.organization)
		o.kept, failed = append(o.kept, note), append(failed, err)
	}
	return errors.Join(failed...)
}

// page is one page of a list.
type page struct {
	Items      []json.RawMessage
	Logs       []json.RawMessage
	Total      int64
	NextCursor string
}

// answers asks every instance.
func (o *oracle) answers(ctx context.Context, keys proof.Keys, seen []shown, random *rand.Rand) error {
	belongs := o.organization
	if belongs == audit.AdminOrganization {
		belongs = o.rig.trails[0]
	}
	token, err := o.rig.token(belongs)
	if err != nil {
		return err
	}
	for _, i := range o.rig.instances {
		ask := func(path string, into any) error { return o.get(ctx, i.url()+path, token, into) }
		if o.organization == audit.AdminOrganization {
			var p page
			if err := ask("/admin/audit-logs?limit=1", &p); err != nil {
				return err
			}
			if p.Total != int64(len(o.rows)) {
				o.find("totals", "instance %d counts %d entries of %d", i.number, p.Total, len(o.rows))
			}
			continue
		}
		if err := errors.Join(o.totals(ask, i, random), o.pages(ask, i), o.singles(ask, i, random), o.consistencies(ask, i, keys, seen, random)); err != nil {
			return err
		}
	}
	return nil
}

func (o *oracle) get(ctx context.Context, address, token string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	client := o.rig.asked
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode == http.StatusNotFound {
		return errMissing
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", address, response.Status, body)
	}
	return json.Unmarshal(body, into)
}

var errMissing = errors.New("not found")

// totals compares the totals of filters with counts of the rows.
func (o *oracle) totals(ask func(string, any) error, i *instance, random *rand.Rand) error {
	filters := []map[string]string{{}}
	for range 6 {
		f := map[string]string{}
		for _, name := range [][2]string{{"action", actions[random.IntN(len(actions))]}, {"resource_type", "server"}, {"resource_id", fmt.Sprintf("r-%d", random.IntN(200))}, {"user_id", fmt.Sprintf("u-%d", random.IntN(9))}} {
			if random.IntN(2) == 0 {
				f[name[0]] = name[1]
			}
		}
		if len(o.rows) > 0 && random.IntN(3) == 0 {
			f["start_date"] = audit.FormatTime(o.rows[random.IntN(len(o.rows))].createdAt)
		}
		filters = append(filters, f)
	}
	for _, f := range filters {
		query, want := url.Values{"per_page": {"1"}}, int64(0)
		for name, value := range f {
			query.Set(name, value)
		}
		for n := range o.rows {
			if o.rows[n].matches(f) {
				want++
			}
		}
		var p page
		if err := ask("/audit-logs?"+query.Encode(), &p); err != nil {
			return err
		}
		if p.Total != want {
			o.find("totals", "instance %d counts %d entries of %v, and there are %d", i.number, p.Total, f, want)
		}
	}
	return nil
}

func (r *row) matches(filter map[string]string) bool {
	for name, want := range filter {
		if name == "start_date" {
			if from, err := audit.ParseTime(want); err != nil || r.createdAt.Before(from) {
				return false
			}
			continue
		}
		column := map[string]*string{"action": r.action, "resource_type": r.resourceType, "resource_id": r.resourceID, "user_id": r.userID}[name]
		if column == nil || *column != want {
			return false
		}
	}
	return true
}

// shown is an entry as an answer must show it, byte for byte.
func (r *row) shown() string {
	return fmt.Sprintf(`%s,"position":%d,"createdAt":"%s"}`, strings.TrimSuffix(r.entry, "}"), r.position, audit.FormatTime(r.createdAt))
}

// pages walks along the whole trail.
func (o *oracle) pages(ask func(string, any) error, i *instance) error {
	next := len(o.rows) - 1
	for path := "/audit-logs?per_page=1000"; path != ""; {
		var p page
		if err := ask(path, &p); err != nil {
			return err
		}
		for _, item := range p.Items {
			if next < 0 || string(item) != o.rows[next].shown() {
				o.find("pages", "instance %d: a walk shows something else where position %d is: %.200s", i.number, next, item)
				return nil
			}
			next--
		}
		path = ""
		if p.NextCursor != "" {
			path = "/audit-logs?per_page=1000&cursor=" + url.QueryEscape(p.NextCursor)
		}
	}
	if next != -1 {
		o.find("pages", "instance %d: a walk ends at position %d", i.number, next+1)
	}
	return nil
}

// singles reads some entries by their ids.
func (o *oracle) singles(ask func(string, any) error, i *instance, random *rand.Rand) error {
	for range min(20, len(o.rows)) {
		r := &o.rows[random.IntN(len(o.rows))]
		var got json.RawMessage
		if err := ask("/audit-logs/entries/"+r.id, &got); err != nil && !errors.Is(err, errMissing) {
			return err
		}
		if strings.TrimSpace(string(got)) != r.shown() {
			o.find("singles", "instance %d shows position %d as %.200s", i.number, r.position, got)
		}
	}
	return nil
}
