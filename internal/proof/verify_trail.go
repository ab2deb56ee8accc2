package proof

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"ocore.dev/audit/internal/audit"
)

// Stored is all that a database holds of one trail, in one state. Its methods may be called
// at once, and give what stands there, whatever it is.
type Stored interface {
	// Step is how many positions Entries takes at once, a multiple of a tile's width.
	Step() int64
	// Head is what the trail says of itself, or [audit.ErrNotFound].
	Head(ctx context.Context) (audit.StoredHead, error)
	// End is the position behind the last entry, and Count the number of entries in a span.
	End(ctx context.Context) (int64, error)
	Count(ctx context.Context, span audit.Span) (int64, error)
	// Entries visits a span's entries, from a multiple of Step on, in the order of positions,
	// and returns what the database repeats of them otherwise than they are.
	Entries(ctx context.Context, span audit.Span, visit func(audit.StoredEntry)) ([]audit.Finding, error)
	// LeafHashes visits the stored leaf hashes of a span in the order of positions.
	LeafHashes(ctx context.Context, span audit.Span, visit func(position int64, hash []byte)) error
	// Tiles are those of a level from one index up to another, in their order.
	Tiles(ctx context.Context, level int, low, high int64) ([]audit.StoredTile, error)
	// Checkpoints are some from a number on, in their order; none at the end.
	Checkpoints(ctx context.Context, from int64) ([]audit.Checkpoint, error)
	// Beside finds what is stored where a trail of that size, signed up to a size, has nothing;
	// deep includes what repeats entries.
	Beside(ctx context.Context, size, signed int64, deep bool) ([]audit.Finding, error)
}

// TrailOptions say what a stored trail is held against, and how closely.
type TrailOptions struct {
	Keys     Keys
	Held     []HeldNote // checkpoints that were kept elsewhere, published before the state that is read
	Deep     bool       // every leaf and everything that repeats entries, not the tree alone
	Parallel int        // spans that are read at once; as many as there are cores by default
	Progress func(entries int64)
}

// HeldNote is a checkpoint's note, and where it comes from.
type HeldNote struct{ Name, Note string }

// Trail is what the verification of a whole trail has found.
type Trail struct {
	Organization string          `json:"organization"`
	Size         int64           `json:"size"`
	Checkpoints  int64           `json:"checkpoints"`
	Signed       int64           `json:"signed"` // size of the newest checkpoint
	Held         int             `json:"held"`   // checkpoints from elsewhere that were compared
	Deep         bool            `json:"deep"`
	Unread       []string        `json:"unread,omitempty"`   // tables that the login may not read
	Findings     []audit.Finding `json:"findings,omitempty"` // those of the lowest positions
	Found        int64           `json:"found"`              // how many there are
}

// Err is a mismatch that names the first finding, nil when there is none.
func (t Trail) Err() error {
	if t.Found == 0 {
		return nil
	}
	first := t.Findings[0]
	if t.Found > 1 {
		return mismatch(first.Position, "%s (and %d more findings)", first.Detail, t.Found-1)
	}
	return mismatch(first.Position, "%s", first.Detail)
}

// Proven says what was shown, a sentence each.
func (t Trail) Proven() []string {
	lines := []string{fmt.Sprintf("the trail of %s is whole: positions 0 to %d, each once", t.Organization, t.Size-1)}
	if t.Size == 0 {
		lines[0] = fmt.Sprintf("the trail of %s is empty", t.Organization)
	}
	if t.Deep {
		lines = append(lines, "every entry is the leaf that the tree has at its position, with every value and the time as they are stored; ids, columns, postings and search texts say the same")
	} else {
		lines = append(lines, "the tree's tiles and head belong together; the texts of entries were not looked at (--deep does)")
	}
	if t.Checkpoints > 0 {
		lines = append(lines, fmt.Sprintf("its first %d entries are signed by the given keys, and its tree has the root of every checkpoint (%d)", t.Signed, t.Checkpoints))
	}
	if t.Held > 0 {
		lines = append(lines, fmt.Sprintf("what was kept elsewhere is of this trail (checkpoints: %d)", t.Held))
	}
	return lines
}

// NotProven says what was not, a sentence each.
func (t Trail) NotProven() []string {
	var lines []string
	if t.Signed < t.Size {
		lines = append(lines, fmt.Sprintf("the %d entries from position %d on, which no checkpoint has yet", t.Size-t.Signed, t.Signed))
	}
	if t.Held == 0 {
		lines = append(lines, "that the newest checkpoints are all there: without one that was kept elsewhere, an older copy of the database looks the same")
	}
	if t.Deep && len(t.Unread) > 0 {
		lines = append(lines, "what stands in tables that this login may not read: "+strings.Join(t.Unread, ", "))
	}
	return append(lines, "that what the authors of entries said is true, and that createdAt is the true time")
}

// VerifyTrail holds everything that is stored of an organization's trail together, and
// against what was signed of it. What is wrong is in the result; errors are those of
// reading, and [audit.ErrNotFound] where there is nothing of the organization.
func VerifyTrail(ctx context.Context, stored Stored, organization string, o TrailOptions) (Trail, error) {
	if o.Parallel < 1 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	c := &trailCheck{TrailOptions: o, stored: stored, organization: organization}
	c.result = Trail{Organization: organization, Deep: o.Deep}
	for _, step := range []func(context.Context) error{c.begin, c.walk, c.finish} {
		if err := step(ctx); err != nil {
			return c.result, err
		}
	}
	c.result.Findings, c.result.Found = c.first(), c.count
	return c.result, nil
}

// trailCheck is one trail on its way through.
type trailCheck struct {
	TrailOptions
	findings
	stored       Stored
	organization string
	headless     bool // the trail has no head
	head         audit.StoredHead
	end          int64 // the position behind the last one that is looked at
	tail         bool  // more is stored than the head says
	claims       claims
	trees        trees
	levels       []level // of tiles, from the second on
	lastTime     time.Time
	good         int64 // size of the newest claim that the trail bears out
	odd          int64 // claims since then that it doesn't, and the first of them
	firstOdd     claim
	result       Trail
}

func (c *trailCheck) begin(ctx context.Context) (err error) {
	c.head, err = c.stored.Head(ctx)
	if c.headless = errors.Is(err, audit.ErrNotFound); err != nil && !c.headless {
		return err
	}
	if c.end, err = c.stored.End(ctx); err != nil {
		return err
	}
	if c.trees, err = newTrees(); err != nil {
		return err
	}
	c.claims = claims{trailCheck: c}
	if err := c.claims.begin(ctx); err != nil {
		return err
	}
	switch {
	case !c.headless:
		c.result.Size = c.head.Size
		if c.end < c.head.Size {
			c.add(c.end, "%s: the head says that the trail has %d entries", missing(c.end, c.head.Size), c.head.Size)
		}
		c.tail = c.end > c.head.Size
		c.end = min(c.end, c.head.Size)
	case c.end == 0 && c.claims.none():
		return audit.ErrNotFound
	default:
		c.result.Size = c.end
		c.add(-1, "the trail has no head, which says its size and root")
	}
	if !c.Deep {
		return c.dense(ctx)
	}
	return nil
}

// dense finds the first position that isn't stored once, by counting halves.
func (c *trailCheck) dense(ctx context.Context) error {
	span := audit.Span{High: c.end}
	count, err := c.stored.Count(ctx, span)
	if err != nil || count == c.end {
		return err
	}
	for span.Len() > 1 {
		half := audit.Span{Low: span.Low, High: span.Low + span.Len()/2}
		within, err := c.stored.Count(ctx, half)
		if err != nil {
			return err
		}
		if within != half.Len() {
			span = half
		} else {
			span.Low = half.High
		}
	}
	c.add(span.Low, "is missing, or stands twice: %d entries are stored below position %d", count, c.end)
	return nil
}

// finish looks at what was signed of more than there is, the head, and what else there is.
func (c *trailCheck) finish(ctx context.Context) error {
	if err := c.beyond(ctx); err != nil {
		return err
	}
	if c.odd > 0 {
		c.add(c.good, "or one up to position %d is not what was signed: %s has another root%s", c.firstOdd.size-1, c.firstOdd.name, andLater(c.odd-1))
	}
	if !c.headless && c.end == c.head.Size && !c.trees.broken {
		c.checkHead()
	}
	if top := c.claims.top; top.size > c.claims.newest {
		c.add(-1, "%s was signed, and the newest stored checkpoint is of size %d: newer ones are gone", top.name, c.claims.newest)
	}
	c.result.Checkpoints, c.result.Signed, c.result.Held = c.claims.count, c.claims.signed, len(c.Held)
	beside, err := c.stored.Beside(ctx, c.result.Size, c.claims.newest, c.Deep)
	c.take(beside...)
	return err
}

// beyond tells of claims about more entries than there are.
func (c *trailCheck) beyond(ctx context.Context) error {
	var first claim
	count := int64(0)
	for c.claims.due() != math.MaxInt64 {
		next, err := c.claims.pop(ctx)
		if err != nil {
			return err
		}
		if count++; count == 1 {
			first = next
		}
	}
	if count > 0 {
		c.add(c.end, "and what came after are gone: %s was signed, and the trail ends here%s", first.name, andLater(count-1))
	}
	return nil
}

func andLater(count int64) string {
	if count == 0 {
		return ""
	}
	return fmt.Sprintf(" (so do %d later ones)", count)
}

func (c *trailCheck) checkHead() {
	root, frontier := c.trees.has(c.head.Root), c.trees.hasFrontier(c.head.Frontier)
	switch {
	case !root && !frontier && c.good < c.end && !c.tail:
		c.add(c.good, "or a later one is not what was recorded: the head's root and frontier are those of other entries")
	case !root && !frontier:
		c.add(-1, "the head's root and frontier are not those of the trail's %d entries", c.end)
	case !root:
		c.add(-1, "the head's root is not that of the trail's %d entries", c.end)
	case !frontier:
		c.add(-1, "the head's frontier is not that of the trail's %d entries", c.end)
	}
	if c.Deep && c.end > 0 && !c.head.LastCreatedAt.Equal(c.lastTime) {
		c.add(-1, "the head says that the last entry is of %s, and it is of %s", audit.FormatTime(c.head.LastCreatedAt), audit.FormatTime(c.lastTime))
	}
}

// findings gathers what is wrong: what is of the lowest positions, and how much there is.
type findings struct {
	kept  []audit.Finding
	count int64
}

// listed is how many findings are named.
const listed = 20

func (f *findings) add(position int64, format string, args ...any) {
	f.take(audit.Finding{Position: position, Detail: fmt.Sprintf(format, args...)})
}

func (f *findings) take(found ...audit.Finding) {
	f.count += int64(len(found))
	if f.kept = append(f.kept, found...); len(f.kept) > 100*listed {
		f.kept = f.first()
	}
}

// first are the findings of the lowest positions; those of none come last.
func (f *findings) first() []audit.Finding {
	slices.SortStableFunc(f.kept, func(a, b audit.Finding) int {
		return cmp.Compare(uint64(a.Position), uint64(b.Position)) // -1 is the highest
	})
	return f.kept[:min(listed, len(f.kept))]
}
