package proof

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	"ocore.dev/audit/internal/audit"
)

// claim is what somebody signed: that the trail had this root when it had this size.
type claim struct {
	name string
	size int64
	root []byte
}

// claims are the trail's checkpoints and those kept elsewhere, in the order of their sizes.
// Checkpoints are read as they are needed, and held against each other on the way.
type claims struct {
	*trailCheck
	held   []claim
	top    claim // the largest that was held elsewhere
	page   []claim
	next   int64 // the number that the next checkpoint should have
	from   int64 // the number that reading goes on from
	done   bool
	count  int64 // of checkpoints
	newest int64 // size that the last one says
	signed int64 // size that the last one that is right says
}

func (s *claims) begin(ctx context.Context) error {
	for _, h := range s.Held {
		signed, err := s.Keys.Open([]byte(h.Note))
		switch {
		case err != nil:
			s.add(-1, "%s: %s", h.Name, err)
		case signed.Organization() != s.organization:
			s.add(-1, "%s: it is a checkpoint of %s", h.Name, signed.Organization())
		default:
			s.held = append(s.held, claim{fmt.Sprintf("%s of size %d", h.Name, signed.Size), signed.Size, signed.Root})
		}
	}
	slices.SortStableFunc(s.held, func(a, b claim) int { return cmp.Compare(a.size, b.size) })
	if len(s.held) > 0 {
		s.top = s.held[len(s.held)-1]
	}
	s.from = math.MinInt64
	return s.fill(ctx)
}

// none reports that nobody signed anything.
func (s *claims) none() bool { return len(s.Held) == 0 && s.count == 0 }

// due is the size of the next claim; the highest number after the last one.
func (s *claims) due() int64 {
	size := int64(math.MaxInt64)
	if len(s.page) > 0 {
		size = s.page[0].size
	}
	if len(s.held) > 0 {
		size = min(size, s.held[0].size)
	}
	return size
}

// pop takes the next claim, which there must be.
func (s *claims) pop(ctx context.Context) (next claim, err error) {
	from := &s.page
	if len(s.page) == 0 || len(s.held) > 0 && s.held[0].size < s.page[0].size {
		from = &s.held
	}
	next, *from = (*from)[0], (*from)[1:]
	return next, s.fill(ctx)
}

func (s *claims) fill(ctx context.Context) error {
	for len(s.page) == 0 && !s.done {
		checkpoints, err := s.stored.Checkpoints(ctx, s.from)
		if err != nil {
			return err
		}
		if len(checkpoints) == 0 {
			s.done = true
			return nil
		}
		for i, opened := range s.open(checkpoints) {
			s.look(checkpoints[i], opened)
		}
		last := checkpoints[len(checkpoints)-1].Number
		s.from, s.done = last+1, last == math.MaxInt64
	}
	return nil
}

// openedNote is what became of opening one.
type openedNote struct {
	Signed
	err error
}

// open checks signatures, which is most of what a checkpoint costs, on all cores.
func (s *claims) open(checkpoints []audit.Checkpoint) []openedNote {
	opened := make([]openedNote, len(checkpoints))
	var opening errgroup.Group
	for part := range s.Parallel {
		opening.Go(func() error {
			for i := part; i < len(checkpoints); i += s.Parallel {
				opened[i].Signed, opened[i].err = s.Keys.Open([]byte(checkpoints[i].Note))
			}
			return nil
		})
	}
	_ = opening.Wait() // what went wrong stands beside each
	return opened
}

// look holds a checkpoint against its own note and those before it.
func (s *claims) look(c audit.Checkpoint, opened openedNote) {
	name := fmt.Sprintf("checkpoint %d of size %d", c.Number, c.Size)
	if c.Number != s.next {
		s.add(-1, "%s stands where number %d should: numbers have no gap", name, s.next)
	}
	falls := c.Size < s.newest
	s.next, s.newest = c.Number+1, c.Size
	s.count++
	switch {
	case opened.err != nil:
		s.add(-1, "%s: %s", name, opened.err)
	case opened.Organization() != s.organization:
		s.add(-1, "%s is one of %s", name, opened.Organization())
	case opened.Size != c.Size || !bytes.Equal(opened.Root, c.Root):
		s.add(-1, "%s was signed with another size or root: size %d", name, opened.Size)
	case falls:
		s.add(-1, "%s is of fewer entries than the one before it", name)
	default:
		s.page = append(s.page, claim{name, c.Size, c.Root})
		s.signed = c.Size
	}
}
