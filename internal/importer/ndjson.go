package importer

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"time"

	"ocore.dev/audit/internal/audit"
)

// splitLines reads one record a line and passes over blank lines.
func splitLines(content *bufio.Reader, found func(piece)) error {
	for line := 1; ; line++ {
		raw, err := content.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if raw = bytes.Trim(raw, " \t\r\n"); len(raw) > 0 {
			found(piece{place: strconv.Itoa(line), raw: raw, object: raw})
		}
		if err != nil {
			return nil //nolint:nilerr // the end of the input
		}
	}
}

// ndjsonEntry takes createdAt as the original time if the entry was stored before, else
// what its emitter said.
func ndjsonEntry(record object) (audit.Draft, time.Time) {
	original := record.time("createdAt")
	if original.IsZero() {
		original = record.time("occurredAt")
	}
	return entry(record), original
}

// entry maps an entry as the API shows it, name for name. What the service decides anew
// (position, recordedBy, importedAt) is left out, and a member that no entry has is
// refused: evidence is not dropped silently.
func entry(record object) audit.Draft {
	record.only(audit.CSVColumns)
	return audit.Draft{
		ID:           record.text("id"),
		Action:       record.text("action"),
		ResourceType: record.text("resourceType"),
		ResourceID:   record.text("resourceId"),
		ResourceName: record.text("resourceName"),
		UserID:       record.text("userId"),
		UserName:     record.text("userName"),
		IPAddress:    record.text("ipAddress"),
		UserAgent:    record.text("userAgent"),
		BeforeState:  record.state("beforeState"),
		AfterState:   record.state("afterState"),
		OccurredAt:   record.text("occurredAt"),
	}
}
