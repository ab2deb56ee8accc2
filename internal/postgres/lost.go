package postgres

import (
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What keeps a connection that is lost without a word, because something on the way vanished
// or stands still, from keeping anything else: its place in the pool, a trail's lock, a
// caller. None of it is noticed by the network as long as somebody acknowledges packets.
const (
	// connectTimeout bounds connecting, and asking PostgreSQL to cancel.
	connectTimeout = 5 * time.Second
	// pingTimeout bounds the look at a connection that was idle for a second.
	pingTimeout = 2 * time.Second
	// farewell is how long PostgreSQL may take to end a connection that was given up.
	farewell = time.Second
	// lostAfter is how long the other host's system may acknowledge nothing.
	lostAfter = 11 * time.Second
)

// reach makes connections that notice when the other host has gone.
func reach(config *pgx.ConnConfig) {
	config.ConnectTimeout = connectTimeout
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}}
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		// Requests to cancel end by this: the driver waits for their answer, up to 15 s.
		return conn, conn.SetDeadline(time.Now().Add(connectTimeout))
	}
	config.AfterConnect = func(_ context.Context, conn *pgconn.PgConn) error {
		return conn.Conn().SetDeadline(time.Time{})
	}
}

// silent reports whether PostgreSQL lets a connection stand that a time-out closed, and ends
// it then. The driver asks PostgreSQL to cancel and would wait 15 s for it to end the
// connection, which meanwhile keeps its place in the pool and, over there, its locks.
func silent(conn *pgx.Conn) bool {
	if !conn.IsClosed() {
		return false // it is closed in peace
	}
	select {
	case <-conn.PgConn().CleanupDone():
		return false
	case <-time.After(farewell):
		_ = conn.PgConn().Conn().Close() // all that matters is that it is gone
		return true
	}
}
