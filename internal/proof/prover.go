package proof

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
)

// Trees is what proofs are made of.
type Trees interface {
	// Tree reads hashes of the trail's tree, of that size or a later one.
	Tree(organization string, size int64) merkle.Reader
	// Signed is the newest checkpoint, of size 0 when there is none, and the trail's size.
	Signed(ctx context.Context, organization string) (newest audit.Checkpoint, size int64, err error)
	// EntryToProve finds an entry, or [audit.ErrNotFound].
	EntryToProve(ctx context.Context, organization, id string) (audit.ToProve, error)
	// RowsWithSalts reads entries and what opens their leaves, in the order of the positions,
	// which descend and must exist.
	RowsWithSalts(ctx context.Context, organization string, positions []int64) ([]audit.Row, [][]byte, error)
	// Salts reads only what opens the leaves.
	Salts(ctx context.Context, organization string, positions []int64) ([][]byte, error)
	// Forget drops what was kept of earlier reads.
	Forget()
}

// Prover makes proofs of what is signed. Where a proof needs a checkpoint that there isn't
// yet, it asks the signer for one, or without a signer waits for another instance's.
//
// It verifies the proofs of entries and of consistency before it gives them out: what was
// damaged or altered in the database shall be heard of in the service's log first.
type Prover struct {
	trees   Trees
	keys    *SigningKeys
	signer  *Signer
	patient time.Duration
	signing singleflight.Group
	opened  openedNotes
	kept    keptNodes
}

// NewProver proves by trees. signer is nil where another instance signs.
func NewProver(trees Trees, keys *SigningKeys, signer *Signer) *Prover {
	return &Prover{trees: trees, keys: keys, signer: signer, patient: 3 * time.Second, opened: newOpenedNotes(), kept: newKeptNodes()}
}

// Keys are what verifies an organization's checkpoints: first the keys that sign.
func (p *Prover) Keys(organization string) ([]VerifierKey, error) {
	return p.keys.VerifierKeys(organization)
}

// Origin names an organization's trail.
func (p *Prover) Origin(organization string) string { return p.keys.Origin(organization) }

// Checkpoint is the newest checkpoint, of the trail as it is now where this instance can
// sign. It fails with [audit.ErrNotFound] for an empty trail, with [audit.ErrUnsigned], and with
// [audit.ErrAltered] when the newest one isn't ours or the trail contradicts it.
func (p *Prover) Checkpoint(ctx context.Context, organization string) (audit.Checkpoint, error) {
	newest, size, err := p.trees.Signed(ctx, organization)
	switch {
	case err != nil:
		return newest, err
	case size == 0:
		return newest, audit.ErrNotFound
	case newest.Size < size && p.signer != nil || newest.Size == 0:
		newest, err = p.covering(ctx, organization, max(newest.Size, size-1), newest)
	}
	return p.ours(organization, newest, err)
}

// ours holds a checkpoint against our keys before it is given out.
func (p *Prover) ours(organization string, checkpoint audit.Checkpoint, err error) (audit.Checkpoint, error) {
	if err != nil {
		return checkpoint, err
	}
	signed, err := p.open(organization, checkpoint)
	if err == nil && !bytes.Equal(signed.Root, checkpoint.Root) {
		err = altered(organization, -1, "its newest checkpoint, of size %d, stands under another root than was signed", checkpoint.Size)
	}
	return checkpoint, err
}

// covering is a checkpoint of a tree that has the position.
func (p *Prover) covering(ctx context.Context, organization string, position int64, newest audit.Checkpoint) (audit.Checkpoint, error) {
	if newest.Size > position {
		return newest, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.patient)
	defer cancel()
	for {
		checkpoint, err := p.next(ctx, organization)
		var refusal *Refusal
		switch {
		case errors.As(err, &refusal):
			return checkpoint, fmt.Errorf("%w: %w", altered(organization, -1, "it contradicts what was signed of it, and is not signed any more: %s", refusal.Reason), err)
		case err == nil && checkpoint.Size > position:
			return checkpoint, nil
		case err != nil && !errors.Is(err, audit.ErrNotFound) && ctx.Err() == nil:
			return checkpoint, err
		}
		select {
		case <-ctx.Done():
			return checkpoint, fmt.Errorf("%w: no checkpoint of %s has position %d", audit.ErrUnsigned, organization, position)
		case <-time.After(signPause / 5):
		}
	}
}

// next signs, or looks for what another instance has signed. Those who ask at once share
// one signature.
func (p *Prover) next(ctx context.Context, organization string) (audit.Checkpoint, error) {
	if p.signer == nil {
		newest, _, err := p.trees.Signed(ctx, organization)
		return newest, err
	}
	signed := p.signing.DoChan(organization, func() (any, error) {
		return p.signer.Sign(context.WithoutCancel(ctx), organization)
	})
	select {
	case <-ctx.Done():
		return audit.Checkpoint{}, ctx.Err()
	case s := <-signed:
		return s.Val.(audit.Checkpoint), s.Err
	}
}

// Inclusion is the proof of one entry: the entry, what opens its leaf, and a file of
// c2sp.org/tlog-proof.
type Inclusion struct {
	Row   audit.Row
	Salts []byte
	Proof string
}

// Entry proves that the entry is in the signed tree. It fails with [audit.ErrNotFound], with
// [audit.ErrUnsigned] while no checkpoint has the entry, and with [audit.ErrAltered] when the
// entry isn't in the tree as it is stored.
func (p *Prover) Entry(ctx context.Context, organization, id string) (Inclusion, error) {
	e, err := p.trees.EntryToProve(ctx, organization, id)
	if err != nil {
		return Inclusion{}, err
	}
	if !bytes.HasPrefix(e.Row.Text, []byte(`{"id":"`+id+`"`)) { // ids hold nothing that JSON escapes
		return Inclusion{}, altered(organization, e.Row.Position, "another entry stands where the id leads to")
	}
	checkpoint, err := p.covering(ctx, organization, e.Row.Position, e.Newest)
	if err != nil {
		return Inclusion{}, err
	}
	signed, err := p.open(organization, checkpoint)
	if err != nil {
		return Inclusion{}, err
	}
	path, err := p.path(ctx, organization, e, signed, p.kept.of(organization))
	if errors.Is(err, audit.ErrAltered) {
		if path, err = p.path(ctx, organization, e, signed, nil); err == nil {
			p.kept.forget() // it is of a database that was mended since
		}
		p.trees.Forget() // so that what is shown is what is stored
	}
	if err != nil {
		return Inclusion{}, err
	}
	return Inclusion{e.Row, e.Salts, inclusionFile(e.Row.Position, path, checkpoint.Note)}, nil
}

// path is the way from an entry's leaf to the signed root, which it leads to.
func (p *Prover) path(ctx context.Context, organization string, e audit.ToProve, signed Signed, kept merkle.Kept) ([][]byte, error) {
	position := e.Row.Position
	read := fromTile(e.Tile, position/merkle.TileWidth, p.trees.Tree(organization, signed.Size))
	path, err := merkle.Inclusion(ctx, read, kept, signed.Size, position)
	if err != nil {
		return nil, unread(err, organization, position)
	}
	leaf, err := audit.StoredEntry{Row: e.Row, Salts: e.Salts}.Leaf(organization)
	if err == nil {
		err = merkle.VerifyInclusion(position, signed.Size, merkle.LeafHash(leaf), path, signed.Root)
	}
	if err == nil {
		return path, nil
	}
	own, readErr := read(ctx, []merkle.Span{{Level: 0, From: position, To: position + 1}})
	if readErr == nil && merkle.VerifyInclusion(position, signed.Size, own[0], path, signed.Root) == nil {
		return nil, altered(organization, position, "the stored entry is not the one that was signed: a value, a salt or its time is another than it was")
	}
	return nil, altered(organization, position, "a hash between this entry and the checkpoint of size %d, or the entry itself, is not the one that was signed", signed.Size)
}

// altered is an [*audit.Alteration].
func altered(organization string, position int64, format string, args ...any) error {
	return &audit.Alteration{Organization: organization, Position: position, Detail: fmt.Sprintf(format, args...)}
}

// unread makes [audit.ErrAltered] of a tree that has gaps; a database that doesn't answer is
// another matter.
func unread(err error, organization string, position int64) error {
	var gap *merkle.Gap
	if !errors.As(err, &gap) {
		return err
	}
	return altered(organization, position, "hashes of its tree are missing: %s", gap)
}

// fromTile reads hashes of one tile of leaves from what was read of it already.
func fromTile(hashes []byte, index int64, read merkle.Reader) merkle.Reader {
	if hashes == nil {
		return read
	}
	return func(ctx context.Context, spans []merkle.Span) ([][]byte, error) {
		found := make([][]byte, len(spans))
		var others []merkle.Span
		for i, s := range spans {
			if s.Level == 0 && s.From/merkle.TileWidth == index {
				first, end := index*merkle.TileWidth, int64(len(hashes)) // of which somebody may have left less
				found[i] = hashes[min(end, (s.From-first)*merkle.HashSize):min(end, (s.To-first)*merkle.HashSize)]
			} else {
				others = append(others, s)
			}
		}
		if len(others) == 0 {
			return found, nil
		}
		rest, err := read(ctx, others)
		if err != nil {
			return nil, err
		}
		for i := range found {
			if found[i] == nil {
				found[i], rest = rest[0], rest[1:]
			}
		}
		return found, nil
	}
}

// inclusionFile is a file of c2sp.org/tlog-proof.
func inclusionFile(position int64, path [][]byte, note string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "c2sp.org/tlog-proof@v1\nindex %d\n", position)
	for _, hash := range path {
		text.WriteString(base64.StdEncoding.EncodeToString(hash))
		text.WriteByte('\n')
	}
	text.WriteByte('\n')
	text.WriteString(note)
	return text.String()
}

// Proven shows that a trail only grew from one size to another.
type Proven struct {
	From, To   int64
	Hashes     [][]byte
	Checkpoint string // of size To; "" when none was signed at that size that is still the newest
}

// Consistency proves that the trail of size from is the beginning of that of size to, the
// newest checkpoint's when to is 0. Both must be signed for, so at most the newest
// checkpoint's; [audit.BadParameter] otherwise.
func (p *Prover) Consistency(ctx context.Context, organization string, from, to int64) (Proven, error) {
	checkpoint, err := p.Checkpoint(ctx, organization)
	if err != nil {
		return Proven{}, err
	}
	if to == 0 {
		to = checkpoint.Size
	}
	switch {
	case to > checkpoint.Size:
		return Proven{}, audit.BadParameter("to", "to is beyond the newest checkpoint, which is of size %d", checkpoint.Size)
	case from < 1 || from > to:
		return Proven{}, audit.BadParameter("from", "from is not a size from 1 to %d", to)
	}
	hashes, err := merkle.Consistency(ctx, p.trees.Tree(organization, to), from, to)
	if err != nil {
		return Proven{}, unread(err, organization, -1)
	}
	proven := Proven{From: from, To: to, Hashes: hashes}
	if to < checkpoint.Size {
		return proven, nil
	}
	proven.Checkpoint = checkpoint.Note
	return proven, p.checkGrowth(ctx, organization, proven, checkpoint)
}

// checkGrowth verifies a proof of consistency with the checkpoint that it ends at.
func (p *Prover) checkGrowth(ctx context.Context, organization string, proven Proven, checkpoint audit.Checkpoint) error {
	signed, err := p.open(organization, checkpoint)
	if err != nil {
		return err
	}
	root, err := merkle.Root(ctx, p.trees.Tree(organization, proven.To), proven.From)
	if err != nil {
		return unread(err, organization, -1)
	}
	if err := merkle.VerifyConsistency(proven.From, proven.To, proven.Hashes, root, signed.Root); err != nil {
		return altered(organization, -1, "hashes of its tree between size %d and the checkpoint of size %d are not those that were signed", proven.From, proven.To)
	}
	return nil
}

// saltsChunk is how many entries' salts are read at once.
const saltsChunk = 1000

// Bundle proves a list of entries, whose positions descend: it gives salts what opens each
// leaf, in their order, and then hashes what completes the tree around them. What it gives
// is written on at once, so that it holds no more than a part.
func (p *Prover) Bundle(
	ctx context.Context, organization string, checkpoint audit.Checkpoint, positions []int64,
	salts func([]byte) error, hashes func([]byte) error,
) error {
	for chunk := range slices.Chunk(positions, saltsChunk) {
		read, err := p.trees.Salts(ctx, organization, chunk)
		if err != nil {
			return err
		}
		for _, s := range read {
			if err := salts(s); err != nil {
				return err
			}
		}
	}
	ascending := slices.Clone(positions)
	slices.Reverse(ascending)
	return merkle.Around(ctx, p.trees.Tree(organization, checkpoint.Size), checkpoint.Size, ascending, hashes)
}

// Covering is a checkpoint of a tree that has the position. Errors are as for [Prover.Checkpoint].
func (p *Prover) Covering(ctx context.Context, organization string, position int64) (audit.Checkpoint, error) {
	newest, _, err := p.trees.Signed(ctx, organization)
	if err == nil {
		newest, err = p.covering(ctx, organization, position, newest)
	}
	return p.ours(organization, newest, err)
}

// Tile is a tile of the signed tree, or its first width hashes (c2sp.org/tlog-tiles).
// [audit.ErrNotFound] when the newest checkpoint's tree doesn't have so many.
func (p *Prover) Tile(ctx context.Context, organization string, id merkle.TileID, width int64) ([]byte, error) {
	newest, _, err := p.trees.Signed(ctx, organization)
	if err != nil {
		return nil, err
	}
	first := id.Index * merkle.TileWidth
	if first+width > merkle.LevelWidth(newest.Size, id.Level) {
		return nil, audit.ErrNotFound
	}
	tiles, err := p.trees.Tree(organization, newest.Size)(ctx, []merkle.Span{{Level: id.Level, From: first, To: first + width}})
	if err != nil {
		return nil, err
	}
	return tiles[0], nil
}

// leavesChunk is how many entries are read at once to make their leaves: they may be large.
const leavesChunk = 32

// Leaves are the leaves of a tile of the lowest level, or its first width ones.
// [audit.ErrNotFound] when the newest checkpoint's tree doesn't have so many.
func (p *Prover) Leaves(ctx context.Context, organization string, index, width int64) ([][]byte, error) {
	newest, _, err := p.trees.Signed(ctx, organization)
	if err != nil {
		return nil, err
	}
	first := index * merkle.TileWidth
	if first+width > newest.Size {
		return nil, audit.ErrNotFound
	}
	leaves := make([][]byte, 0, width)
	for from := int64(0); from < width; from += leavesChunk {
		part, err := p.leaves(ctx, organization, first+from, first+min(from+leavesChunk, width))
		if err != nil {
			return nil, err
		}
		leaves = append(leaves, part...)
	}
	return leaves, nil
}

func (p *Prover) leaves(ctx context.Context, organization string, low, high int64) ([][]byte, error) {
	var positions []int64
	for position := high - 1; position >= low; position-- {
		positions = append(positions, position)
	}
	rows, salts, err := p.trees.RowsWithSalts(ctx, organization, positions)
	if err != nil {
		return nil, err
	}
	leaves := make([][]byte, len(rows))
	for i, row := range rows {
		if leaves[len(rows)-1-i], err = audit.Leaf(organization, row.CreatedAt, row.Text, salts[i]); err != nil {
			return nil, altered(organization, row.Position, "the stored entry has no leaf")
		}
	}
	return leaves, nil
}
