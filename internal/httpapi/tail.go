package httpapi

import (
	"context"

	"ocore.dev/audit/gen/api"
	"ocore.dev/audit/internal/audit"
)

func (h *handlers) TailAuditLogs(context.Context, api.TailAuditLogsRequestObject) (api.TailAuditLogsResponseObject, error) {
	return nil, audit.ErrNotReady
}
