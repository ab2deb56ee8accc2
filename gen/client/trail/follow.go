package trail

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ocore.dev/audit/gen/client"
)

// Follow yields the entries that match from a position on, oldest first, those to come too,
// until ctx ends or the loop is left: each once and none left out, over as many connections as
// it takes. A negative position is the trail's end. The filter's dates have no effect. The first
// error is the last that it yields; a trail that is shorter than position is an [ErrBadRequest].
//
// Each connection becomes a record of the platform's admin trail.
func (c *Client) Follow(ctx context.Context, f Filter, position int64) iter.Seq2[AuditLog, error] {
	return func(yield func(AuditLog, error) bool) {
		params := &client.TailAuditLogsParams{
			ResourceType: optional(f.ResourceType), ResourceID: optional(f.ResourceID), Action: optional(f.Action), UserID: optional(f.UserID),
			ExcludeResourceType: optionalList(f.ExcludeResourceType), ExcludeResourceID: optionalList(f.ExcludeResourceID),
			ExcludeAction: optionalList(f.ExcludeAction), ExcludeUserID: optionalList(f.ExcludeUserID),
		}
		if position >= 0 {
			params.Position = &position
		}
		for ctx.Err() == nil {
			stream, err := c.tail(ctx, params)
			if err == nil {
				var left bool
				if left, err = follow(stream, params, yield); left {
					return
				}
			}
			if err != nil && ctx.Err() == nil {
				yield(AuditLog{}, err)
				return
			}
			select { // whatever ended it may go on for a while
			case <-time.After(min(time.Second, c.longest)):
			case <-ctx.Done():
			}
		}
		yield(AuditLog{}, fmt.Errorf("trail: %w", ctx.Err()))
	}
}

func (c *Client) tail(ctx context.Context, p *client.TailAuditLogsParams) (stream io.ReadCloser, err error) {
	err = c.send(ctx, http.StatusOK, func() (*http.Request, error) {
		return client.NewTailAuditLogsRequest(c.base, p)
	}, func(response *http.Response) error {
		stream = response.Body
		return nil
	})
	return stream, err
}

// follow hands on a connection's whole events and notes in p where the next one goes on. A
// stream that ends is no error, however it does.
func follow(stream io.ReadCloser, p *client.TailAuditLogsParams, yield func(AuditLog, error) bool) (left bool, err error) {
	defer stream.Close()
	lines := bufio.NewReader(stream)
	fields := map[string]string{}
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return false, nil // the next connection goes on behind the last whole event
		}
		if name, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); found {
			fields[name] = value
			continue
		}
		if fields["event"] == "entry" {
			var entry AuditLog
			if err := json.Unmarshal([]byte(fields["data"]), &entry); err != nil {
				return false, fmt.Errorf("trail: an entry can't be read: %w", err)
			}
			if !yield(entry, nil) {
				return true, nil
			}
		}
		if id := fields["id"]; id != "" {
			last, err := strconv.ParseInt(id, 10, 64)
			if err != nil {
				return false, errors.New("trail: the tail has an id that is no position")
			}
			p.LastEventID = &last
		}
		clear(fields)
	}
}
