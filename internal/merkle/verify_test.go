package merkle_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"ocore.dev/audit/internal/merkle"
)

var mutations = flag.Int("mutations", 100_000, "how many mutated proofs must be refused")

// forest are the leaf hashes of a trail, from which everything is computed as RFC 6962
// defines it, without regard to cost.
type forest [][]byte

func grow(name string, size int) forest {
	leaves := make(forest, size)
	for i := range leaves {
		leaves[i] = merkle.LeafHash(fmt.Appendf(nil, "%s %d", name, i))
	}
	return leaves
}

func (f forest) root() []byte {
	switch len(f) {
	case 0:
		empty := sha256.Sum256(nil)
		return empty[:]
	case 1:
		return f[0]
	}
	k := half(len(f))
	parent := sha256.Sum256(slices.Concat([]byte{1}, f[:k].root(), f[k:].root()))
	return parent[:]
}

func half(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

func (f forest) inclusion(m int) [][]byte {
	if len(f) == 1 {
		return nil
	}
	if k := half(len(f)); m < k {
		return append(f[:k].inclusion(m), f[k:].root())
	} else {
		return append(f[k:].inclusion(m-k), f[:k].root())
	}
}

func (f forest) consistency(m int, known bool) [][]byte {
	if m == len(f) {
		if known {
			return nil
		}
		return [][]byte{f.root()}
	}
	if k := half(len(f)); m <= k {
		return append(f[:k].consistency(m, known), f[k:].root())
	} else {
		return append(f[k:].consistency(m-k, false), f[:k].root())
	}
}

// others are the roots of the largest subtrees without any of the positions, of the
// leaves from low on.
func (f forest) others(low int64, positions []int64) [][]byte {
	high := low + int64(len(f))
	if !slices.ContainsFunc(positions, func(p int64) bool { return low <= p && p < high }) {
		return [][]byte{f.root()}
	}
	if len(f) == 1 {
		return nil
	}
	k := half(len(f))
	return append(f[:k].others(low, positions), f[k:].others(low+int64(k), positions)...)
}

func (f forest) at(positions []int64) [][]byte {
	hashes := make([][]byte, len(positions))
	for i, p := range positions {
		hashes[i] = f[p]
	}
	return hashes
}

func TestProofsVerify(t *testing.T) {
	t.Parallel()
	all := grow("leaf", 130)
	for n := range len(all) + 1 {
		tree := all[:n]
		root := tree.root()
		for m := range n {
			if err := merkle.VerifyInclusion(int64(m), int64(n), tree[m], tree.inclusion(m), root); err != nil {
				t.Fatalf("position %d of %d: %v", m, n, err)
			}
			if m == 0 {
				continue
			}
			if err := merkle.VerifyConsistency(int64(m), int64(n), tree.consistency(m, true), all[:m].root(), root); err != nil {
				t.Fatalf("from %d to %d: %v", m, n, err)
			}
		}
		if err := errors.Join(merkle.VerifyConsistency(0, int64(n), nil, all[:0].root(), root), merkle.VerifyConsistency(int64(n), int64(n), nil, root, root)); err != nil {
			t.Fatalf("size %d: %v", n, err)
		}
	}
}

func TestARootComesFromAnyPositions(t *testing.T) {
	t.Parallel()
	all := grow("leaf", 9)
	for n := 1; n <= len(all); n++ {
		tree := all[:n]
		for chosen := 1; chosen < 1<<n; chosen++ {
			var positions []int64
			for p := range n {
				if chosen>>p&1 == 1 {
					positions = append(positions, int64(p))
				}
			}
			others := tree.others(0, positions)
			got, err := merkle.RootOf(int64(n), positions, tree.at(positions), others)
			if err != nil || !bytes.Equal(got, tree.root()) {
				t.Fatalf("%v of %d: %x, %v", positions, n, got, err)
			}
			if _, err := merkle.RootOf(int64(n), positions, tree.at(positions), append(others, tree[0])); err == nil {
				t.Fatalf("%v of %d: a hash too many goes unnoticed", positions, n)
			}
			if len(others) > 0 {
				if _, err := merkle.RootOf(int64(n), positions, tree.at(positions), others[:len(others)-1]); err == nil {
					t.Fatalf("%v of %d: a hash too few goes unnoticed", positions, n)
				}
			}
		}
	}
}

func TestVerifyRefusesWhatCanBeNoProof(t *testing.T) {
	t.Parallel()
	tree := grow("leaf", 4)
	root, a, b := tree.root(), tree[0], tree[1]
	joined := slices.Concat(a, b)
	for name, err := range map[string]error{
		"a negative position":             merkle.VerifyInclusion(-1, 4, a, tree.inclusion(0), root),
		"a position that isn't there":     merkle.VerifyInclusion(4, 4, a, tree.inclusion(0), root),
		"a negative size":                 merkle.VerifyInclusion(0, -4, a, tree.inclusion(0), root),
		"an empty tree":                   merkle.VerifyInclusion(0, 0, a, nil, a),
		"a short leaf":                    merkle.VerifyInclusion(0, 2, joined[:31], [][]byte{joined[31:]}, tree[:2].root()),
		"no leaf":                         merkle.VerifyInclusion(0, 1, nil, nil, nil),
		"a negative first size":           merkle.VerifyConsistency(-1, 4, nil, root, root),
		"a negative second size":          merkle.VerifyConsistency(0, -1, nil, tree[:0].root(), root),
		"a tree that shrinks":             merkle.VerifyConsistency(4, 2, tree.consistency(2, true), root, tree[:2].root()),
		"an empty tree with another root": merkle.VerifyConsistency(0, 4, nil, a, root),
		"empty trees with another root":   merkle.VerifyConsistency(0, 0, nil, a, a),
		"hashes that nothing needs":       merkle.VerifyConsistency(4, 4, [][]byte{a}, root, root),
		"two roots of one size":           merkle.VerifyConsistency(4, 4, nil, root, a),
	} {
		if err == nil {
			t.Errorf("%s goes unnoticed", name)
		}
	}
	for name, positions := range map[string][]int64{
		"no positions": {}, "descending": {1, 0}, "twice": {1, 1}, "negative": {-1, 1}, "too high": {0, 4}, "other leaves": {0, 1, 2},
	} {
		if got, err := merkle.RootOf(4, positions, [][]byte{a, b}, [][]byte{tree[2:].root()}); err == nil {
			t.Errorf("%s: %x", name, got)
		}
	}
	for name, others := range map[string][][]byte{"a short hash": {root[:31]}, "no hash": {nil}} {
		if got, err := merkle.RootOf(4, []int64{0, 1}, [][]byte{a, b}, others); err == nil {
			t.Errorf("%s: %x", name, got)
		}
	}
	if err := merkle.VerifyInclusion(0, 4, b, tree.inclusion(0), root); !errors.Is(err, merkle.ErrRoot) {
		t.Errorf("another leaf: %v", err)
	}
}

// claim is anything that a proof can be asked of, and its verification.
type claim struct {
	numbers []int64  // positions and sizes
	hashes  [][]byte // leaves
	proof   [][]byte
	roots   [][]byte
	holds   func(claim) bool
}

func (c claim) clone() claim {
	c.numbers, c.hashes, c.proof, c.roots = slices.Clone(c.numbers), slices.Clone(c.hashes), slices.Clone(c.proof), slices.Clone(c.roots)
	return c
}

func (c claim) same(other claim) bool {
	equal := func(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }
	return slices.Equal(c.numbers, other.numbers) && equal(c.hashes, other.hashes) && equal(c.proof, other.proof) && equal(c.roots, other.roots)
}

// maker makes claims about trees of one forest that are true.
type maker struct {
	random *rand.Rand
	forest forest
	roots  [][]byte // by size
}

func newMaker(name string, random *rand.Rand) *maker {
	m := &maker{random: random, forest: grow(name, 300)}
	for size := range len(m.forest) + 1 {
		m.roots = append(m.roots, m.forest[:size].root())
	}
	return m
}

func (m *maker) inclusion() claim {
	size := 1 + m.random.IntN(len(m.forest))
	at := m.random.IntN(size)
	tree := m.forest[:size]
	return claim{[]int64{int64(at), int64(size)}, [][]byte{tree[at]}, tree.inclusion(at), [][]byte{m.roots[size]}, func(c claim) bool {
		return len(c.hashes) == 1 && merkle.VerifyInclusion(c.numbers[0], c.numbers[1], c.hashes[0], c.proof, c.roots[0]) == nil
	}}
}

func (m *maker) consistency() claim {
	to := 2 + m.random.IntN(len(m.forest)-1)
	from := 1 + m.random.IntN(to-1)
	return claim{[]int64{int64(from), int64(to)}, nil, m.forest[:to].consistency(from, true), [][]byte{m.roots[from], m.roots[to]}, func(c claim) bool {
		return merkle.VerifyConsistency(c.numbers[0], c.numbers[1], c.proof, c.roots[0], c.roots[1]) == nil
	}}
}

func (m *maker) several() claim {
	size := 1 + m.random.IntN(len(m.forest))
	var positions []int64
	for range 1 + m.random.IntN(8) {
		positions = append(positions, int64(m.random.IntN(size)))
	}
	slices.Sort(positions)
	positions = slices.Compact(positions)
	tree := m.forest[:size]
	return claim{append(positions, int64(size)), tree.at(positions), tree.others(0, positions), [][]byte{m.roots[size]}, func(c claim) bool {
		last := len(c.numbers) - 1
		root, err := merkle.RootOf(c.numbers[last], c.numbers[:last], c.hashes, c.proof)
		return err == nil && bytes.Equal(root, c.roots[0])
	}}
}

// mutate changes one thing of a claim, or takes it from a claim about another tree. A size
// goes with the true root of that size: a checkpoint's signature binds the two.
func (m *maker) mutate(c claim, other claim) claim {
	random := m.random
	lists := []*[][]byte{&c.hashes, &c.proof, &c.roots}
	list := lists[random.IntN(len(lists))]
	of := *list
	switch kind := random.IntN(8); {
	case kind == 0: // a position or a size by one or any
		i := random.IntN(len(c.numbers))
		if last := len(c.numbers) - 1; i == last || len(c.roots) == 2 {
			size := random.IntN(len(m.roots))
			c.numbers[i], c.roots[min(i, len(c.roots)-1)] = int64(size), m.roots[size]
		} else {
			c.numbers[i] += []int64{-1, 1, int64(random.IntN(600) - 300), 1 << random.IntN(63), -1 << random.IntN(63)}[random.IntN(5)]
		}
	case kind == 1 && len(of) > 0: // a hash left out
		i := random.IntN(len(of))
		*list = slices.Delete(of, i, i+1)
	case kind == 2 && len(of) > 0 && list != &c.roots: // a hash twice, or one that belongs elsewhere
		*list = slices.Insert(of, random.IntN(len(of)+1), [][]byte{of[random.IntN(len(of))], m.forest[random.IntN(len(m.forest))]}[random.IntN(2)])
	case kind == 3 && len(of) > 1: // two swapped
		i, j := random.IntN(len(of)), random.IntN(len(of))
		of[i], of[j] = of[j], of[i]
	case kind == 4: // another trail's proof
		c.proof = other.proof
	case kind == 5: // another trail's root or leaf
		if random.IntN(2) == 0 && len(c.hashes) == len(other.hashes) {
			c.hashes = other.hashes
		} else if len(c.roots) == len(other.roots) {
			c.roots = other.roots
		}
	case len(of) > 0: // one byte
		i := random.IntN(len(of))
		of[i] = slices.Clone(of[i])
		of[i][random.IntN(len(of[i]))] ^= byte(1 + random.IntN(255))
	}
	return c
}

func TestNoMutatedProofVerifies(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	one, two := newMaker("one", random), newMaker("two", random)
	tried := 0
	for tried < *mutations {
		kind := random.IntN(3)
		make := func(m *maker) claim { return []func() claim{m.inclusion, m.consistency, m.several}[kind]() }
		claim, other := make(one), make(two)
		if !claim.holds(claim) {
			t.Fatalf("%v doesn't verify unchanged", claim.numbers)
		}
		for range 50 {
			mutated := one.mutate(claim.clone(), other)
			if mutated.same(claim) || len(mutated.roots) != len(claim.roots) {
				continue
			}
			tried++
			if mutated.holds(mutated) {
				t.Fatalf("kind %d: this verifies: %v %x\nmade of %v %x", kind, mutated.numbers, mutated.proof, claim.numbers, claim.proof)
			}
		}
	}
	t.Logf("%d mutated proofs were refused", tried)
}
