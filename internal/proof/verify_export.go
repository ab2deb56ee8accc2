package proof

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"ocore.dev/audit/internal/merkle"
)

// Run is an unbroken run of positions: nothing is missing from its first to its last.
type Run struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// maxRuns is how many runs an [Export] lists.
const maxRuns = 100

// Export is what the proofs of an export have shown.
type Export struct {
	Items       int64    `json:"items"`
	Total       int64    `json:"total"`       // as the file claims: nothing proves it
	Runs        []Run    `json:"runs"`        // newest first, as the file is; the first 100
	RunCount    int64    `json:"runCount"`    // of all of them
	Checkpoints []Signed `json:"checkpoints"` // one a size, in the order of the file; at least one
}

// VerifyExport checks an export with proofs: that each row, with every value in it, stands
// at its position in the trail that a trusted key signed. It reads the file twice and
// holds no more of it than the positions and hashes of one bundle. Errors are [*Error], or
// those of reading.
func VerifyExport(file io.ReaderAt, size int64, keys Keys) (Export, error) {
	return VerifyExportWith(file, size, keys, nil)
}

// Tile reads the hashes of a tile of leaves of an organization's trail, or its first width ones.
type Tile func(organization string, index, width int64) ([]byte, error)

// VerifyExportWith is [VerifyExport] that also tells which entry isn't in the trail, since it
// can ask for tiles. What it is given of them need not be trusted.
func VerifyExportWith(file io.ReaderAt, size int64, keys Keys, tile Tile) (Export, error) {
	v := exportVerifier{keys: keys, tile: tile, below: math.MaxInt64}
	outline, err := outlineOf(file, size)
	if err != nil {
		return Export{}, err
	}
	v.outline, v.result.Total = outline, outline.total
	if outline.items == 0 {
		return Export{}, malformed("the export has no entries, so that there is nothing to check")
	}
	v.items = newCursor(file, outline.itemsAt, size)
	if err := v.items.delimiter('['); err != nil {
		return Export{}, err
	}
	bundles := newCursor(file, outline.proofsAt, size)
	if err := bundles.delimiter('['); err != nil {
		return Export{}, err
	}
	for n := 0; bundles.json.More(); n++ {
		if err := v.bundle(bundles); err != nil {
			return Export{}, within(fmt.Sprintf("bundle %d of the proofs", n), err)
		}
	}
	if v.items.json.More() {
		return Export{}, mismatch(-1, "the proofs are those of %d entries, and the file has %d", v.result.Items, outline.items)
	}
	if outline.total < outline.items {
		return Export{}, mismatch(-1, "the file has %d entries, and a total of %d", outline.items, outline.total)
	}
	return v.result, nil
}

// Organization is whose trail it is.
func (e Export) Organization() string { return e.Checkpoints[0].Organization() }

// Proven says what was shown, a sentence each.
func (e Export) Proven() []string {
	said := []string{fmt.Sprintf("all %d entries stand in the trail of %s, each at its position, with every value and the time as they are here", e.Items, e.Organization())}
	premise := ""
	if len(e.Checkpoints) > 1 {
		premise = ", if the checkpoints belong to one history"
	}
	newest := e.Checkpoints[0]
	switch first := e.Runs[0]; {
	case e.RunCount > 1:
		said = append(said, fmt.Sprintf("they form %d unbroken runs of positions; within a run nothing is missing%s", e.RunCount, premise))
	case first.First == 0 && first.Last == newest.Size-1:
		said = append(said, fmt.Sprintf("nothing is missing: they are the whole trail as it was with %d entries%s", newest.Size, premise))
	default:
		said = append(said, fmt.Sprintf("from position %d to %d nothing is missing%s", first.First, first.Last, premise))
	}
	for _, c := range e.Checkpoints {
		said = append(said, fmt.Sprintf("the trail had %d entries when %s signed it", c.Size, c.Keys[0]))
	}
	return said
}

// NotProven says what was not, a sentence each.
func (e Export) NotProven() []string {
	said := []string{"that what the authors of the entries said is true", "that createdAt is the true time: it is what the service wrote when it stored an entry"}
	if e.RunCount > 1 {
		said = append(said, "that no entry between two runs should be here too: what a filter left out, a proof doesn't show")
	}
	if e.Total > e.Items {
		said = append(said, fmt.Sprintf("what is in the %d more entries that the export says it was too short for", e.Total-e.Items))
	}
	if newest := e.Checkpoints[0]; e.RunCount == 1 && e.Runs[0].First == 0 && e.Runs[0].Last < newest.Size-1 {
		said = append(said, fmt.Sprintf("what the positions %d to %d are, which the newest checkpoint has and the export has not: they came later, or were left out", e.Runs[0].Last+1, newest.Size-1))
	}
	if len(e.Checkpoints) > 1 {
		said = append(said, "that the checkpoints belong to one history: verify them against each other")
	}
	return append(said, "that everybody else is shown the same trail: compare checkpoints")
}

// WholeTrail is a mismatch unless the export has every position from 0 to its newest entry.
func (e Export) WholeTrail() error {
	if oldest := e.Runs[0]; e.RunCount > 1 {
		return mismatch(oldest.First-1, "is missing: the trail was asked for as a whole, and comes in %d runs of positions", e.RunCount)
	} else if oldest.First > 0 {
		return mismatch(0, "is missing: the trail was asked for as a whole, and begins at position %d", oldest.First)
	}
	return nil
}

type exportVerifier struct {
	keys    Keys
	tile    Tile // nil: there is nobody to ask
	outline outline
	items   *cursor
	below   int64 // the position before; they descend
	result  Export
}

// bundle checks the next of the proofs and the entries that it covers.
func (v *exportVerifier) bundle(c *cursor) error {
	if err := c.delimiter('{'); err != nil {
		return err
	}
	covered, err := c.memberNumber("items")
	if err != nil {
		return err
	}
	if covered == 0 {
		return malformed("it covers no entries")
	}
	text, err := c.memberText("checkpoint")
	if err != nil {
		return err
	}
	signed, err := v.keys.Open([]byte(text))
	if err != nil {
		return err
	}
	if err := v.admit(signed); err != nil {
		return err
	}
	positions, leafHashes, err := v.entries(c, covered, signed)
	if err != nil {
		return err
	}
	hashes, err := c.memberHashes("hashes")
	if err != nil {
		return err
	}
	if err := c.delimiter('}'); err != nil {
		return err
	}
	slices.Reverse(positions)
	slices.Reverse(leafHashes)
	root, err := merkle.RootOf(signed.Size, positions, leafHashes, hashes)
	if err != nil {
		return mismatch(-1, "its hashes can't be those of its entries: %s", err)
	}
	if !bytes.Equal(root, signed.Root) {
		if covered == 1 {
			return mismatch(positions[0], "%s", notInTrail)
		}
		if err := v.locate(signed, positions, leafHashes, hashes); err != nil {
			return err
		}
		return mismatch(-1, "among the entries from position %d to %d at least one is not in the trail as it stands here (or the proof was altered); "+
			"an export doesn't show which: ask for the proof of each", positions[0], positions[len(positions)-1])
	}
	return nil
}

const notInTrail = "this entry, as it stands here, is not in the trail: a value, a salt, the time, the position or the proof is another than it was"

// locate finds the entries whose hashes are others than the tree's, by tiles that lead to the
// signed root. It is nil when there are none, or the tiles are not the signed tree's either.
func (v *exportVerifier) locate(signed Signed, positions []int64, leafHashes, others [][]byte) error {
	if v.tile == nil {
		return nil
	}
	tree := make([][]byte, len(positions))
	var tile []byte
	at := int64(-1)
	for i, position := range positions {
		if index := position / merkle.TileWidth; index != at {
			first := index * merkle.TileWidth
			width := min(merkle.TileWidth, signed.Size-first)
			tile, _ = v.tile(signed.Organization(), index, width) // whoever can't be asked can't tell more
			if int64(len(tile)) != width*merkle.HashSize {
				return nil
			}
			at = index
		}
		tree[i] = tile[position%merkle.TileWidth*merkle.HashSize:][:merkle.HashSize]
	}
	root, _ := merkle.RootOf(signed.Size, positions, tree, others) // none for tiles that can't be the tree's
	if !bytes.Equal(root, signed.Root) {
		return nil
	}
	altered, first := 0, int64(0)
	for i, hash := range leafHashes {
		if !bytes.Equal(hash, tree[i]) {
			if altered++; altered == 1 {
				first = positions[i]
			}
		}
	}
	if altered > 1 {
		return mismatch(first, "%s (and so are %d more)", notInTrail, altered-1)
	}
	return mismatch(first, "%s", notInTrail)
}

// admit takes a checkpoint in, which must be of the same trail as those before.
func (v *exportVerifier) admit(signed Signed) error {
	for _, known := range v.result.Checkpoints {
		if known.Origin != signed.Origin {
			return mismatch(-1, "it is one of %s, and those before are of %s", signed.Origin, known.Origin)
		}
		if known.Size == signed.Size {
			return sameTree(known, signed)
		}
	}
	v.result.Checkpoints = append(v.result.Checkpoints, signed)
	return nil
}

// entries reads as many entries, with their salts out of the bundle.
func (v *exportVerifier) entries(c *cursor, covered int64, signed Signed) (positions []int64, leafHashes [][]byte, err error) {
	if err := c.member("salts"); err != nil {
		return nil, nil, err
	}
	if err := c.delimiter('['); err != nil {
		return nil, nil, err
	}
	for range covered {
		if !v.items.json.More() {
			return nil, nil, mismatch(-1, "the proofs are those of more entries than the %d of the file", v.outline.items)
		}
		if !c.json.More() {
			return nil, nil, malformed("it covers %d entries, and has salts of %d", covered, len(positions))
		}
		position, hash, err := v.entry(c, signed)
		if err != nil {
			return nil, nil, err
		}
		positions, leafHashes = append(positions, position), append(leafHashes, hash)
	}
	if c.json.More() {
		return nil, nil, malformed("it covers %d entries, and has salts of more", covered)
	}
	return positions, leafHashes, c.delimiter(']')
}

func (v *exportVerifier) entry(c *cursor, signed Signed) (position int64, leafHash []byte, err error) {
	object, err := v.items.object()
	if err != nil {
		return 0, nil, err
	}
	salts, err := c.object()
	if err != nil {
		return 0, nil, err
	}
	e, err := readEntry(object, salts)
	if err != nil {
		return 0, nil, err
	}
	if e.Position >= v.below {
		return 0, nil, mismatch(e.Position, "the entry stands behind position %d: an export goes from the newest to the oldest, each once", v.below)
	}
	if e.Position >= signed.Size {
		return 0, nil, mismatch(e.Position, "the checkpoint is that of %d entries, so it says nothing about this one", signed.Size)
	}
	v.count(e.Position)
	leafHash, err = e.leafHash(signed.Organization())
	return e.Position, leafHash, err
}

// count takes a position, which is lower than all before, into the result.
func (v *exportVerifier) count(position int64) {
	r := &v.result
	unbroken := r.Items > 0 && position == v.below-1
	if !unbroken {
		if r.RunCount++; r.RunCount <= maxRuns {
			r.Runs = append(r.Runs, Run{position, position})
		}
	} else if r.RunCount <= maxRuns {
		r.Runs[len(r.Runs)-1].First = position
	}
	r.Items++
	v.below = position
}

// outline is where in an export what begins.
type outline struct {
	itemsAt, proofsAt int64
	items, total      int64
}

// outlineOf reads a whole export once: {"items":[…],"total":N,"proofs":[…]}, with the
// nextCursor of an export that was too short anywhere behind the items.
func outlineOf(file io.ReaderAt, size int64) (outline, error) {
	found := outline{itemsAt: -1, proofsAt: -1, total: -1}
	c := newCursor(file, 0, size)
	if err := c.delimiter('{'); err != nil {
		return found, err
	}
	seen := map[string]bool{}
	for first := true; c.json.More(); first = false {
		name, err := c.text()
		if err != nil {
			return found, err
		}
		if seen[name] || first != (name == "items") {
			return found, malformed("the member %q stands twice, or in another place than the format says", name)
		}
		seen[name] = true
		switch name {
		case "items":
			found.itemsAt, found.items, err = c.skip()
		case "total":
			found.total, err = c.number()
		case "nextCursor":
			_, err = c.text()
		case "proofs":
			found.proofsAt, _, err = c.skip()
		default:
			err = malformed("the member %q is not part of the format", name)
		}
		if err != nil {
			return found, err
		}
	}
	if err := c.delimiter('}'); err != nil {
		return found, err
	}
	if _, err := c.json.Token(); !errors.Is(err, io.EOF) {
		return found, malformed("the file has bytes after its end")
	}
	switch {
	case found.proofsAt < 0:
		return found, malformed("the export has no proofs: take it with them")
	case found.itemsAt < 0 || found.total < 0:
		return found, malformed("the export has no items or no total")
	}
	return found, nil
}

// cursor reads JSON from a place of a file.
type cursor struct {
	json      *json.Decoder
	base      int64
	raw       json.RawMessage
	compacted []byte
}

func newCursor(file io.ReaderAt, at, size int64) *cursor {
	c := &cursor{json: json.NewDecoder(bufio.NewReaderSize(io.NewSectionReader(file, at, size-at), 64<<10)), base: at}
	c.json.UseNumber()
	return c
}

func (c *cursor) token() (json.Token, error) {
	token, err := c.json.Token()
	return token, readError(err)
}

// readError makes a malformed file of what the decoder refuses; errors of reading stay.
func readError(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return malformed("not JSON, or cut off: %s", err)
	}
	return err
}

func (c *cursor) delimiter(due json.Delim) error {
	token, err := c.token()
	if err == nil && token != due {
		err = malformed("%v stands where %v is due", token, due)
	}
	return err
}

func (c *cursor) text() (string, error) {
	token, err := c.token()
	text, ok := token.(string)
	if err == nil && !ok {
		err = malformed("%v stands where a string is due", token)
	}
	return text, err
}

func (c *cursor) number() (int64, error) {
	token, err := c.token()
	if err != nil {
		return 0, err
	}
	number, ok := token.(json.Number)
	if !ok {
		return 0, malformed("%v stands where a number is due", token)
	}
	return parseNumber(number.String())
}

// object reads a whole object, compacted. Its bytes are overwritten by the next one.
func (c *cursor) object() ([]byte, error) {
	if err := c.json.Decode(&c.raw); err != nil {
		return nil, readError(err)
	}
	var err error
	c.compacted, err = compact(c.compacted[:0], c.raw)
	return c.compacted, err
}

// skip reads over an array, and says where it begins and how many items it has.
func (c *cursor) skip() (at, items int64, err error) {
	if err := c.delimiter('['); err != nil {
		return 0, 0, err
	}
	at = c.base + c.json.InputOffset() - 1
	for ; c.json.More(); items++ {
		if err := c.json.Decode(&c.raw); err != nil {
			return 0, 0, readError(err)
		}
	}
	return at, items, c.delimiter(']')
}

func (c *cursor) member(name string) error {
	found, err := c.text()
	if err == nil && found != name {
		err = malformed("the member %q stands where %q is due", found, name)
	}
	return err
}

func (c *cursor) memberNumber(name string) (int64, error) {
	if err := c.member(name); err != nil {
		return 0, err
	}
	return c.number()
}

func (c *cursor) memberText(name string) (string, error) {
	if err := c.member(name); err != nil {
		return "", err
	}
	return c.text()
}

func (c *cursor) memberHashes(name string) (hashes [][]byte, err error) {
	if err := c.member(name); err != nil {
		return nil, err
	}
	if err := c.delimiter('['); err != nil {
		return nil, err
	}
	for c.json.More() {
		text, err := c.text()
		if err != nil {
			return nil, err
		}
		hash, err := parseHash(text)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return hashes, c.delimiter(']')
}
