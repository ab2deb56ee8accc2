package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// command prepares a program that holds the folder's lock for as long as it or any of its
// children lives.
func (h *home) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := h.owner.command(ctx, h.path, program, args...)
	cmd.ExtraFiles = []*os.File{h.lock}
	return cmd
}

// initialize makes the cluster. What an interrupted attempt left is in data.new, and goes.
func (h *home) initialize(ctx context.Context, bin binaries, fast bool) error {
	if err := h.write(passwordFile, rand.Text()); err != nil {
		return err
	}
	for _, locale := range []string{"C.UTF-8", "C"} {
		out, err := h.initdb(ctx, bin, locale, fast)
		if err == nil {
			return h.publish()
		}
		if !strings.Contains(out, "invalid locale") {
			return fmt.Errorf("initdb in %s: %w\n%s", h.path, err, strings.TrimSpace(out))
		}
	}
	return errors.New("initdb knows neither the locale C.UTF-8 nor C")
}

func (h *home) initdb(ctx context.Context, bin binaries, locale string, fast bool) (string, error) {
	if err := h.root.RemoveAll(newFolder); err != nil {
		return "", err
	}
	args := []string{
		"-D", newFolder, "-U", superuser, "-E", "UTF8", "--locale=" + locale, "--lc-messages=C",
		"--auth=scram-sha-256", "--pwfile=" + passwordFile, "--no-instructions",
	}
	if fast {
		args = append(args, "--no-sync")
	}
	return output(h.command(ctx, bin.program("initdb"), args...))
}

// publish makes the new cluster the cluster. Without the sync a power cut could undo the
// rename, and the next start would take the data for an interrupted attempt.
func (h *home) publish() error {
	if err := h.root.Rename(newFolder, dataFolder); err != nil {
		return err
	}
	return h.lock.Sync()
}

var (
	always = []string{
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=",
		"lc_messages=C",
		"checkpoint_timeout=15min",
		"max_wal_size=4GB",
	}
	fastOnly = []string{
		"fsync=off",
		"synchronous_commit=off",
		"full_page_writes=off",
		"autovacuum=off",
	}
)

func (h *home) serverArgs(ctx context.Context, bin binaries, port int, fast bool) []string {
	args := []string{"-D", filepath.Join(h.path, dataFolder), "-p", strconv.Itoa(port)}
	settings := slices.Clone(always)
	switch {
	case fast:
		settings = append(settings, fastOnly...)
	case h.accepts(ctx, bin, "wal_compression", "lz4"):
		settings = append(settings, "wal_compression=lz4")
	}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return args
}

// accepts asks this build of PostgreSQL whether it knows a value: what a setting may be
// depends on the libraries that the build has.
func (h *home) accepts(ctx context.Context, bin binaries, name, value string) bool {
	_, err := output(h.command(ctx, bin.program("postgres"), "-D", dataFolder, "-c", name+"="+value, "-C", name))
	return err == nil
}

// launch starts PostgreSQL and waits until it accepts connections, which after a crash may
// take as long as the recovery does.
func (h *home) launch(ctx context.Context, bin binaries, port int, fast bool) (*process, error) {
	log, err := h.root.OpenFile(logFile, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	began, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	cmd := h.command(context.Background(), bin.program("postgres"), h.serverArgs(ctx, bin, port, fast)...)
	cmd.Stdout, cmd.Stderr = log, log
	p, err := run(cmd)
	if err != nil {
		return nil, err
	}
	if err := h.awaitReady(ctx, p); err != nil {
		said, _ := io.ReadAll(io.NewSectionReader(log, began, 1<<14))
		return nil, errors.Join(fmt.Errorf("%w; it said:\n%s", err, said), p.stop())
	}
	return p, nil
}

func (h *home) awaitReady(ctx context.Context, p *process) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.exited:
			return errors.New("the server ended while starting")
		case <-ctx.Done():
			return fmt.Errorf("the server isn't ready yet: %w", ctx.Err())
		case <-tick.C:
		}
		if pm, ok := h.running(); ok && pm.ready && pm.pid == p.pid() {
			return nil
		}
	}
}

// process is a child that is waited for.
type process struct {
	cmd      *exec.Cmd
	exited   chan struct{}
	patience time.Duration
}

// run starts cmd. "Parent" in dieWithParent is the thread, not the process: it stays with
// this goroutine, and so alive, until the child has ended.
func run(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{}), patience: 20 * time.Second}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // how PostgreSQL ended is in its log
		close(p.exited)
	}()
	return p, <-started
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop shuts PostgreSQL down, more rudely each time patience ends: SIGINT ends the
// sessions, SIGQUIT abandons them for recovery at the next start, SIGKILL can't be ignored.
func (p *process) stop() error {
	var rude error
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		_ = p.cmd.Process.Signal(s) // fails only if the process has ended
		select {
		case <-p.exited:
			return rude
		case <-time.After(p.patience):
			rude = fmt.Errorf("PostgreSQL (process %d) didn't stop within %s of the signal %v", p.pid(), p.patience, s)
		}
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
	return rude
}
