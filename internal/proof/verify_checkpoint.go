package proof

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"ocore.dev/audit/internal/merkle"
)

// Growth is what two checkpoints, with a proof of consistency, have shown.
type Growth struct {
	From Signed `json:"from"`
	To   Signed `json:"to"`
}

// VerifyCheckpoints checks that the trail of an older checkpoint is the beginning of that
// of a newer one. Without a newer one it is that of the consistency proof; without a proof
// only checkpoints of the same size can be held against each other. Errors are [*Error].
func VerifyCheckpoints(older, newer, consistency []byte, keys Keys) (Growth, error) {
	from, err := keys.Open(older)
	if err != nil {
		return Growth{}, within("the older checkpoint", err)
	}
	path := &consistencyProof{}
	if consistency != nil {
		if path, err = parseConsistency(consistency, keys); err != nil {
			return Growth{}, within("the consistency proof", err)
		}
	}
	to := path.checkpoint
	if newer != nil {
		if to, err = keys.Open(newer); err != nil {
			return Growth{}, within("the newer checkpoint", err)
		}
	}
	switch {
	case to.Root == nil:
		return Growth{}, malformed("the consistency proof has no checkpoint, so the newer one is needed beside it")
	case from.Origin != to.Origin:
		return Growth{}, mismatch(-1, "the checkpoints are those of two trails, %s and %s", from.Origin, to.Origin)
	case to.Size < from.Size:
		return Growth{}, mismatch(-1, "the newer checkpoint has %d entries, the older one %d: the trail was cut or set back, unless the two were mixed up", to.Size, from.Size)
	case to.Size > from.Size && consistency == nil:
		return Growth{}, malformed("checkpoints of the sizes %d and %d need a consistency proof", from.Size, to.Size)
	}
	if to.Size == from.Size {
		err = sameTree(from, to)
	}
	if err == nil && consistency != nil {
		err = path.verify(from, to)
	}
	if err != nil {
		return Growth{}, err
	}
	return Growth{from, to}, nil
}

func sameTree(one, other Signed) error {
	if !bytes.Equal(one.Root, other.Root) {
		return mismatch(-1, "two checkpoints of size %d have different roots: two histories of the trail of %s were signed", one.Size, one.Organization())
	}
	return nil
}

// Proven says what was shown, a sentence each.
func (g Growth) Proven() []string {
	first := fmt.Sprintf("the first %d entries of the trail of %s are the same in both checkpoints: none was changed, removed, added or moved between them", g.From.Size, g.From.Organization())
	if g.From.Size == g.To.Size {
		first = fmt.Sprintf("both checkpoints are those of the same %d entries of the trail of %s", g.From.Size, g.From.Organization())
	}
	return []string{first, fmt.Sprintf("%s signed the newer one, of %d entries", strings.Join(g.To.Keys, " and "), g.To.Size)}
}

// NotProven says what was not, a sentence each.
func (g Growth) NotProven() []string {
	return []string{
		"when the checkpoints were signed",
		"that the entries which the service shows are those of the trail: verify exports or the whole trail for that",
	}
}

// consistencyProof is the answer of GET /audit-logs/consistency.
type consistencyProof struct {
	from, to   int64
	hashes     [][]byte
	checkpoint Signed // of size to; empty where to isn't the size of the newest one
}

func parseConsistency(file []byte, keys Keys) (*consistencyProof, error) {
	object, err := compact(nil, file)
	if err != nil {
		return nil, err
	}
	members, err := membersOf(object, "from", "to", "hashes", "checkpoint?")
	if err != nil {
		return nil, err
	}
	var p consistencyProof
	if p.from, err = parseNumber(string(members[0])); err != nil {
		return nil, within("from", err)
	}
	if p.to, err = parseNumber(string(members[1])); err != nil {
		return nil, within("to", err)
	}
	if p.hashes, err = readHashes(members[2]); err != nil {
		return nil, err
	}
	if members[3] == nil {
		return &p, nil
	}
	text, err := readText(members[3])
	if err != nil {
		return nil, within("checkpoint", err)
	}
	if p.checkpoint, err = keys.Open([]byte(text)); err != nil {
		return nil, err
	}
	if p.to != p.checkpoint.Size {
		return nil, mismatch(-1, "it leads to size %d, and its checkpoint is of size %d", p.to, p.checkpoint.Size)
	}
	return &p, nil
}

func (p *consistencyProof) verify(from, to Signed) error {
	if p.from != from.Size || p.to != to.Size {
		return mismatch(-1, "the consistency proof is one from size %d to %d, and the checkpoints are of %d and %d", p.from, p.to, from.Size, to.Size)
	}
	if p.checkpoint.Root != nil {
		if p.checkpoint.Origin != to.Origin {
			return mismatch(-1, "the consistency proof is one of %s, and the checkpoints are of %s", p.checkpoint.Origin, to.Origin)
		}
		if err := sameTree(p.checkpoint, to); err != nil {
			return err
		}
	}
	err := merkle.VerifyConsistency(p.from, p.to, p.hashes, from.Root, to.Root)
	switch {
	case errors.Is(err, merkle.ErrRoot):
		return mismatch(-1, "the trail of %s with %d entries is not the beginning of that with %d: one of the first %d was changed, removed, added or moved, or the proof was altered",
			to.Organization(), from.Size, to.Size, from.Size)
	case err != nil:
		return mismatch(-1, "the consistency proof can't be one of these sizes: %s", err)
	}
	return nil
}
