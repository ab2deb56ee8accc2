package embedded

import (
	"net"
	"net/url"
	"strconv"
)

const superuser = "postgres"

// Server is a running PostgreSQL. Its methods may be called by several goroutines.
type Server struct {
	bin       string
	port, pid int
	password  string
	stop      func() error
	done      chan struct{}
}

// URL returns a connection URL for database as user, over loopback TCP without TLS.
// Without a password it has none.
func (s *Server) URL(user, password, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(user),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	if password != "" {
		u.User = url.UserPassword(user, password)
	}
	return u.String()
}

// SuperuserURL is [Server.URL] for the superuser that owns the cluster. It holds the
// password: don't log it.
func (s *Server) SuperuserURL(database string) string {
	return s.URL(superuser, s.password, database)
}

// Stop ends all connections, shuts PostgreSQL down and returns when it has gone. If that
// takes more than 20 seconds it is made to quit, then killed, and Stop returns an error
// that says so: the data is safe, and the next start recovers it. On a server from [Attach],
// or one that has gone, Stop does nothing.
func (s *Server) Stop() error { return s.stop() }

// Done is closed when PostgreSQL has gone, by itself or through [Server.Stop]; for a server
// from [Attach] about a second later.
func (s *Server) Done() <-chan struct{} { return s.done }

// BinDir is the folder of the binaries that run: postgres, initdb and, in most
// installations, pg_dump and psql.
func (s *Server) BinDir() string { return s.bin }

// PID is the process id of the postmaster, the parent of all PostgreSQL processes.
func (s *Server) PID() int { return s.pid }
