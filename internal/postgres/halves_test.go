package postgres_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/testkit"
)

// A proxy that loses a message out of the midst of a stream is broken; still nobody's trail
// may contradict itself for it. COMMIT follows an append's statements without a look at their
// results, so each of them that could be lost alone must be nothing alone.
func TestAnAppendThatLosesAMessageOnItsWayIsWholeOrNotThere(t *testing.T) {
	t.Parallel()
	for name, organization := range map[string]func(n int) string{
		"a trail each, where a tile is finished": func(n int) string { return fmt.Sprint("acme-", n) },
		"the admin trail":                        func(int) string { return audit.AdminOrganization },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := testkit.NewDatabase(t)
			proxy := newLossyProxy(t, d.ServingURL)
			store := openStore(t, postgres.Options{URL: proxy.url, Writers: 1})
			sure := testkit.NewStore(t, d)
			for n := 1; ; n++ {
				organization := organization(n)
				mustAppend(t, store, organization, plain(t, fmt.Sprint("before-", n), 250)...)
				entries := plain(t, fmt.Sprint("entry-", n), 10)
				proxy.lose(n)
				_, err := store.Append(t.Context(), submission(organization, entries...))
				checkTrail(t, d, organization)
				if !proxy.lost() {
					if err != nil || n < 15 {
						t.Fatalf("an append of %d messages: %v", n-1, err)
					}
					t.Logf("%d messages, each lost once", n-1)
					return
				}
				mustAppend(t, sure, organization, entries...)
				checkTrail(t, d, organization)
			}
		})
	}
}

// lossyProxy stands before PostgreSQL and loses one message of a client when told to.
type lossyProxy struct {
	url  string
	mu   sync.Mutex
	left int // until the message that is lost; 0: none is, or it was
}

func newLossyProxy(t *testing.T, target string) *lossyProxy {
	t.Helper()
	location, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	server := location.Host
	location.Host = listener.Addr().String()
	p := &lossyProxy{url: location.String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client, server)
		}
	}()
	return p
}

// lose has the n-th message from now vanish.
func (p *lossyProxy) lose(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = n
}

func (p *lossyProxy) lost() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left == 0
}

// loses counts what may be lost: not a Sync, behind which everybody waits for the other.
func (p *lossyProxy) loses(kind byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 || kind == 'S' {
		return false
	}
	p.left--
	return p.left == 0
}

func (p *lossyProxy) serve(client net.Conn, address string) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	go func() {
		defer client.Close()
		_, _ = io.Copy(client, server)
	}()
	defer server.Close()
	for header := make([]byte, 4); ; header = make([]byte, 5) { // the first message has no type
		if _, err := io.ReadFull(client, header); err != nil {
			return
		}
		text := make([]byte, binary.BigEndian.Uint32(header[len(header)-4:])-4)
		if _, err := io.ReadFull(client, text); err != nil {
			return
		}
		if p.loses(header[0]) {
			continue
		}
		if _, err := server.Write(append(header, text...)); err != nil {
			return
		}
	}
}
