package postgres

import (
	"bytes"
	"context"
	"fmt"

	"ocore.dev/audit/gen/db"
	"ocore.dev/audit/internal/merkle"
)

// readTiles asks for the hashes that the tiles finished by this growth hold from before:
// leaf hashes for the lowest level, the roots of the tiles below for the others.
func (g *growth) readTiles(ctx context.Context, p *pipeline) {
	g.stored = map[merkle.TileID]*[][]byte{}
	below := g.added.OldSize // hashes of the tile's level that were stored before
	level := 0
	for _, tile := range merkle.FinishedTiles(g.added.OldSize, g.tree.Size()) {
		for ; level < tile.Level; level++ {
			below /= merkle.TileWidth
		}
		first := tile.Index * merkle.TileWidth
		if first >= below {
			continue
		}
		if len(g.stored) == 0 {
			p.in(ctx, g.organization)
		}
		if tile.Level == 0 {
			g.stored[tile] = many(p, queries.LeafHashes(ctx, p, []db.LeafHashesParams{{
				Organization: g.organization, Low: first, High: below,
			}}).Query)
		} else {
			g.stored[tile] = many(p, queries.TileRoots(ctx, p, []db.TileRootsParams{{
				Organization: g.organization, Level: int16(tile.Level - 1), Low: first, High: below,
			}}).Query)
		}
	}
}

// addTiles adds the finished tiles, lower levels first, since each level is made of
// the roots of the one below.
func (g *growth) addTiles() error {
	fresh, offset := g.added.LeafHashes, g.added.OldSize // hashes of the level from this growth, and the first one's index
	var roots [][]byte
	level := 0
	for _, tile := range merkle.FinishedTiles(g.added.OldSize, g.tree.Size()) {
		for ; level < tile.Level; level++ {
			fresh, roots = roots, nil
			offset /= merkle.TileWidth
		}
		hashes, err := g.tileHashes(tile, fresh, offset)
		if err != nil {
			return err
		}
		root, err := merkle.TileRoot(hashes)
		if err != nil {
			return err
		}
		roots = append(roots, root)
		g.added.Levels = append(g.added.Levels, int16(tile.Level))
		g.added.Indexes = append(g.added.Indexes, tile.Index)
		g.added.Hashes = append(g.added.Hashes, hashes)
		g.added.Roots = append(g.added.Roots, root)
	}
	return nil
}

// tileHashes joins what the tile holds from before with what this growth adds.
func (g *growth) tileHashes(tile merkle.TileID, fresh [][]byte, offset int64) ([]byte, error) {
	var parts [][]byte
	if before := g.stored[tile]; before != nil {
		parts = append(parts, *before...)
	}
	first := tile.Index*merkle.TileWidth + int64(len(parts)) - offset
	if missing := merkle.TileWidth - int64(len(parts)); first >= 0 && first+missing <= int64(len(fresh)) {
		parts = append(parts, fresh[first:first+missing]...)
	}
	if len(parts) != merkle.TileWidth {
		return nil, fmt.Errorf("tile %d of level %d has %d hashes", tile.Index, tile.Level, len(parts))
	}
	return bytes.Join(parts, nil), nil
}
