package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// helperDir makes the test binary a program that starts PostgreSQL in the folder it names
// and lives until it is killed.
const helperDir = "OCORE_EMBEDDED_TEST_HELPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		s, err := Start(context.Background(), Options{Dir: dir, Fast: true})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(s.PID())
		select {}
	}
	os.Exit(m.Run())
}

func TestDataSurvivesRestart(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := start(t, dir)
	execute(t, s, "create table t as select 'Zoë' as name")
	stop(t, s)
	if _, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(s.port)); err == nil {
		t.Error("the port still answers after Stop")
	}
	if err := s.Stop(); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
	again := start(t, dir)
	if got := query(t, again, "select name from t"); got != "Zoë" {
		t.Errorf("name = %q after a restart", got)
	}
	if again.port != s.port {
		t.Errorf("port %d became %d", s.port, again.port)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	durable, err := Start(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, durable) })
	for name, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum": "on",
		"server_encoding": "UTF8", "lc_messages": "C", "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
		"checkpoint_timeout": "15min", "max_wal_size": "4GB", "password_encryption": "scram-sha-256", "TimeZone": "UTC",
	} {
		if got := query(t, durable, "show "+name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	known := query(t, durable, "select 'lz4' = any(enumvals) from pg_settings where name = 'wal_compression'") == "true"
	if on := query(t, durable, "show wal_compression") == "lz4"; on != known {
		t.Errorf("wal_compression=lz4 is %v, but the build knows it: %v", on, known)
	}
	if rules := query(t, durable, "select string_agg(distinct auth_method, ' ') from pg_hba_file_rules"); rules != "scram-sha-256" {
		t.Errorf("authentication by %q", rules)
	}
	stop(t, durable)

	fast := start(t, dir)
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes", "autovacuum"} {
		if got := query(t, fast, "show "+name); got != "off" {
			t.Errorf("%s = %q when fast", name, got)
		}
	}
}

func TestPasswordIsKeptSecret(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	var told strings.Builder
	s, err := Start(t.Context(), Options{Dir: dir, Fast: true, Log: slog.New(slog.NewTextHandler(&told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	if len(s.password) < 20 {
		t.Fatalf("the password has %d characters", len(s.password))
	}
	info, err := os.Stat(filepath.Join(dir, passwordFile))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("password file: %v, %v", info.Mode(), err)
	}
	log, err := os.ReadFile(filepath.Join(dir, logFile))
	if err != nil {
		t.Fatal(err)
	}
	args, err := exec.Command("ps", "-ww", "-o", "args=", "-p", strconv.Itoa(s.PID())).Output()
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"our log": told.String(), "its log": string(log), "its arguments": string(args)} {
		if strings.Contains(text, s.password) {
			t.Errorf("the password is in %s", where)
		}
	}
	if err := connect(t, s.URL(superuser, "wrong", "postgres")); err == nil {
		t.Error("a wrong password is let in")
	}
}

func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("SECRET_OF_OURS", "hush")
	t.Setenv("PGDATA", "/nowhere")
	s := start(t, newDir(t))
	if runtime.GOOS != "linux" {
		t.Skip("the environment of another process can be read on Linux only")
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(env), "hush") {
		t.Error("PostgreSQL's environment holds our secrets")
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	if _, err := Start(t.Context(), Options{Dir: dir, Fast: true, Port: port}); err == nil || !strings.Contains(err.Error(), strconv.Itoa(port)) {
		t.Fatalf("a taken port: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, portFile), []byte(strconv.Itoa(port)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	if s.port == port {
		t.Error("the kept port was taken, but is used")
	}
	stop(t, s)
	taken.Close()
	wanted, err := Start(t.Context(), Options{Dir: dir, Fast: true, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, wanted)
	if got := query(t, wanted, "show port"); got != strconv.Itoa(port) {
		t.Errorf("port %s, want %d", got, port)
	}
}

func TestAttach(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	if _, err := Attach(dir); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("no folder: %v", err)
	}
	s := start(t, dir)
	a, err := Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	if a.SuperuserURL("postgres") != s.SuperuserURL("postgres") || a.PID() != s.PID() || a.BinDir() != s.BinDir() {
		t.Errorf("attached to pid %d, %s; started pid %d, %s", a.PID(), a.BinDir(), s.PID(), s.BinDir())
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := query(t, a, "select 1"); got != "1" {
		t.Error("Stop of an attached server stopped it")
	}
	stop(t, s)
	wait(t, "the attached server's Done", a.Done())
	if _, err := Attach(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("stopped: %v", err)
	}
}

func TestDoneWhenPostgresDies(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s, err := Start(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	execute(t, s, "create table t (n int)")
	kill(t, s.PID())
	wait(t, "Done", s.Done())
	if err := s.Stop(); err != nil {
		t.Errorf("Stop after death: %v", err)
	}
	query(t, start(t, dir), "select count(*) from t")
}

func TestStalePIDOfAnotherProcess(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := start(t, dir)
	kill(t, s.PID())
	wait(t, "Done", s.Done())

	owner, err := runner()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := run(owner.command(t.Context(), "/", "sleep", "60"))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.stop()
	pidFile := filepath.Join(dir, dataFolder, "postmaster.pid")
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	stale := strings.Replace(string(text), strconv.Itoa(s.PID()), strconv.Itoa(stranger.pid()), 1)
	if err := os.WriteFile(pidFile, []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "linux" {
		t.Skip("other systems can't tell the stranger from a server")
	}
	start(t, dir)
}

func TestOneServerAFolder(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	servers := make(chan *Server, 4)
	var wg sync.WaitGroup
	for range cap(servers) {
		wg.Go(func() {
			s, err := Start(t.Context(), Options{Dir: dir, Fast: true})
			if err == nil {
				servers <- s
			} else if !errors.Is(err, ErrRunning) {
				t.Errorf("not ErrRunning: %v", err)
			}
		})
	}
	wg.Wait()
	if len(servers) != 1 {
		t.Fatalf("%d servers run in one folder", len(servers))
	}
	s := <-servers
	defer stop(t, s)

	helper := helperCommand(t, dir)
	out, err := helper.CombinedOutput()
	if err == nil || !strings.Contains(string(out), strconv.Itoa(s.PID())) {
		t.Errorf("another process: %v, %s", err, out)
	}
}

func TestServerStartedByHand(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	start(t, dir)
	owner, err := runner()
	if err != nil {
		t.Fatal(err)
	}
	h, err := findHome(dir, owner)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if err := h.discardStalePID(); !errors.Is(err, ErrRunning) {
		t.Errorf("with the lock but a live server: %v", err)
	}
}

func TestParentDeathStopsPostgres(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can tell a child that its parent has died")
	}
	dir := newDir(t)
	helper, pid := startHelper(t, dir)
	a, err := Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	if a.PID() != pid {
		t.Fatalf("attached to %d, want %d", a.PID(), pid)
	}
	execute(t, a, "create table t as select 1 as n")
	kill(t, helper.Process.Pid)
	helper.Wait()
	awaitNone(t, dir)

	t.Run("an idle client doesn't delay it", func(t *testing.T) {
		helper, _ := startHelper(t, dir)
		a, err := Attach(dir)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.Connect(t.Context(), a.SuperuserURL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		kill(t, helper.Process.Pid)
		helper.Wait()
		query(t, start(t, dir), "select n from t") // at once: waits for the shutdown
	})
}

func TestInterruptedInitdb(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	helper := helperCommand(t, dir)
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, newFolder, "PG_VERSION")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(half); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("initdb never began")
		}
	}
	kill(t, helper.Process.Pid)
	helper.Wait()
	if hasCluster(dir) {
		t.Fatal("a half-made cluster counts as one")
	}
	os.MkdirAll(filepath.Join(dir, newFolder, "rubbish"), 0o700)
	s := start(t, dir)
	query(t, s, "select 1")
	if _, err := os.Stat(filepath.Join(dir, newFolder)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", newFolder, err)
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if s, err := Start(ctx, Options{Dir: dir, Fast: true}); err == nil {
		stop(t, s)
		t.Fatal("started within 100 ms")
	}
	awaitNone(t, dir)
	start(t, dir)
}

func TestStopOfAStubbornProcess(t *testing.T) {
	t.Parallel()
	heard, says, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	cmd := exec.Command("sh", "-c", "trap '' INT QUIT; echo deaf; while :; do sleep 0.05; done")
	cmd.Stdout = says
	p, err := run(cmd)
	says.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(heard).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	p.patience = 300 * time.Millisecond
	if err := p.stop(); err == nil || !strings.Contains(err.Error(), "quit") {
		t.Errorf("stop: %v", err)
	}
	wait(t, "the end", p.exited)
}

func TestFoldersThatAreRefused(t *testing.T) {
	t.Parallel()
	t.Run("other contents", func(t *testing.T) {
		dir := publicDir(t)
		if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Stat(dir)
		refused(t, dir, "thesis.tex")
		after, _ := os.Stat(dir)
		if before.Mode() != after.Mode() || before.Sys().(*syscall.Stat_t).Uid != after.Sys().(*syscall.Stat_t).Uid {
			t.Error("the folder was changed")
		}
	})
	t.Run("another owner", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root can make a folder for another user")
		}
		dir := newDir(t)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		refused(t, dir, "12345")
	})
	t.Run("data of another version", func(t *testing.T) {
		dir := newDir(t)
		stop(t, start(t, dir))
		if err := os.WriteFile(filepath.Join(dir, dataFolder, "PG_VERSION"), []byte("99\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, dir, "99")
	})
}

func refused(t *testing.T, dir, reason string) {
	t.Helper()
	s, err := Start(t.Context(), Options{Dir: dir, Fast: true})
	if err == nil {
		stop(t, s)
	}
	if err == nil || !strings.Contains(err.Error(), reason) {
		t.Errorf("error %v, want one about %s", err, reason)
	}
}

func TestFolderThatRootMustReplace(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs PostgreSQL as another user")
	}
	owner, err := runner()
	if err != nil {
		t.Fatal(err)
	}
	private := filepath.Join(publicDir(t), "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(private, "pg")
	shelter, err := locate(dir, owner)
	if err != nil || filepath.Dir(shelter) != shelters {
		t.Fatalf("located %s, %v", shelter, err)
	}
	t.Cleanup(func() { os.RemoveAll(shelter) })

	for name, make := range map[string]func() error{
		"somebody else's": func() error { return errors.Join(os.Mkdir(shelter, 0o700), os.Chown(shelter, 12345, 12345)) },
		"a symbolic link": func() error { return os.Symlink(private, shelter) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if s, err := Start(t.Context(), Options{Dir: dir, Fast: true}); err == nil {
			stop(t, s)
			t.Errorf("%s was accepted", name)
		}
		if _, err := Attach(dir); err == nil || errors.Is(err, ErrNotRunning) {
			t.Errorf("attach to %s: %v", name, err)
		}
		os.Remove(shelter)
	}

	s := start(t, dir)
	execute(t, s, "create table t as select 7 as n")
	info, err := os.Stat(shelter)
	if err != nil || info.Mode().Perm() != 0o700 || info.Sys().(*syscall.Stat_t).Uid != owner.uid {
		t.Errorf("shelter: %v, %v", info.Mode(), err)
	}
	a, err := Attach(dir)
	if err != nil || a.PID() != s.PID() {
		t.Fatalf("attach: %v", err)
	}
	stop(t, s)

	if err := os.Chmod(private, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := query(t, start(t, dir), "select n from t"); got != "7" {
		t.Error("the data stayed behind when the folder became reachable")
	}
}

func TestDataOutOfReachIsNotReplaced(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs PostgreSQL as another user")
	}
	parent := filepath.Join(publicDir(t), "parent")
	dir := filepath.Join(parent, "pg")
	stop(t, start(t, dir))
	if err := os.Chmod(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, "chmod")
}

// TestAsOrdinaryUser runs the tests that could differ again, without root's rights.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this is the run as an ordinary user already")
	}
	user, err := runner()
	if err != nil {
		t.Fatal(err)
	}
	dir := publicDir(t)
	program := filepath.Join(dir, "embedded.test")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{self: program, "testdata/postgres.txz": filepath.Join(dir, "testdata", "postgres.txz")} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, text, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, int(user.uid), int(user.gid)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.timeout=5m",
		"-test.run=^Test(Find|Fetch|DataSurvivesRestart|Attach|OneServerAFolder|ParentDeathStopsPostgres|FoldersThatAreRefused|AsOrdinaryUser)$")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user.uid, Gid: user.gid}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as %s: %v\n%s", user.name, err, out)
	}
	if !strings.Contains(string(out), "--- PASS: TestDataSurvivesRestart") {
		t.Errorf("as %s, nothing ran:\n%s", user.name, out)
	}
}

// newDir returns a folder that can be made.
func newDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(publicDir(t), "pg")
}

// publicDir is a temporary folder that all users may pass through: t.TempDir's parent is
// private.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(t.Context(), Options{Dir: dir, Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

func connect(t *testing.T, url string) error {
	conn, err := pgx.Connect(t.Context(), url)
	if err == nil {
		err = conn.Close(t.Context())
	}
	return err
}

// query returns the one value of sql as text.
func query(t *testing.T, s *Server, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.SuperuserURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var value any
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return fmt.Sprint(value)
}

func execute(t *testing.T, s *Server, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.SuperuserURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func wait(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s didn't come", what)
	}
}

func helperCommand(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), helperDir+"="+dir)
	return cmd
}

// startHelper returns another process that has started PostgreSQL, and PostgreSQL's pid.
func startHelper(t *testing.T, dir string) (*exec.Cmd, int) {
	t.Helper()
	cmd := helperCommand(t, dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return cmd, pid
}

// awaitNone waits up to 5 seconds until no process works in dir or below it. A zombie
// works nowhere.
func awaitNone(t *testing.T, dir string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	var left []string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if left = workingBelow(dir); len(left) == 0 {
			return
		}
	}
	t.Errorf("still there: %v", left)
}

func workingBelow(dir string) []string {
	var found []string
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, dir) {
			found = append(found, link)
		}
	}
	return found
}
