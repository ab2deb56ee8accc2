package merkle

import "fmt"

// TileWidth is the number of hashes in a finished tile (C2SP tlog-tiles).
const TileWidth = 256

// TileID names a tile: Index counts the tiles of a Level from the left, and level L
// holds the hashes of the subtrees over 256^L leaves.
type TileID struct {
	Level int
	Index int64
}

// Full reports whether all 256 hashes of the tile exist in a tree of the given size.
func (t TileID) Full(size int64) bool { return t.Index < LevelWidth(size, t.Level+1) }

// LevelWidth is how many hashes a level of tiles has in a tree of the given size.
func LevelWidth(size int64, level int) int64 {
	for range level {
		size /= TileWidth
	}
	return size
}

// FinishedTiles lists the tiles that become full when a tree grows from oldSize to
// newSize leaves, lower levels first, each level from the left.
func FinishedTiles(oldSize, newSize int64) []TileID {
	var tiles []TileID
	for level := 0; newSize >= TileWidth; level++ {
		oldSize, newSize = oldSize/TileWidth, newSize/TileWidth
		for index := oldSize; index < newSize; index++ {
			tiles = append(tiles, TileID{level, index})
		}
	}
	return tiles
}

// TileRoot is the hash of the subtree over a full tile's hashes: the tile's place in
// the tile above.
func TileRoot(hashes []byte) ([]byte, error) {
	if len(hashes) != TileWidth*HashSize {
		return nil, fmt.Errorf("a full tile has %d bytes, not %d", TileWidth*HashSize, len(hashes))
	}
	return perfect(hashes), nil
}
