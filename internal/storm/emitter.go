package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"ocore.dev/audit/gen/client/outbox"
	"ocore.dev/audit/gen/client/trail"
)

// emitter is an application that can't wait for the service: it hands its entries to a spool,
// or to an outbox within its own transactions, in a process of its own that can be killed.
// What it did it writes to a journal, line by line, each in one write, so that the journal
// has what the emitter knew when it was killed.
type emitter struct {
	folder   string
	url      string
	token    string
	database string // the application's own
	drain    bool
	client   *trail.Client
	journal  *os.File
	random   *rand.Rand
}

// emit is the emitter's main: "storm emit spool" or "storm emit outbox".
func emit(ctx context.Context, arguments []string) (err error) {
	var e emitter
	f := flag.NewFlagSet("emit", flag.ContinueOnError)
	f.StringVar(&e.folder, "folder", "", "of its spool and its journal")
	f.StringVar(&e.url, "url", "", "the service")
	f.StringVar(&e.token, "token", "", "for it")
	f.StringVar(&e.database, "database", "", "the application's own")
	f.BoolVar(&e.drain, "drain", false, "send what is left, and end")
	if len(arguments) == 0 {
		return errors.New("emit spool or outbox")
	}
	if err := f.Parse(arguments[1:]); err != nil {
		return err
	}
	e.random = rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(time.Now().UnixNano())))
	e.client, err = trail.New(e.url, trail.WithToken(e.token), trail.WithBackOff(10*time.Millisecond, 200*time.Millisecond), trail.WithAttemptTimeout(3*time.Second))
	if err != nil {
		return err
	}
	if e.journal, err = os.OpenFile(filepath.Join(e.folder, arguments[0]+".journal"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	if _, err := e.journal.WriteString("\n"); err != nil { // a line that a kill cut stays alone
		return err
	}
	if arguments[0] == "spool" {
		return e.spool(ctx)
	}
	return e.outbox(ctx)
}

// note writes a line.
func (e *emitter) note(what string, text []byte) error {
	_, err := e.journal.Write(fmt.Appendf(nil, "%s %s\n", what, text))
	return err
}

// next is an entry whose content is known before anybody takes it.
func (e *emitter) next() (trail.Entry, error) {
	entry := newEntry(e.random)
	entry.OccurredAt = time.Now().Truncate(time.Microsecond) // as the service keeps it
	content, err := entry.Encode()
	return entry, errors.Join(err, e.note("sending", content))
}

// smallSpool is full soon while the service is away.
const smallSpool = 128 << 10

func (e *emitter) spool(ctx context.Context) error {
	s, err := trail.OpenSpool(filepath.Join(e.folder, "spool"), e.client, trail.SpoolOptions{MaxBytes: smallSpool})
	if err != nil {
		return err
	}
	if e.drain {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return s.Close(ctx)
	}
	for ctx.Err() == nil {
		entry, err := e.next()
		if err != nil {
			return err
		}
		fate := "kept"
		if _, err := s.Record(entry); errors.Is(err, trail.ErrSpoolFull) {
			fate = "refused"
		} else if err != nil {
			return err
		}
		if err := e.note(fate, []byte(entry.ID)); err != nil {
			return err
		}
		time.Sleep(rand.N(4 * time.Millisecond))
	}
	return ctx.Err()
}

// outbox changes something of its own and records it, in one transaction. What is in the
// table of changes was committed, whatever the emitter was told of it.
func (e *emitter) outbox(ctx context.Context) error {
	pool, err := pgxpool.New(ctx, e.database)
	if err != nil {
		return err
	}
	defer pool.Close()
	relay := &outbox.Relay{Database: pool, Client: e.client, Pause: 20 * time.Millisecond}
	if e.drain {
		return e.drainOutbox(ctx, pool, relay)
	}
	go relay.Run(ctx)
	for ctx.Err() == nil {
		entry, err := e.next()
		if err != nil {
			return err
		}
		if err := e.change(ctx, pool, entry); err != nil {
			time.Sleep(20 * time.Millisecond) // the database is away
		}
		time.Sleep(rand.N(4 * time.Millisecond))
	}
	return ctx.Err()
}

var errThoughtBetter = errors.New("the application rolls back")

func (e *emitter) change(ctx context.Context, pool *pgxpool.Pool, entry trail.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO changes (id) VALUES ($1)", entry.ID); err != nil {
			return err
		}
		if _, err := outbox.Record(ctx, tx, entry); err != nil {
			return err
		}
		if e.random.IntN(5) == 0 {
			return errThoughtBetter
		}
		return nil
	})
	if errors.Is(err, errThoughtBetter) {
		return nil
	}
	return err
}

// drainOutbox goes on until nothing is left, that another relay was at too.
func (e *emitter) drainOutbox(ctx context.Context, pool *pgxpool.Pool, relay *outbox.Relay) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		_, failed := relay.Send(ctx)
		var left int
		err := pool.QueryRow(ctx, "SELECT count(*) FROM audit_outbox").Scan(&left)
		if failed == nil && err == nil && left == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%d entries are left in the outbox: %w", left, errors.Join(failed, err))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// application is the database that the outbox is in.
const application = "application"

// prepareEmitters makes the application's own tables.
func (r *rig) prepareEmitters(ctx context.Context) error {
	if err := r.sql(ctx, "CREATE DATABASE "+application); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, r.postgres().SuperuserURL(application))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, outbox.Schema+"CREATE TABLE changes (id text PRIMARY KEY);")
	return err
}

// emitting are the processes of one round.
type emitting struct {
	rig    *rig
	load   *load
	folder string
	mu     sync.Mutex
	failed []error
}

func (e *emitting) command(kind string, instance int, more ...string) *exec.Cmd {
	r := e.rig
	command := exec.CommandContext(context.Background(), r.emitter, append([]string{"emit", kind, "-folder", e.folder, "-url", r.instances[instance].url(), //nolint:contextcheck // it is killed by the round
		"-token", e.load.tokens[r.trails[0]], "-database", r.postgres().SuperuserURL(application)}, more...)...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return command
}

// life starts an emitter and kills it, again and again, until stop.
func (e *emitting) life(stop <-chan struct{}, kind string, random *rand.Rand) {
	for {
		var said bytes.Buffer
		command := e.command(kind, random.IntN(2))
		command.Stderr = &said
		if err := command.Start(); err != nil {
			e.fail(err)
			return
		}
		ended := false
		select {
		case <-stop:
			ended = true
		case <-time.After(time.Duration(150+random.IntN(500)) * time.Millisecond):
		}
		_ = command.Process.Kill()
		if err := command.Wait(); command.ProcessState.ExitCode() >= 0 { // it wasn't the signal
			e.fail(fmt.Errorf("the %s's emitter ended by itself: %w: %s", kind, err, said.String()))
			return
		}
		if ended {
			return
		}
	}
}

func (e *emitting) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failed = append(e.failed, err)
}

// killEmitters kills emitters again and again, and in their midst the service, PostgreSQL or both.
func killEmitters(ctx context.Context, r *rig, l *load, random *rand.Rand) error {
	r.emitting++
	e := &emitting{rig: r, load: l, folder: r.file(fmt.Sprintf("emitters-%d", r.emitting))}
	if err := os.Mkdir(e.folder, 0o700); err != nil {
		return err
	}
	stop := make(chan struct{})
	var lives sync.WaitGroup
	for _, kind := range []string{"spool", "outbox"} {
		dice := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
		lives.Go(func() { e.life(stop, kind, dice) })
	}
	time.Sleep(time.Duration(500+random.IntN(800)) * time.Millisecond)
	var failed error
	what := random.IntN(3)
	if what != 1 {
		failed = killService(ctx, r, l, random)
	}
	if what != 0 {
		failed = errors.Join(failed, killPostgres(ctx, r, l, random))
	}
	time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
	failed = errors.Join(failed, r.heal(ctx))
	for _, i := range r.instances {
		failed = errors.Join(failed, i.restart())
	}
	time.Sleep(time.Duration(300+random.IntN(700)) * time.Millisecond)
	close(stop)
	lives.Wait()
	return errors.Join(append(e.failed, failed)...)
}

// drainEmitters starts the emitters once more, to send what is left, and notes what must have
// become of everything.
func drainEmitters(ctx context.Context, r *rig, l *load) error {
	e := &emitting{rig: r, load: l, folder: r.file(fmt.Sprintf("emitters-%d", r.emitting))}
	if err := r.awaitNobody(ctx, application); err != nil {
		return err
	}
	for n, kind := range []string{"spool", "outbox"} {
		if said, err := e.command(kind, n, "-drain").CombinedOutput(); err != nil {
			l.find(fmt.Sprintf("lost: the %s doesn't get rid of its entries: %s: %s", kind, err, said))
		}
		journal, err := readJournal(filepath.Join(e.folder, kind+".journal"))
		if err != nil {
			return err
		}
		if kind == "outbox" {
			if err := r.committed(ctx, journal); err != nil {
				return err
			}
		}
		if taken := r.history.emitted(r.trails[0], journal); taken == 0 {
			return fmt.Errorf("the %s took nothing: the round shows nothing", kind)
		}
	}
	if refused, err := os.ReadFile(filepath.Join(e.folder, "spool", "refused.ndjson")); err == nil {
		l.find("refused: entries of the spool: " + string(refused))
	}
	return nil
}

// fate is what must have become of an entry.
type fate int

const (
	unknown fate = iota // its emitter was killed before it knew
	kept                // it must be stored
	never               // it must not be
)

// emission is an entry that an emitter was at.
type emission struct {
	content []byte
	fate    fate
}

func readJournal(name string) (map[string]*emission, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	journal := map[string]*emission{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		what, text, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "sending":
			var entry struct{ ID string }
			if json.Unmarshal([]byte(text), &entry) == nil { // else it was cut, and nobody was given the entry
				journal[entry.ID] = &emission{content: []byte(text)}
			}
		case "kept", "refused":
			if e := journal[text]; e != nil && what == "kept" { // else it was cut
				e.fate = kept
			} else if e != nil {
				e.fate = never
			}
		}
	}
	return journal, lines.Err()
}

// awaitNobody waits until sessions of processes that were killed have ended: what they had
// asked for may still be committed.
func (r *rig) awaitNobody(ctx context.Context, database string) error {
	conn, err := pgx.Connect(ctx, r.postgres().SuperuserURL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		var sessions int
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = $1", database).Scan(&sessions); err != nil {
			return err
		}
		if sessions == 0 {
			return nil
		}
		if time.Since(begun) > 30*time.Second {
			return fmt.Errorf("%d sessions of processes that were killed go on in %s", sessions, database)
		}
	}
}

// committed settles the fate of what was in the application's own transactions.
func (r *rig) committed(ctx context.Context, journal map[string]*emission) error {
	conn, err := pgx.Connect(ctx, r.postgres().SuperuserURL(application))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, "SELECT id FROM changes")
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, e := range journal {
		e.fate = never
	}
	for _, id := range ids {
		if e := journal[id]; e != nil { // else of a round before
			e.fate = kept
		}
	}
	return nil
}
