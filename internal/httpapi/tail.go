package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"ocore.dev/audit/gen/api"
	"ocore.dev/audit/internal/audit"
)

// While a tail has nothing to send, it looks so often whether its caller is still trusted,
// and says so often how far it is.
const (
	trustTime     = time.Second
	heartbeatTime = 15 * time.Second
)

// Why a tail ends, as its last event says.
const (
	endWaited  = "waited"
	endExpired = "expired"
	endRestart = "restart"
)

func (h *handlers) TailAuditLogs(ctx context.Context, r api.TailAuditLogsRequestObject) (api.TailAuditLogsResponseObject, error) {
	c, p := callOf(ctx), r.Params
	f, err := exclusions{p.ExcludeAction, p.ExcludeResourceType, p.ExcludeResourceID, p.ExcludeUserID}.applyTo(audit.Filter{
		Action: p.Action, ResourceType: p.ResourceType, ResourceID: p.ResourceID, UserID: p.UserID,
	})
	if err != nil {
		return nil, err
	}
	from := int64(-1)
	switch {
	case p.LastEventID != nil:
		from = *p.LastEventID + 1
	case p.Position != nil:
		from = *p.Position
	}
	tail, err := h.service.Tail(ctx, c.organization, c.principal, f, from)
	var refused *audit.Rejection
	if errors.As(err, &refused) && p.LastEventID != nil {
		refused.Parameter = "Last-Event-ID"
	}
	if err != nil {
		return nil, err
	}
	a := &tailAnswer{context: ctx, tail: tail, begun: time.Now(), target: tail.Size(), trusted: c.again, drain: h.drain, timeout: h.chunkTimeout, call: c}
	if p.Wait != nil {
		a.bounded, a.wait = true, time.Duration(*p.Wait)*time.Second
	}
	return a, nil
}

// tailAnswer streams a tail as server-sent events (HTML, section 9.2) until it has a reason to
// end or the caller goes. An event's id is the position up to which everything is dealt with,
// so that whoever sends the last one back goes on behind it.
type tailAnswer struct {
	context context.Context
	tail    *audit.Tail
	begun   time.Time
	bounded bool
	wait    time.Duration
	target  int64 // the trail's size when it began: so much is sent before waiting ends
	trusted func(context.Context) error
	drain   <-chan struct{}
	timeout time.Duration
	call    *call

	said    time.Time // when something was sent last
	checked time.Time // when the caller was trusted last
}

// VisitTailAuditLogsResponse returns an error when the stream breaks off; the error handler
// then cuts the connection.
func (a *tailAnswer) VisitTailAuditLogsResponse(w http.ResponseWriter) error {
	defer a.tail.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	a.checked = time.Now()
	err := a.send(w, a.appendAt([]byte("retry: 1000\n\n")))
	var buffer []byte
	for err == nil && a.context.Err() == nil {
		var rows []audit.Row
		if rows, err = a.read(); err != nil {
			break
		}
		buffer = buffer[:0]
		for _, row := range rows {
			buffer = fmt.Appendf(buffer, "id: %d\nevent: entry\ndata: ", row.Position)
			buffer = append(row.AppendJSON(buffer), "\n\n"...)
		}
		reason := a.rest(len(rows) == 0 && a.tail.Next >= a.tail.Size())
		if len(buffer) == 0 && time.Since(a.said) >= heartbeatTime {
			buffer = a.appendAt(buffer)
		}
		if reason != "" {
			buffer = fmt.Appendf(buffer, "event: end\ndata: {\"reason\":%q,\"next\":%d}\n\n", reason, a.tail.Next)
			return a.gone(a.send(w, buffer))
		}
		if len(buffer) > 0 {
			err = a.send(w, buffer)
		}
	}
	return a.gone(err)
}

// read takes its turn among all that is read, as a page does. When too much is at work, it
// tries again later: what is there stays there.
func (a *tailAnswer) read() ([]audit.Row, error) {
	if !a.tail.Behind() {
		return nil, nil
	}
	err := a.call.lane.enter(a.context, a.call.organization)
	if errors.Is(err, audit.ErrOverloaded) {
		select {
		case <-a.drain:
		case <-a.context.Done():
		case <-time.After(trustTime):
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer a.call.lane.leave(a.call.organization)
	return a.tail.Read(a.context)
}

// gone makes a caller who went away no failure.
func (a *tailAnswer) gone(err error) error {
	if a.context.Err() != nil {
		return nil //nolint:nilerr // nobody is left to tell
	}
	return err
}

// appendAt says how far the tail is.
func (a *tailAnswer) appendAt(dst []byte) []byte {
	return fmt.Appendf(dst, "id: %d\nevent: at\ndata: {\"next\":%d,\"size\":%d}\n\n", a.tail.Next-1, a.tail.Next, a.tail.Size())
}

// rest says why to end, "" for no reason. When there is nothing to send it first waits for
// something to happen.
func (a *tailAnswer) rest(idle bool) string {
	timer := time.NewTimer(a.patience(idle))
	defer timer.Stop()
	select {
	case <-a.drain:
		return endRestart
	default:
	}
	if idle {
		select {
		case <-a.drain:
			return endRestart
		case <-a.tail.Grown():
		case <-a.context.Done():
		case <-timer.C:
		}
	}
	switch {
	case a.bounded && a.tail.Next >= a.target && time.Since(a.begun) >= a.wait:
		return endWaited
	case time.Since(a.checked) < trustTime:
		return ""
	}
	a.checked = time.Now()
	if err := a.trusted(a.context); errors.Is(err, audit.ErrUnauthenticated) {
		return endExpired // other errors mean that nobody can tell just now
	}
	return ""
}

// patience is how long a tail that is idle may sleep.
func (a *tailAnswer) patience(idle bool) time.Duration {
	if left := a.wait - time.Since(a.begun); idle && a.bounded && left < trustTime {
		return max(0, left)
	}
	return trustTime
}

func (a *tailAnswer) send(w http.ResponseWriter, events []byte) error {
	control := http.NewResponseController(w)
	if err := control.SetWriteDeadline(time.Now().Add(a.timeout)); err != nil {
		return fmt.Errorf("tail: %w", err)
	}
	if _, err := w.Write(events); err != nil {
		return fmt.Errorf("tail: %w", err)
	}
	a.said = time.Now()
	return control.Flush()
}
