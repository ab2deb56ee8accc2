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

	now    time.Time // the database's clock under the head's lock
	last   time.Time
	tree   *merkle.Tree
	known  map[string]audit.Receipt // by id, stored before or placed in this transaction
	added  db.TrailGrowParams
	stored map[merkle.TileID]*[][]byte // what the finished tiles hold from before
}

// uncertain are the ids that may be stored: what clients chose, and what an earlier attempt
// placed. New ones aren't looked for; of two that were the same, against all odds, the primary
// key would refuse the second.
func (g *growth) uncertain() []string {
	var ids []string
	for _, r := range g.requests {
		for _, e := range r.submission.Entries {
			if _, placed := r.placed[e.ID]; placed || !e.NewID {
				ids = append(ids, e.ID)
			}
		}
	}
	return ids
}

// place gives positions, times and leaves to the entries of every request that can be
// stored, and an error to every other one.
func (g *growth) place(head db.HeadLockRow, known []db.EntryKnownRow) (err error) {
	g.now, g.last = head.Now.UTC(), head.LastCreatedAt.UTC()
	if g.tree, err = merkle.Open(head.Size, head.Frontier); err != nil {
		return err
	}
	g.known = make(map[string]audit.Receipt, len(known))
	for _, k := range known {
		g.known[k.ID] = audit.Receipt{ID: k.ID, Row: audit.Row{Position: k.Position, CreatedAt: k.CreatedAt, Text: k.Entry}, LeafHash: k.LeafHash}
	}
	g.added = db.TrailGrowParams{Organization: g.organization, OldSize: head.Size}
	g.outcomes = nil
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
	g.added.Ids = append(g.added.Ids, e.ID)
	g.added.CreatedAt = append(g.added.CreatedAt, at)
	g.added.Actions = append(g.added.Actions, e.Action)
	g.added.ResourceTypes = append(g.added.ResourceTypes, e.ResourceType)
	g.added.ResourceIds = append(g.added.ResourceIds, e.ResourceID)
	g.added.UserIds = append(g.added.UserIds, e.UserID)
	g.added.Entries = append(g.added.Entries, string(row.Text))
	g.added.Salts = append(g.added.Salts, sealed.Salts)
	g.added.LeafHashes = append(g.added.LeafHashes, hash)
	if g.organization == audit.AdminOrganization {
		g.added.Searchable = append(g.added.Searchable, row.Position)
		g.added.Folded = append(g.added.Folded, e.SearchText)
	}
	return audit.Receipt{ID: e.ID, Row: row, LeafHash: hash}, nil
}

// write adds the statement that stores the growth, if there is any.
func (g *growth) write(ctx context.Context, p *pipeline) (err error) {
	if len(g.added.Ids) == 0 {
		return nil
	}
	if err := g.addTiles(); err != nil {
		return err
	}
	if g.added.Root, err = g.tree.Root(); err != nil {
		return err
	}
	g.added.Size, g.added.LastCreatedAt, g.added.Frontier = g.tree.Size(), g.last, g.tree.Frontier()
	p.in(ctx, g.organization)
	one(p, queries.TrailGrow(ctx, p, []db.TrailGrowParams{g.added}).QueryRow)
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
