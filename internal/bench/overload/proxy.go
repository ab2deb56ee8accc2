package main

import (
	"context"
	"net"
	"time"
)

// delayed is a proxy before PostgreSQL that hands on what it gets after a time, in order.
// It slows no byte down that is on its way: only answers take longer.
func delayed(ctx context.Context, to string, by time.Duration) (address string, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	go func() {
		for {
			front, err := listener.Accept()
			if err != nil {
				return
			}
			back, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
			if err != nil {
				_ = front.Close()
				continue
			}
			go pass(front, back, by)
			go pass(back, front, 0)
		}
	}()
	return listener.Addr().String(), nil
}

type part struct {
	bytes []byte
	due   time.Time
}

func pass(from, to net.Conn, by time.Duration) {
	parts := make(chan part, 1024)
	go func() {
		defer func() { _ = to.Close() }()
		for p := range parts {
			time.Sleep(time.Until(p.due))
			if _, err := to.Write(p.bytes); err != nil {
				_ = from.Close()
			}
		}
	}()
	defer close(parts)
	for {
		buffer := make([]byte, 32<<10)
		n, err := from.Read(buffer)
		if n > 0 {
			parts <- part{buffer[:n], time.Now().Add(by)}
		}
		if err != nil {
			return
		}
	}
}
