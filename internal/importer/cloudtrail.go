package importer

import (
	"cmp"
	"time"

	"ocore.dev/audit/internal/audit"
)

// cloudTrailEntry maps a record of AWS CloudTrail. Its other members (region, TLS
// details and so on) have no counterpart in an entry.
func cloudTrailEntry(record object) (audit.Draft, time.Time) {
	user := record.object("userIdentity")
	resource := record.first("resources")
	return audit.Draft{
		ID:           record.text("eventID"),
		Action:       record.text("eventName"),
		ResourceType: cmp.Or(resource.text("type"), record.text("eventSource")),
		ResourceID:   resource.text("ARN"),
		UserID:       cmp.Or(user.text("arn"), user.text("principalId"), user.text("invokedBy")),
		UserName:     user.text("userName"),
		IPAddress:    record.text("sourceIPAddress"),
		UserAgent:    record.text("userAgent"),
		AfterState:   cloudTrailState(record),
	}, record.originalTime("eventTime")
}

// cloudTrailState gathers what was asked for and what came of it, digit for digit.
func cloudTrailState(record object) []byte {
	var state []byte
	for _, name := range []string{"requestParameters", "responseElements", "errorCode", "errorMessage"} {
		value := record.value(name)
		if value == nil {
			continue
		}
		if state == nil {
			state = []byte{'{'}
		} else {
			state = append(state, ',')
		}
		state = audit.AppendString(state, name)
		state = append(state, ':')
		state = append(state, value...)
	}
	if state == nil {
		return nil
	}
	return append(state, '}')
}
