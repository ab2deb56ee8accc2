package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// history is what went over the wire between clients and instances, as a transport saw it,
// below all that retries.
type history struct {
	mu      sync.Mutex
	entries map[key]*told
	round   map[key]bool // first sent in this round
	kept    int          // that emitters were promised
}

// key is an entry's.
type key struct{ organization, id string }

// told is what is known of one id.
type told struct {
	contents map[[32]byte]*content
	receipt  *receipt // of the first acknowledgement
	fate     fate     // of what an emitter of its own sent
}

// content is one content that was sent under an id.
type content struct {
	members map[string]json.RawMessage
	sent    int  // requests
	refused int  // requests answered in a way that promises that nothing was stored
	stored  bool // acknowledged
}

// receipt is what an acknowledgement says.
type receipt struct {
	position  int64
	createdAt string
	at        time.Time
}

func newHistory() *history {
	return &history{entries: map[key]*told{}, round: map[key]bool{}}
}

func (h *history) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.round = map[key]bool{}
}

// item is one entry within a request.
type item struct {
	key  key
	hash [32]byte
}

// send notes what a request asks to be stored, before it is sent.
func (h *history) send(organization string, bodies []json.RawMessage) []item {
	h.mu.Lock()
	defer h.mu.Unlock()
	var items []item
	for _, body := range bodies {
		members := map[string]json.RawMessage{}
		if json.Unmarshal(body, &members) != nil {
			continue // sent to be refused
		}
		var id string
		_ = json.Unmarshal(members["id"], &id)
		k, hash := key{organization, id}, sha256.Sum256(body)
		t := h.entries[k]
		if t == nil {
			t = &told{contents: map[[32]byte]*content{}}
			h.entries[k] = t
			h.round[k] = true
		}
		if t.contents[hash] == nil {
			t.contents[hash] = &content{members: members}
		}
		t.contents[hash].sent++
		items = append(items, item{k, hash})
	}
	return items
}

// emitted notes what emitters sent, past the recorder, and what must have become of it. It
// counts what must be stored.
func (h *history) emitted(organization string, journal map[string]*emission) (taken int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, e := range journal {
		members := map[string]json.RawMessage{}
		_ = json.Unmarshal(e.content, &members) // which its reader did too
		c := &content{members: members, sent: 1}
		h.entries[key{organization, id}] = &told{contents: map[[32]byte]*content{sha256.Sum256(e.content): c}, fate: e.fate}
		if e.fate == kept {
			taken++
		}
	}
	h.kept += taken
	return taken
}

// refuse notes that a request was answered by a promise that nothing was stored.
func (h *history) refuse(items []item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range items {
		h.entries[i.key].contents[i.hash].refused++
	}
}

// acknowledge notes receipts, and returns what contradicts earlier ones.
func (h *history) acknowledge(items []item, receipts []receipt) (findings []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n, i := range items {
		t := h.entries[i.key]
		t.contents[i.hash].stored = true
		got := receipts[n]
		switch {
		case t.receipt == nil:
			t.receipt = &got
		case t.receipt.position != got.position || t.receipt.createdAt != got.createdAt:
			findings = append(findings, "lost: receipts of "+i.key.id+" in "+i.key.organization+" contradict each other")
		}
	}
	return findings
}

// acknowledged are the keys of an organization that were acknowledged so far.
func (h *history) acknowledged(organization string) map[string]int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	positions := map[string]int64{}
	for k, t := range h.entries {
		if k.organization == organization && t.receipt != nil {
			positions[k.id] = t.receipt.position
		}
	}
	return positions
}

// ambiguous are the keys of an organization of which nobody knows what became, with the
// bodies that were sent.
func (h *history) ambiguous() map[key]map[string]json.RawMessage {
	h.mu.Lock()
	defer h.mu.Unlock()
	open := map[key]map[string]json.RawMessage{}
	for k := range h.round {
		t := h.entries[k]
		for _, c := range t.contents {
			if t.receipt == nil && c.sent > c.refused {
				open[k] = c.members
			}
		}
	}
	return open
}

// recorder is the transport of all clients. It reads answers whole: an acknowledgement that
// broke off is none.
type recorder struct {
	next         http.RoundTripper
	history      *history
	organization string
	found        func(string)
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodPost {
		return r.next.RoundTrip(request)
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	batch := strings.HasSuffix(request.URL.Path, "/batch")
	bodies := []json.RawMessage{body}
	if batch {
		var b struct{ Items []json.RawMessage }
		_ = json.Unmarshal(body, &b)
		bodies = b.Items
	}
	items := r.history.send(r.organization, bodies)
	response, err := r.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(response.Body)
	response.Body.Close()
	response.Body = io.NopCloser(&half{bytes.NewReader(answer), err})
	if err == nil {
		r.note(items, response.StatusCode, answer, batch)
	}
	return response, nil
}

func (r *recorder) note(items []item, status int, answer []byte, batch bool) {
	switch {
	case status == http.StatusCreated:
		receipts, ok := readReceipts(answer, batch)
		if !ok || len(receipts) != len(items) {
			r.found("lost: a 201 that can't be read: " + string(answer))
			return
		}
		for _, finding := range r.history.acknowledge(items, receipts) {
			r.found(finding)
		}
	case status >= 400 && status < 500:
		r.history.refuse(items)
	}
}

func readReceipts(answer []byte, batch bool) ([]receipt, bool) {
	type one struct {
		Position  *int64
		CreatedAt string
	}
	var all struct{ Items []one }
	if batch {
		if json.Unmarshal(answer, &all) != nil {
			return nil, false
		}
	} else {
		all.Items = make([]one, 1)
		if json.Unmarshal(answer, &all.Items[0]) != nil {
			return nil, false
		}
	}
	var receipts []receipt
	for _, o := range all.Items {
		if o.Position == nil {
			return nil, false
		}
		receipts = append(receipts, receipt{*o.Position, o.CreatedAt, time.Now()})
	}
	return receipts, true
}

// half is an answer with the error that it ended in.
type half struct {
	*bytes.Reader
	err error
}

func (h *half) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if errors.Is(err, io.EOF) && h.err != nil {
		err = h.err
	}
	return n, err
}

// contents is how many contents were sent under a key.
func (h *history) contents(k key) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.entries[k].contents)
}

// counts are the entries that were acknowledged, or kept by a spool or an outbox, all in all.
func (h *history) counts() (acknowledged int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.entries {
		if t.receipt != nil {
			acknowledged++
		}
	}
	return acknowledged + h.kept
}
