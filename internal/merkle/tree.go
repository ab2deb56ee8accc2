// Package merkle is the arithmetic of a trail's tree: RFC 6962 hashes over leaves in
// position order, the frontier from which a tree of any size goes on growing, and the
// C2SP tiles that its finished parts are kept in. It works on bytes and knows neither
// entries nor databases. Frontiers, and which hashes a proof has, come from
// transparency-dev/merkle, so that what we compute is what everybody's verifiers compute. The
// hash of two children is our own ten lines, since that library's allocates for each: it was
// most of what a tile cost.
package merkle

import (
	"crypto/sha256"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

// HashSize is the length of every hash, in bytes.
const HashSize = 32

var ranges = compact.RangeFactory{Hash: hashChildren}

// LeafHash is the hash of a leaf's bytes (RFC 6962, section 2.1).
func LeafHash(leaf []byte) []byte { return rfc6962.DefaultHasher.HashLeaf(leaf) }

// hashChildren is the hash of the subtree over two (RFC 6962, section 2.1).
func hashChildren(left, right []byte) []byte {
	var children [2 * HashSize]byte
	copy(children[copy(children[:], left):], right)
	parent := parentOf(children[:])
	return parent[:]
}

// parentOf is hashChildren of joined hashes.
func parentOf(children []byte) [HashSize]byte {
	var node [1 + 2*HashSize]byte
	node[0] = rfc6962.RFC6962NodeHashPrefix
	copy(node[1:], children)
	return sha256.Sum256(node[:])
}

// Tree is an append-only tree known by its frontier alone: the roots of its perfect
// subtrees, from the left, largest first. It takes at most 63 hashes for any size.
type Tree struct{ compact *compact.Range }

// Open continues the tree of the given size whose [Tree.Frontier] was kept. It fails
// when the frontier doesn't fit the size.
func Open(size int64, frontier []byte) (*Tree, error) {
	hashes, err := split(frontier)
	if err != nil || size < 0 {
		return nil, fmt.Errorf("open a tree of size %d: bad frontier of %d bytes", size, len(frontier))
	}
	r, err := ranges.NewRange(0, uint64(size), hashes)
	if err != nil {
		return nil, fmt.Errorf("open a tree of size %d: %w", size, err)
	}
	return &Tree{r}, nil
}

// Append adds the leaf hash at position [Tree.Size].
func (t *Tree) Append(leafHash []byte) error { return t.compact.Append(leafHash, nil) }

// Size is the number of leaves.
func (t *Tree) Size() int64 { return int64(t.compact.End()) }

// Frontier is what [Open] needs to go on from here.
func (t *Tree) Frontier() []byte {
	var joined []byte
	for _, h := range t.compact.Hashes() {
		joined = append(joined, h...)
	}
	return joined
}

// Root is the Merkle tree hash (RFC 6962, section 2.1); of no leaves, the hash of
// nothing.
func (t *Tree) Root() ([]byte, error) {
	if t.Size() == 0 {
		return rfc6962.DefaultHasher.EmptyRoot(), nil
	}
	return t.compact.GetRootHash(nil)
}

func split(hashes []byte) ([][]byte, error) {
	if len(hashes)%HashSize != 0 {
		return nil, fmt.Errorf("%d bytes are no whole number of hashes", len(hashes))
	}
	parts := make([][]byte, 0, len(hashes)/HashSize)
	for ; len(hashes) > 0; hashes = hashes[HashSize:] {
		parts = append(parts, hashes[:HashSize:HashSize])
	}
	return parts, nil
}
