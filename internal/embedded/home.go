package embedded

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	dataFolder   = "data"
	newFolder    = "data.new"
	passwordFile = "superuser.password"
	portFile     = "port"
	logFile      = "postgres.log"

	// shelters holds the folders that replace unreachable ones. Everybody may write
	// there, so whose a folder is counts.
	shelters = "/var/tmp"

	lockPoll     = 100 * time.Millisecond
	lockPatience = time.Minute
)

// home is the folder of one cluster. All files in it are reached through root: under the
// user root, the folder belongs to somebody less trusted, whose symbolic links must not
// lead out of it.
type home struct {
	path  string
	owner account
	root  *os.Root
	lock  *os.File
}

// createHome finds or makes the folder for dir.
func createHome(dir string, owner account, log *slog.Logger) (*home, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o755); err != nil {
		return nil, err
	}
	path, err := locate(abs, owner)
	if err != nil {
		return nil, err
	}
	if own, _ := resolve(abs); own != path {
		log.LogAttrs(context.Background(), slog.LevelWarn, "this folder can't be reached by the user that PostgreSQL runs as; another one is used, which the system may clean up when PostgreSQL hasn't run for weeks",
			slog.String("dir", abs), slog.String("user", owner.name), slog.String("used", path))
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return openHome(path, owner)
}

// findHome opens the folder for dir if there is one.
func findHome(dir string, owner account) (*home, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	path, err := locate(abs, owner)
	if err != nil {
		return nil, err
	}
	return openHome(path, owner)
}

// locate decides between dir itself and its shelter. Data that exists is never left
// behind: if access rights have changed since it was made, that is an error or ignored.
func locate(dir string, owner account) (string, error) {
	path, err := resolve(dir)
	if err != nil || !owner.switched {
		return path, err
	}
	shelters, err := filepath.EvalSymlinks(shelters)
	if err != nil {
		return "", err
	}
	shelter := filepath.Join(shelters, fmt.Sprintf("ocore-audit-%.8x", sha256.Sum256([]byte(path))))
	barrier := owner.barrier(path)
	switch {
	case hasCluster(path) && barrier != "":
		return "", fmt.Errorf("the data in %s can't be reached by the user %s that PostgreSQL runs as: allow it to pass through %s (chmod o+x)", path, owner.name, barrier)
	case hasCluster(path):
		return path, nil
	case barrier != "" || hasCluster(shelter):
		return shelter, nil
	default:
		return path, nil
	}
}

// resolve removes symbolic links from a path whose last element needn't exist.
func resolve(path string) (string, error) {
	if whole, err := filepath.EvalSymlinks(path); err == nil {
		return whole, nil
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(parent, filepath.Base(path)), err
}

func hasCluster(path string) bool {
	_, err := os.Stat(filepath.Join(path, dataFolder, "PG_VERSION"))
	return err == nil
}

// openHome refuses a folder that others control: a symbolic link, or one that belongs to
// neither owner nor, when it has just been made, root.
func openHome(path string, owner account) (*home, error) {
	seen, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	h := &home{path: path, owner: owner, root: root}
	info, err := root.Stat(".")
	if err == nil && !os.SameFile(seen, info) {
		err = fmt.Errorf("%s is a symbolic link", path)
	}
	if err == nil {
		err = h.checkOwner(info)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *home) checkOwner(info fs.FileInfo) error {
	uid := info.Sys().(*syscall.Stat_t).Uid
	if uid == h.owner.uid || h.owner.switched && uid == 0 {
		return nil
	}
	return fmt.Errorf("%s belongs to user id %d, but PostgreSQL would run as %s (%d): start this program as its owner, or choose another folder",
		h.path, uid, h.owner.name, h.owner.uid)
}

// adopt gives the folder to the owner. A folder with other contents isn't ours to give away.
func (h *home) adopt() error {
	files, err := fs.ReadDir(h.root.FS(), ".")
	if err != nil {
		return err
	}
	ours := func(f fs.DirEntry) bool { return f.Name() == passwordFile }
	if len(files) > 0 && !slices.ContainsFunc(files, ours) {
		return fmt.Errorf("%s holds other files (such as %s): PostgreSQL needs a folder of its own", h.path, files[0].Name())
	}
	if h.owner.switched {
		if err := h.root.Chown(".", int(h.owner.uid), int(h.owner.gid)); err != nil {
			return err
		}
	}
	return h.root.Chmod(".", 0o700)
}

// acquire takes the lock and, with it, the right to run programs on the folder. The lock is
// on the folder itself: that also keeps systemd-tmpfiles from cleaning it while it is in use.
func (h *home) acquire(ctx context.Context) error {
	lock, err := h.root.Open(".")
	if err != nil {
		return err
	}
	h.lock = lock
	for deadline := time.Now().Add(lockPatience); ; {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return h.discardStalePID()
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("lock %s: %w", h.path, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another start or stop is under way in %s: %w", h.path, ctx.Err())
		case <-time.After(lockPoll):
		}
		if pm, ok := h.running(); ok && pm.ready {
			return h.errRunning(pm)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w, or still starting or stopping, in %s", ErrRunning, h.path)
		}
	}
}

// discardStalePID removes what a killed PostgreSQL left. PostgreSQL would do so itself,
// unless the pid was given to another process of the same user, as is common in containers.
func (h *home) discardStalePID() error {
	if pm, ok := h.running(); ok {
		return h.errRunning(pm) // started by hand: it doesn't hold the lock
	}
	err := h.root.Remove(dataFolder + "/postmaster.pid")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (h *home) errRunning(pm postmaster) error {
	return fmt.Errorf("%w: process %d on %s; attach to it, or stop it (kill -INT %d)", ErrRunning, pm.pid, h.path, pm.pid)
}

// close frees the folder for others once no PostgreSQL process holds the lock either.
func (h *home) close() {
	if h.lock != nil {
		h.lock.Close()
	}
	_ = h.root.Close()
}

// postmaster is what data/postmaster.pid says of a server.
type postmaster struct {
	pid, port int
	ready     bool // accepts connections: neither starting nor stopping
}

// running reads the state of the server in the folder, and whether there is one.
func (h *home) running() (postmaster, bool) {
	text, err := h.root.ReadFile(dataFolder + "/postmaster.pid")
	if err != nil {
		return postmaster{}, false
	}
	lines := append(strings.Split(string(text), "\n"), make([]string, 8)...)
	var pm postmaster
	pm.pid, err = strconv.Atoi(lines[0])
	pm.port, _ = strconv.Atoi(lines[3])
	pm.ready = strings.TrimSpace(lines[7]) == "ready"
	return pm, err == nil && pm.pid > 0 && servesFrom(pm.pid, filepath.Join(h.path, dataFolder))
}

// binDir is where the binaries of the running server are: PostgreSQL writes its command
// line down, the program first.
func (h *home) binDir() string {
	text, _ := h.root.ReadFile(dataFolder + "/postmaster.opts")
	program, _, _ := strings.Cut(string(text), ` "`)
	return filepath.Dir(program)
}

// clusterMajor is the major version that made the cluster, or 0 without one.
func (h *home) clusterMajor() int {
	text, _ := h.root.ReadFile(dataFolder + "/PG_VERSION")
	major, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return major
}

// choosePort returns wanted, the port of the last start, or any free one.
func (h *home) choosePort(wanted int) (int, error) {
	if wanted != 0 {
		if !free(wanted) {
			return 0, fmt.Errorf("port %d is in use by another program", wanted)
		}
		return wanted, nil
	}
	text, _ := h.root.ReadFile(portFile)
	if last, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && last > 0 && free(last) {
		return last, nil
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close() //nolint:errcheck // the port was free, which is all that was asked
	return l.Addr().(*net.TCPAddr).Port, nil
}

func free(port int) bool {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}

func (h *home) keepPort(port int) error { return h.write(portFile, strconv.Itoa(port)+"\n") }

// write makes a private file of the owner's that survives a power cut.
func (h *home) write(name, text string) error {
	f, err := h.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if h.owner.switched {
		err = errors.Join(err, f.Chown(int(h.owner.uid), int(h.owner.gid)))
	}
	return errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close())
}
