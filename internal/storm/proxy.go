package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// proxy stands between an instance and PostgreSQL, and knows the messages of its protocol
// (PostgreSQL's documentation, "Message Formats"). A rule looks at each message before it is
// sent on, and decides what becomes of it. No rule takes a message out of the midst of a
// stream: no network does, and a test of internal/postgres loses each of an append's once.
type proxy struct {
	listener net.Listener
	target   func() string
	mu       sync.Mutex
	rule     rule
	hits     int // messages that did not just pass
	conns    map[net.Conn]bool
}

// message is one message on its way.
type message struct {
	toServer bool
	kind     byte   // 0: the startup message, which has none
	text     []byte // the whole message
}

// committed reports whether the message is PostgreSQL's answer to a COMMIT.
func (m message) committed() bool {
	return !m.toServer && m.kind == 'C' && bytes.HasPrefix(m.text[5:], []byte("COMMIT\x00"))
}

// verdict is what becomes of a message.
type verdict int

const (
	pass      verdict = iota
	cutBefore         // the connection ends, the message is not sent
	cutInside         // half of the message is sent
	cutAfter          // all of it
	swallow           // it vanishes with all that follows, the connection stays
	hold              // half of it is sent, and then nothing more
	late              // it is sent, up to 1 s later
)

type rule func(message) verdict

func newProxy(target func() string) (*proxy, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, target: target, conns: map[net.Conn]bool{}}
	go p.accept()
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) close() {
	_ = p.listener.Close()
	p.cut()
}

// set replaces the rule; nil lets everything pass.
func (p *proxy) set(r rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = r
}

// hit counts what was done to messages since the last call.
func (p *proxy) hit() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	hits := p.hits
	p.hits = 0
	return hits
}

// hit reports whether anything was done to a message in this round.
func (r *rig) hit() bool {
	hits := 0
	for _, i := range r.instances {
		i.proxy.mu.Lock()
		hits += i.proxy.hits
		i.proxy.mu.Unlock()
	}
	return hits > 0
}

// cut ends every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *proxy) judge(m message) verdict {
	p.mu.Lock() // rules count
	defer p.mu.Unlock()
	if p.rule == nil {
		return pass
	}
	v := p.rule(m)
	if v != pass {
		p.hits++
	}
	return v
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.serve(client)
	}
}

func (p *proxy) serve(client net.Conn) {
	server, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(context.Background(), "tcp", p.target())
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns[client], p.conns[server] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client, true) })
	both.Go(func() { p.copy(client, server, false) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

// copy sends messages on, and ends the whole connection when it ends.
func (p *proxy) copy(to, from net.Conn, toServer bool) {
	reader := bufio.NewReaderSize(from, 64<<10)
	defer func() { _ = to.Close() }()
	defer func() { _ = from.Close() }()
	for first := toServer; ; first = false {
		m, err := readMessage(reader, first)
		if err != nil {
			return
		}
		m.toServer = toServer
		v := p.judge(m)
		text := m.text
		switch v {
		case late:
			time.Sleep(rand.N(time.Second))
		case pass, cutAfter:
		case cutInside, hold:
			text = text[:len(text)/2]
		case cutBefore, swallow:
			text = nil
		}
		if _, err := to.Write(text); err != nil {
			return
		}
		switch v {
		case cutBefore, cutInside, cutAfter:
			return
		case hold, swallow:
			_, _ = io.Copy(io.Discard, reader) // until a side ends it
			return
		case pass, late:
		}
	}
}

// readMessage reads a type, unless it is the first of a client, a length that counts itself,
// and the rest.
func readMessage(from io.Reader, first bool) (message, error) {
	header := make([]byte, 5)
	if first {
		header = header[:4]
	}
	if _, err := io.ReadFull(from, header); err != nil {
		return message{}, err
	}
	m := message{}
	if !first {
		m.kind = header[0]
	}
	length := int(binary.BigEndian.Uint32(header[len(header)-4:])) - 4
	if length < 0 || length > 1<<30 {
		return m, io.ErrUnexpectedEOF
	}
	m.text = slices.Concat(header, make([]byte, length))
	_, err := io.ReadFull(from, m.text[len(header):])
	return m, err
}
