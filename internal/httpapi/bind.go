package httpapi

import (
	"github.com/labstack/echo/v4"

	"ocore.dev/audit/gen/api"
	"ocore.dev/audit/internal/audit"
)

// binder fills in what the generated server hands to handlers. Of entries, whose bodies were
// read and checked before, it takes the members as they stand; encoding/json would read all
// of it again, twice.
type binder struct{ echo.DefaultJSONSerializer }

// Deserialize implements [echo.JSONSerializer].
func (b binder) Deserialize(c echo.Context, into any) error {
	body := callOf(c.Request().Context()).body
	switch into := into.(type) {
	case *api.NewAuditLog:
		*into = newAuditLog(body)
	case *api.NewAuditLogBatch:
		audit.EachMember(body, func(_ string, items []byte) { // there is no other member
			audit.EachItem(items, func(item []byte) bool {
				into.Items = append(into.Items, newAuditLog(item))
				return true
			})
		})
	default:
		return b.DefaultJSONSerializer.Deserialize(c, into)
	}
	return nil
}

// newAuditLog decodes an object of that schema.
func newAuditLog(object []byte) (n api.NewAuditLog) {
	audit.EachMember(object, func(name string, raw []byte) {
		switch name {
		case "beforeState":
			n.BeforeState = raw
		case "afterState":
			n.AfterState = raw
		case "action":
			n.Action = textOf(raw)
		case "resourceType":
			n.ResourceType = textOf(raw)
		default:
			text := textOf(raw)
			*optionalMember(&n, name) = &text
		}
	})
	return n
}

// optionalMember is where a text that may be left out belongs.
func optionalMember(n *api.NewAuditLog, name string) **string {
	switch name {
	case "id":
		return &n.ID
	case "resourceId":
		return &n.ResourceID
	case "resourceName":
		return &n.ResourceName
	case "userId":
		return &n.UserID
	case "userName":
		return &n.UserName
	case "ipAddress":
		return &n.IPAddress
	case "userAgent":
		return &n.UserAgent
	case "occurredAt":
		return &n.OccurredAt
	}
	return new(*string)
}
