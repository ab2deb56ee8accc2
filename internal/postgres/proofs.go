package postgres

import (
	"bytes"
	"context"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
)

// Tree reads hashes of a trail's tree, which must have the given size or a larger one. A
// tile that was full at that size is read as it was stored; hashes of any other come from
// the leaves, or from the roots of the tiles below.
func (s *Store) Tree(organization string, size int64) merkle.Reader {
	return readTree(s.reads, organization, size)
}

func readTree(from sender, organization string, size int64) merkle.Reader {
	return func(ctx context.Context, spans []merkle.Span) ([][]byte, error) {
		var p pipeline
		p.in(ctx, organization)
		reads := make([]*[][]byte, len(spans))
		for i, span := range spans {
			reads[i] = readSpan(ctx, &p, organization, size, span)
		}
		if err := p.run(ctx, from); err != nil {
			return nil, translate("read the tree", err)
		}
		hashes := make([][]byte, len(spans))
		for i, read := range reads {
			hashes[i] = bytes.Join(*read, nil)
		}
		return hashes, nil
	}
}

func readSpan(ctx context.Context, p *pipeline, organization string, size int64, span merkle.Span) *[][]byte {
	tile := merkle.TileID{Level: span.Level, Index: span.From / merkle.TileWidth}
	first := span.From - tile.Index*merkle.TileWidth
	switch {
	case tile.Full(size):
		return many(p, queries.TileHashes(ctx, p, []db.TileHashesParams{{
			Organization: organization, Level: int16(tile.Level), Index: tile.Index,
			First: int32(1 + first*merkle.HashSize), Length: int32((span.To - span.From) * merkle.HashSize),
		}}).Query)
	case span.Level == 0:
		return many(p, queries.LeafHashes(ctx, p, []db.LeafHashesParams{{Organization: organization, Low: span.From, High: span.To}}).Query)
	default:
		return many(p, queries.TileRoots(ctx, p, []db.TileRootsParams{{
			Organization: organization, Level: int16(span.Level - 1), Low: span.From, High: span.To,
		}}).Query)
	}
}

// Signed is the trail's newest checkpoint, of size 0 when there is none, and its size.
func (s *Store) Signed(ctx context.Context, organization string) (audit.Checkpoint, int64, error) {
	var p pipeline
	p.in(ctx, organization)
	newest := many(&p, queries.CheckpointNewest(ctx, &p, []string{organization}).Query)
	head := readSize(ctx, &p, organization)
	if err := p.run(ctx, s.reads); err != nil {
		return audit.Checkpoint{}, 0, translate("read a checkpoint", err)
	}
	return checkpointOf(*newest), sizeOf(*head, -1), nil
}

func checkpointOf(rows []db.CheckpointNewestRow) audit.Checkpoint {
	if len(rows) == 0 {
		return audit.Checkpoint{}
	}
	r := rows[0]
	return audit.Checkpoint{Number: r.Number, Size: r.Size, Root: r.Root, Note: r.Note, SignedAt: r.SignedAt.UTC()}
}

// EntryToProve finds one entry by its id, with what its proof begins with; or
// [audit.ErrNotFound].
func (s *Store) EntryToProve(ctx context.Context, organization, id string) (audit.ToProve, error) {
	var p pipeline
	p.in(ctx, organization)
	found := many(&p, queries.EntryToProve(ctx, &p, []db.EntryToProveParams{{Organization: organization, ID: id}}).Query)
	if err := p.run(ctx, s.reads); err != nil {
		return audit.ToProve{}, translate("read an entry", err)
	}
	if len(*found) == 0 {
		return audit.ToProve{}, audit.ErrNotFound
	}
	e := (*found)[0]
	return audit.ToProve{
		Row:   audit.Row{Position: e.Position, CreatedAt: e.CreatedAt.UTC(), Text: e.Entry},
		Salts: e.Salts, Tile: e.Hashes, Newest: audit.Checkpoint{Size: e.Size, Note: e.Note},
	}, nil
}

// RowsWithSalts reads entries and what opens their leaves, in the order of the positions,
// which descend and must exist.
func (s *Store) RowsWithSalts(ctx context.Context, organization string, positions []int64) ([]audit.Row, [][]byte, error) {
	var p pipeline
	p.in(ctx, organization)
	read := many(&p, queries.EntrySalts(ctx, &p, []db.EntrySaltsParams{{Organization: organization, Positions: positions}}).Query)
	if err := p.run(ctx, s.reads); err != nil {
		return nil, nil, translate("read entries with salts", err)
	}
	rows, salts, found := make([]audit.Row, len(*read)), make([][]byte, len(*read)), make([]int64, len(*read))
	for i, r := range *read {
		rows[i], salts[i], found[i] = audit.Row{Position: r.Position, CreatedAt: r.CreatedAt.UTC(), Text: r.Entry}, r.Salts, r.Position
	}
	return rows, salts, complete(organization, found, positions)
}

// Salts reads what opens the leaves of entries, in the order of the positions, which descend
// and must exist.
func (s *Store) Salts(ctx context.Context, organization string, positions []int64) ([][]byte, error) {
	var p pipeline
	p.in(ctx, organization)
	read := many(&p, queries.SaltsMany(ctx, &p, []db.SaltsManyParams{{Organization: organization, Positions: positions}}).Query)
	if err := p.run(ctx, s.reads); err != nil {
		return nil, translate("read salts", err)
	}
	salts, found := make([][]byte, len(*read)), make([]int64, len(*read))
	for i, r := range *read {
		salts[i], found[i] = r.Salts, r.Position
	}
	return salts, complete(organization, found, positions)
}
