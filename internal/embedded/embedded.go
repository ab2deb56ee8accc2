// Package embedded finds a PostgreSQL on this machine and runs it as a child of this
// process, so that a first run or a test needs no database set up beforehand.
//
// [Start] owns one folder, [Options].Dir, and keeps all it needs in it:
//
//	data/               the cluster; initdb works in data.new and renames it when it is whole
//	superuser.password  made with the cluster, never logged, never a process argument
//	port                the loopback port of the last start, taken again when it is free
//	postgres.log        what PostgreSQL says
//
// Three things make it safe to kill anything at any time:
//
//   - An advisory lock on the folder is inherited by every PostgreSQL process. The kernel
//     frees it when the last of them has gone, so whoever holds it knows that a
//     postmaster.pid it finds is stale, and that nobody else is running initdb.
//   - On Linux the kernel interrupts PostgreSQL (a fast shutdown) when this process dies.
//     Elsewhere a killed parent leaves it running; [Attach] finds it.
//   - PostgreSQL has a session of its own: Ctrl-C reaches this process alone, which stops
//     the database after it has finished its own work.
//
// PostgreSQL refuses to run as root. Root therefore runs it as the user postgres, or else
// nobody, and gives the folder to that user. A folder that this user can't reach (say,
// below /root) is replaced by one in /var/tmp whose name follows from the path.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"
)

var (
	// ErrRunning is returned by [Start] when a PostgreSQL already serves the folder.
	ErrRunning = errors.New("PostgreSQL is already running")
	// ErrNotRunning is returned by [Attach] when none does.
	ErrNotRunning = errors.New("PostgreSQL is not running")
	// ErrNoBinaries is returned by [Start] when no usable PostgreSQL can be found or fetched.
	ErrNoBinaries = errors.New("no usable PostgreSQL")
)

// Options say where and how [Start] runs PostgreSQL.
type Options struct {
	// Dir is the folder for everything that is kept. It is created, made private (0700)
	// and, under root, given to the user that PostgreSQL runs as: nothing else may live
	// in it, and an existing folder with other contents is refused.
	Dir string
	// Fast trades durability for speed, for tests: a crash of PostgreSQL loses the last
	// commits, a crash of the machine may lose everything.
	Fast bool
	// Port is the loopback port to serve, or 0 for a free one, the last one if possible.
	Port int
	// Log is told what is started, fetched or moved; nil for silence.
	Log *slog.Logger
}

// Start makes a cluster in o.Dir unless there is one, runs PostgreSQL on it and returns
// when it accepts connections. ctx bounds the start alone; a server that has started runs
// until [Server.Stop] or, on Linux, until this process ends in whatever way.
//
// It waits for another Start or shutdown in the same folder to finish, and returns
// [ErrRunning] if a server runs there then.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	owner, err := runner()
	if err != nil {
		return nil, err
	}
	h, err := createHome(o.Dir, owner, o.Log)
	if err != nil {
		return nil, err
	}
	s, err := h.start(ctx, o)
	if err != nil {
		h.close()
		return nil, err
	}
	return s, nil
}

func (h *home) start(ctx context.Context, o Options) (*Server, error) {
	if err := h.acquire(ctx); err != nil {
		return nil, err
	}
	if err := h.adopt(); err != nil {
		return nil, err
	}
	bin, err := newFinder(h.owner, o.Log).find(ctx, h.clusterMajor())
	if err != nil {
		return nil, fmt.Errorf("for the data in %s: %w", h.path, err)
	}
	if h.clusterMajor() == 0 {
		if err := h.initialize(ctx, bin, o.Fast); err != nil {
			return nil, err
		}
	}
	return h.serve(ctx, bin, o)
}

// Attach returns a handle to the PostgreSQL that another process runs in dir, the
// [Options].Dir of its [Start], or [ErrNotRunning].
func Attach(dir string) (*Server, error) {
	owner, err := runner()
	if err != nil {
		return nil, err
	}
	h, err := findHome(dir, owner)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrNotRunning, dir)
	}
	if err != nil {
		return nil, err
	}
	pm, ok := h.running()
	if !ok || !pm.ready {
		h.close()
		return nil, fmt.Errorf("%w in %s", ErrNotRunning, h.path)
	}
	password, err := h.root.ReadFile(passwordFile)
	if err != nil {
		h.close()
		return nil, err
	}
	return attached(h, pm, string(password)), nil
}

// attached watches a process that isn't a child of this one, which no system call waits for.
func attached(h *home, pm postmaster, password string) *Server {
	s := &Server{
		bin: h.binDir(), port: pm.port, pid: pm.pid, password: password,
		stop: func() error { return nil }, done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		defer h.close()
		for {
			time.Sleep(time.Second)
			if now, ok := h.running(); !ok || now.pid != pm.pid {
				return
			}
		}
	}()
	return s
}

// serve runs PostgreSQL on the cluster. Somebody may take a free port before PostgreSQL
// does, so a port that nobody asked for is chosen again.
func (h *home) serve(ctx context.Context, bin binaries, o Options) (*Server, error) {
	password, err := h.root.ReadFile(passwordFile)
	if err != nil {
		return nil, fmt.Errorf("the superuser's password is lost; move %s away to begin anew: %w", h.path, err)
	}
	for attempt := 1; ; attempt++ {
		port, err := h.choosePort(o.Port)
		if err != nil {
			return nil, err
		}
		p, err := h.launch(ctx, bin, port, o.Fast)
		if err != nil {
			if o.Port == 0 && attempt < 5 && ctx.Err() == nil && !free(port) {
				continue
			}
			return nil, err
		}
		if err := h.keepPort(port); err != nil {
			return nil, errors.Join(err, p.stop())
		}
		o.Log.LogAttrs(ctx, slog.LevelInfo, "PostgreSQL started", slog.Any("version", bin.version),
			slog.Int("port", port), slog.Int("pid", p.pid()), slog.String("dir", h.path))
		return owned(h, p, bin, port, string(password)), nil
	}
}

// owned releases the folder before it tells that the server has gone, so that a Start
// after Stop never waits.
func owned(h *home, p *process, bin binaries, port int, password string) *Server {
	s := &Server{bin: bin.dir, port: port, pid: p.pid(), password: password, done: make(chan struct{})}
	s.stop = func() error {
		err := p.stop()
		<-s.done
		return err
	}
	go func() {
		<-p.exited
		h.close()
		close(s.done)
	}()
	return s
}
