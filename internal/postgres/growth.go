package postgres

import (
	"context"
	"fmt"
	"time"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
)

// growth is what one transaction adds to one trail.
type growth struct {
	organization string
	requests     []*request
	outcomes     []outcome // one for each request

	now      time.Time // the database's clock under the head's lock
	oldSize  int64
	last     time.Time
	tree     *merkle.Tree
	known    map[string]audit.Receipt // by id, stored before or placed in this transaction
	entries  db.EntryInsertManyParams
	entryIDs []string
	folded   []string
	stored   map[merkle.TileID]*[][]byte // what the finished tiles hold from before
}

func (g *growth) ids() []string {
	var ids []string
	for _, r := range g.requests {
		for _, e := range r.submission.Entries {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// place gives positions, times and leaves to the entries of every request that can be
// stored, and an error to every other one.
func (g *growth) place(head db.HeadLockRow, known []db.EntryKnownRow) (err error) {
	g.now, g.last, g.oldSize = head.Now.UTC(), head.LastCreatedAt.UTC(), head.Size
	if g.tree, err = merkle.Open(head.Size, head.Frontier); err != nil {
		return err
	}
	g.known = make(map[string]audit.Receipt, len(known))
	for _, k := range known {
		g.known[k.ID] = audit.Receipt{ID: k.ID, Row: audit.Row{Position: k.Position, CreatedAt: k.CreatedAt, Text: k.Entry}, LeafHash: k.LeafHash}
	}
	g.entries = db.EntryInsertManyParams{Organization: g.organization}
	g.outcomes, g.entryIDs, g.folded = nil, nil, nil
	for _, r := range g.requests {
		var o outcome
		if o.err = g.check(r.submission); o.err == nil {
			if o.receipts, err = g.add(r); err != nil {
				return err
			}
		}
		g.outcomes = append(g.outcomes, o)
	}
	return nil
}

// check finds what keeps a submission from being stored, before any of it is placed.
func (g *growth) check(s audit.Submission) error {
	last := g.last
	for _, e := range s.Entries {
		if stored, known := g.known[e.ID]; known {
			if !e.SameAs(stored.Row) {
				return &audit.Rejection{
					Kind: audit.ErrConflict, ID: e.ID,
					Detail: fmt.Sprintf("the id %q is another entry's; send the same content again, or a new id", e.ID),
				}
			}
			continue
		}
		switch at := e.OriginalTime; {
		case at.IsZero():
			last = later(g.now, last)
		case at.Before(last):
			return &audit.Rejection{
				Kind: audit.ErrUnprocessable, ID: e.ID,
				Detail: fmt.Sprintf("%s is before the trail's last entry at %s; a trail only grows forward", audit.FormatTime(at), audit.FormatTime(last)),
			}
		case at.After(g.now):
			return &audit.Rejection{
				Kind: audit.ErrUnprocessable, ID: e.ID,
				Detail: fmt.Sprintf("%s is in the future", audit.FormatTime(at)),
			}
		default:
			last = at
		}
	}
	return nil
}

// add places what isn't known. An entry that an earlier attempt of the same request placed
// where it is found now was stored by that attempt, whose answer was lost: it is no replay.
func (g *growth) add(r *request) ([]audit.Receipt, error) {
	s := r.submission
	receipts := make([]audit.Receipt, len(s.Entries))
	for i, e := range s.Entries {
		receipt, known := g.known[e.ID]
		if !known {
			var err error
			if receipt, err = g.addEntry(s.RecordedBy, e, r.sealed[i]); err != nil {
				return nil, err
			}
			g.known[e.ID] = receipt
		}
		at, placed := r.placed[e.ID]
		receipt.Existing = known && (!placed || at != receipt.Row.Position)
		if !receipt.Existing {
			r.placed[e.ID] = receipt.Row.Position
		}
		receipts[i] = receipt
	}
	return receipts, nil
}

func (g *growth) addEntry(recordedBy string, e audit.Admitted, sealed audit.Sealed) (audit.Receipt, error) {
	at := later(g.now, g.last)
	if !e.OriginalTime.IsZero() {
		at = e.OriginalTime
		var err error
		if sealed, err = audit.NewSealed(g.organization, e.Seal(recordedBy, g.now)); err != nil {
			return audit.Receipt{}, err
		}
	}
	row := audit.Row{Position: g.tree.Size(), CreatedAt: at, Text: sealed.Text}
	hash := merkle.LeafHash(sealed.Leaf(at))
	if err := g.tree.Append(hash); err != nil {
		return audit.Receipt{}, err
	}
	g.last = at
	g.entryIDs = append(g.entryIDs, e.ID)
	g.folded = append(g.folded, e.SearchText)
	g.entries.Positions = append(g.entries.Positions, row.Position)
	g.entries.CreatedAt = append(g.entries.CreatedAt, at)
	g.entries.Actions = append(g.entries.Actions, e.Action)
	g.entries.ResourceTypes = append(g.entries.ResourceTypes, e.ResourceType)
	g.entries.ResourceIds = append(g.entries.ResourceIds, e.ResourceID)
	g.entries.UserIds = append(g.entries.UserIds, e.UserID)
	g.entries.Entries = append(g.entries.Entries, string(row.Text))
	g.entries.Salts = append(g.entries.Salts, sealed.Salts)
	g.entries.LeafHashes = append(g.entries.LeafHashes, hash)
	return audit.Receipt{ID: e.ID, Row: row, LeafHash: hash}, nil
}

// write adds the statements that store the growth, if there is any.
func (g *growth) write(ctx context.Context, p *pipeline) error {
	if len(g.entryIDs) == 0 {
		return nil
	}
	p.in(ctx, g.organization)
	exec(p, queries.EntryInsertMany(ctx, p, []db.EntryInsertManyParams{g.entries}).Exec)
	exec(p, queries.EntryIDInsertMany(ctx, p, []db.EntryIDInsertManyParams{{
		Organization: g.organization, Ids: g.entryIDs, Positions: g.entries.Positions,
	}}).Exec)
	if g.organization == audit.AdminOrganization {
		exec(p, queries.AdminSearchInsertMany(ctx, p, []db.AdminSearchInsertManyParams{{
			Positions: g.entries.Positions, Folded: g.folded,
		}}).Exec)
	}
	if err := g.writeTiles(ctx, p); err != nil {
		return err
	}
	root, err := g.tree.Root()
	if err != nil {
		return err
	}
	exec(p, queries.HeadAdvance(ctx, p, []db.HeadAdvanceParams{{
		Organization: g.organization, Size: g.tree.Size(), LastCreatedAt: g.last,
		Frontier: g.tree.Frontier(), Root: root,
	}}).Exec)
	return nil
}

// fault marks an error as the trail's own.
func (g *growth) fault(err error) error {
	return fmt.Errorf("%w of %s: %w", errTrail, g.organization, err)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
