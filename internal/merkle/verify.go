package merkle

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// ErrRoot tells that a proof has the right form, and leads to another root.
var ErrRoot = errors.New("the hashes lead to another root")

// VerifyInclusion checks that the leaf at position of the tree of this size and root has
// this hash (RFC 6962, section 2.1.1). Size and root must come from one signature: one
// proof can have the right form for several sizes. It fails with [ErrRoot] when it hasn't, and with
// another error when path can't be a proof of that.
func VerifyInclusion(position, size int64, leafHash []byte, path [][]byte, root []byte) error {
	if position < 0 || size < 0 {
		return fmt.Errorf("position %d of size %d is negative", position, size)
	}
	if err := checkHashes(append([][]byte{leafHash, root}, path...)); err != nil {
		return err
	}
	return told(proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(position), uint64(size), leafHash, path, root))
}

// VerifyConsistency checks that the tree of size from is the beginning of the tree of size
// to (RFC 6962, section 2.1.2; from no leaves everything begins). Errors are as for
// [VerifyInclusion].
func VerifyConsistency(from, to int64, path [][]byte, fromRoot, toRoot []byte) error {
	if from < 0 || to < 0 {
		return fmt.Errorf("size %d or %d is negative", from, to)
	}
	if err := checkHashes(append([][]byte{fromRoot, toRoot}, path...)); err != nil {
		return err
	}
	if err := checkEmpty(from, fromRoot); err != nil {
		return err
	}
	if err := checkEmpty(to, toRoot); err != nil {
		return err
	}
	return told(proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(from), uint64(to), path, fromRoot, toRoot))
}

// RootOf is the root of the tree of this size whose leaves at the positions have these
// hashes, and whose largest subtrees without any of the positions have the roots others,
// from the left. There must be a position; they ascend. It fails when others are not
// as many as there are such subtrees.
func RootOf(size int64, positions []int64, leafHashes, others [][]byte) ([]byte, error) {
	if len(positions) == 0 || len(positions) != len(leafHashes) {
		return nil, fmt.Errorf("%d positions have %d leaf hashes", len(positions), len(leafHashes))
	}
	before := int64(-1)
	for _, position := range positions {
		if position <= before {
			return nil, fmt.Errorf("position %d stands behind %d", position, before)
		}
		before = position
	}
	if before >= size {
		return nil, fmt.Errorf("position %d is not in a tree of size %d", before, size)
	}
	if err := errors.Join(checkHashes(leafHashes), checkHashes(others)); err != nil {
		return nil, err
	}
	c := covering{positions, leafHashes, others}
	root, err := c.root(0, size)
	if err == nil && len(c.others) > 0 {
		err = fmt.Errorf("there are %d hashes too many", len(c.others))
	}
	return root, err
}

// covering is what of a tree is known and hasn't been used yet, from the left.
type covering struct {
	positions  []int64
	leafHashes [][]byte
	others     [][]byte
}

// root is the hash of the subtree over the positions from low to below high.
func (c *covering) root(low, high int64) ([]byte, error) {
	if len(c.positions) == 0 || c.positions[0] >= high {
		if len(c.others) == 0 {
			return nil, fmt.Errorf("there is no hash for the positions from %d to %d", low, high-1)
		}
		hash := c.others[0]
		c.others = c.others[1:]
		return hash, nil
	}
	if high-low == 1 {
		hash := c.leafHashes[0]
		c.positions, c.leafHashes = c.positions[1:], c.leafHashes[1:]
		return hash, nil
	}
	middle := low + 1<<(bits.Len64(uint64(high-low-1))-1) // RFC 6962: the largest power of two below the size
	left, err := c.root(low, middle)
	if err != nil {
		return nil, err
	}
	right, err := c.root(middle, high)
	if err != nil {
		return nil, err
	}
	return rfc6962.DefaultHasher.HashChildren(left, right), nil
}

// checkHashes refuses what has another length: two hashes of 31 and 33 bytes would have
// the parent of two whole ones.
func checkHashes(hashes [][]byte) error {
	for _, hash := range hashes {
		if len(hash) != HashSize {
			return fmt.Errorf("a hash has %d bytes", len(hash))
		}
	}
	return nil
}

// checkEmpty holds the root of no leaves, which no proof says anything about.
func checkEmpty(size int64, root []byte) error {
	if size == 0 && !bytes.Equal(root, rfc6962.DefaultHasher.EmptyRoot()) {
		return ErrRoot
	}
	return nil
}

// told makes ErrRoot of the library's own, which prints both roots byte for byte.
func told(err error) error {
	var other proof.RootMismatchError
	if errors.As(err, &other) {
		return ErrRoot
	}
	return err
}
