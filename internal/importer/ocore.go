package importer

import (
	"bufio"
	"bytes"
	"time"

	"ocore.dev/audit/internal/audit"
)

// splitOCore tells JSON from CSV by the first character: no CSV header begins with a
// bracket.
func splitOCore(content *bufio.Reader, found func(piece)) error {
	head, _ := content.Peek(512) // an error comes again when the content is read
	switch start := bytes.TrimLeft(head, " \t\r\n"); {
	case len(start) == 0, start[0] == '{', start[0] == '[':
		return splitList("items")(content, found)
	}
	return splitCSV(content, found)
}

// ocoreEntry maps a record of the customer's own service, whose names are ours.
func ocoreEntry(record object) (audit.Draft, time.Time) {
	return entry(record), record.originalTime("createdAt")
}
