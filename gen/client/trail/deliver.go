package trail

import (
	"context"
	"errors"
	"net/http"
)

// Encode is the entry as it is sent and compared: the same bytes under the same id are the
// same entry for ever. Keep them, rather than the entry, where it may have to be sent again
// by another process. An entry without an id fails.
func (e Entry) Encode() ([]byte, error) {
	if e.ID == "" {
		return nil, errors.New("trail: an entry that is kept needs an id of its own: NewID makes one")
	}
	return encodeEntry(e)
}

// Deliver records encoded entries in their order, for those who keep them until they are
// stored, such as a spool or an outbox. Each entry is stored once Deliver returns nil, or was
// given to refused with the [*Problem] that will always refuse it: one entry's fault doesn't
// keep its neighbours back. On any other error, and on an error of refused, an unknown part is
// stored: deliver all of them again.
func (c *Client) Deliver(ctx context.Context, contents [][]byte, refused func(i int, p *Problem) error) error {
	for from := 0; from < len(contents); {
		n := fitting(contents[from:])
		if err := c.deliver(ctx, contents, from, from+n, refused); err != nil {
			return err
		}
		from += n
	}
	return nil
}

// deliver halves what is refused until the entry at fault is alone.
func (c *Client) deliver(ctx context.Context, contents [][]byte, from, to int, refused func(int, *Problem) error) error {
	_, err := c.recordPart(ctx, contents[from:to])
	var p *Problem
	if err == nil || !errors.As(err, &p) || !p.final() {
		return err
	}
	if to-from == 1 {
		return refused(from, p)
	}
	middle := from + (to-from)/2
	if err := c.deliver(ctx, contents, from, middle, refused); err != nil {
		return err
	}
	return c.deliver(ctx, contents, middle, to, refused)
}

// final reports whether the same content will be refused for ever. A token that isn't taken
// today may be tomorrow.
func (p *Problem) final() bool {
	switch p.Status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return false
}
