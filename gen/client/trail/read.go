package trail

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"time"

	"ocore.dev/audit/gen/client"
)

// Filter chooses entries: those for which all members that are set hold, whole and byte for
// byte. The zero Filter chooses every entry.
type Filter struct {
	ResourceType string
	ResourceID   string
	Action       string
	UserID       string
	Start        time.Time // createdAt is this moment or later
	End          time.Time // createdAt is this moment or earlier

	// What has one of these values is left out: up to 10 of each, 2,048 bytes in all.
	ExcludeResourceType []string
	ExcludeResourceID   []string
	ExcludeAction       []string
	ExcludeUserID       []string
}

func optionalList(values []string) *[]string {
	if len(values) == 0 {
		return nil
	}
	return &values
}

// Page is a part of a list.
type Page struct {
	Number int64  // from 1; 0 is 1
	Size   int32  // up to 1,000, in the admin trail 100; 0 is 20
	Cursor string // goes on where an earlier answer ended, in place of Number
}

// AuditLogList is a page of entries, newest first. Total counts what matches on all pages,
// exactly; NextCursor is nil at the end.
type AuditLogList = client.AuditLogList

// Entry reads one entry. An id that the organization has no entry for is an [ErrNotFound].
func (c *Client) Entry(ctx context.Context, id string) (AuditLog, error) {
	if id == "" || id == "." || id == ".." { // would be other paths
		return AuditLog{}, fmt.Errorf("trail: %q is no id", id)
	}
	return fetch[AuditLog](ctx, c, http.StatusOK, func() (*http.Request, error) {
		return client.NewGetAuditLogRequest(c.base, id, nil)
	})
}

// List reads one page of the entries that match, newest first. A page beyond the end is empty
// and no error. New entries shift pages that are told by number; cursors they don't.
func (c *Client) List(ctx context.Context, f Filter, p Page) (AuditLogList, error) {
	return fetch[AuditLogList](ctx, c, http.StatusOK, func() (*http.Request, error) {
		return client.NewListAuditLogsRequest(c.base, &client.ListAuditLogsParams{
			Page: optional(p.Number), PerPage: optional(p.Size), Cursor: optional(p.Cursor),
			ResourceType: optional(f.ResourceType), ResourceID: optional(f.ResourceID), Action: optional(f.Action), UserID: optional(f.UserID),
			ExcludeResourceType: optionalList(f.ExcludeResourceType), ExcludeResourceID: optionalList(f.ExcludeResourceID),
			ExcludeAction: optionalList(f.ExcludeAction), ExcludeUserID: optionalList(f.ExcludeUserID),
			StartDate: optional(moment(f.Start)), EndDate: optional(moment(f.End)),
		})
	})
}

// walkPage is how many entries a walk has in memory at most.
const walkPage = 500

// Walk goes along all entries that match, newest first, following cursors to the end: every
// entry that was there when it began, once, whatever is recorded meanwhile. Up to 500 entries
// are in memory. The first error is the last that the walk yields.
func (c *Client) Walk(ctx context.Context, f Filter) iter.Seq2[AuditLog, error] {
	return walk(func(cursor string) ([]AuditLog, int64, *string, error) {
		list, err := c.List(ctx, f, Page{Size: walkPage, Cursor: cursor})
		return list.Items, list.Total, list.NextCursor, err
	})
}

// ResourceHistory walks along all entries about one resource, newest first, as [Client.Walk]
// does. A resource that no entry names has none.
//
// It asks the list, which answers the same as /audit-logs/resource/{type}/{id}: ids such as
// ".." don't survive in a path.
func (c *Client) ResourceHistory(ctx context.Context, resourceType, resourceID string) iter.Seq2[AuditLog, error] {
	if resourceType == "" || resourceID == "" { // an empty filter would match everything
		return func(yield func(AuditLog, error) bool) {
			yield(AuditLog{}, fmt.Errorf("trail: a resource has a type and an id, not %q and %q", resourceType, resourceID))
		}
	}
	return c.Walk(ctx, Filter{ResourceType: resourceType, ResourceID: resourceID})
}

// walk yields the items of page after page.
func walk[T any](page func(cursor string) (items []T, total int64, next *string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor, first := "", true; first || cursor != ""; first = false {
			items, total, next, err := page(cursor)
			cursor = value(next)
			if err == nil && first && cursor == "" && int64(len(items)) < total {
				// Otherwise a service without cursors would seem to have no more than one page.
				err = fmt.Errorf("trail: the service gives %d of %d entries and no way on", len(items), total)
			}
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}
