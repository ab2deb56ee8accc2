package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
)

// Entry is what the proof of an entry has shown.
type Entry struct {
	ID        string `json:"id"`
	Position  int64  `json:"position"`
	CreatedAt string `json:"createdAt"`
	Signed    Signed `json:"checkpoint"`
}

// VerifyEntry checks the proof of an entry: that the entry, with every value in it, stands
// at its position in the trail that a trusted key signed. Errors are [*Error].
func VerifyEntry(file []byte, keys Keys) (Entry, error) {
	object, err := compact(nil, file)
	if err != nil {
		return Entry{}, err
	}
	members, err := membersOf(object, "entry", "salts", "proof")
	if err != nil {
		return Entry{}, refusedOr(object, err)
	}
	text, err := readText(members[2])
	if err != nil {
		return Entry{}, within("proof", err)
	}
	e, err := readEntry(members[0], members[1])
	if err != nil {
		return Entry{}, err
	}
	id, err := e.id()
	if err != nil {
		return Entry{}, err
	}
	inclusion, err := parseInclusion(text)
	if err != nil {
		return Entry{}, within("proof", err)
	}
	signed, err := keys.Open(inclusion.checkpoint)
	if err != nil {
		return Entry{}, err
	}
	if inclusion.index != e.Position {
		return Entry{}, mismatch(e.Position, "the proof is that of position %d", inclusion.index)
	}
	hash, err := e.leafHash(signed.Organization())
	if err != nil {
		return Entry{}, err
	}
	err = merkle.VerifyInclusion(e.Position, signed.Size, hash, inclusion.hashes, signed.Root)
	switch {
	case errors.Is(err, merkle.ErrRoot):
		return Entry{}, mismatch(e.Position, "this entry, as it stands here, is not in the trail of %s at this position: "+
			"a value, a salt, the time, the position or the proof is another than it was", signed.Organization())
	case err != nil:
		return Entry{}, mismatch(e.Position, "the proof can't be one of this position: %s", err)
	}
	return Entry{ID: id, Position: e.Position, CreatedAt: audit.FormatTime(e.CreatedAt), Signed: signed}, nil
}

// refusedOr is a mismatch where the file is the service's answer that what is stored is not what
// was signed, saved in place of the proof; else err.
func refusedOr(object []byte, err error) error {
	var answer struct {
		Type, Detail string
		Position     *int64
	}
	if json.Unmarshal(object, &answer) != nil || !strings.HasSuffix(answer.Type, "/problems/altered") {
		return err
	}
	position := int64(-1)
	if answer.Position != nil {
		position = *answer.Position
	}
	return mismatch(position, "the service gave no proof, and answered: %s", answer.Detail)
}

// Proven says what was shown, a sentence each.
func (e Entry) Proven() []string {
	return []string{
		fmt.Sprintf("the entry %s stands at position %d of the trail of %s, with every value and the time as they are here", e.ID, e.Position, e.Signed.Organization()),
		fmt.Sprintf("the trail had %d entries when %s signed it", e.Signed.Size, strings.Join(e.Signed.Keys, " and ")),
	}
}

// NotProven says what was not, a sentence each.
func (e Entry) NotProven() []string {
	return []string{
		"that what the author of the entry said is true",
		"that createdAt is the true time: it is what the service wrote when it stored the entry",
		"that everybody else is shown the same trail: compare checkpoints",
	}
}

// inclusion is a c2sp.org/tlog-proof.
type inclusion struct {
	index      int64
	hashes     [][]byte // from the leaf's sibling up
	checkpoint []byte
}

const tlogProof = "c2sp.org/tlog-proof@v1\n"

// parseInclusion reads a tlog-proof without its optional "extra" line, which nothing
// signs and the service never writes.
func parseInclusion(text string) (inclusion, error) {
	rest, ours := strings.CutPrefix(text, tlogProof)
	head, checkpoint, whole := strings.Cut(rest, "\n\n")
	lines := strings.Split(head, "\n")
	index, has := strings.CutPrefix(lines[0], "index ")
	if !ours || !whole || !has {
		return inclusion{}, malformed("not a c2sp.org/tlog-proof@v1 of index, hashes and checkpoint")
	}
	var err error
	parsed := inclusion{checkpoint: []byte(checkpoint)}
	if parsed.index, err = parseNumber(index); err != nil {
		return inclusion{}, within("index", err)
	}
	for _, line := range lines[1:] {
		hash, err := parseHash(line)
		if err != nil {
			return inclusion{}, err
		}
		parsed.hashes = append(parsed.hashes, hash)
	}
	return parsed, nil
}
