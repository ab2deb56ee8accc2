package trail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrSpoolFull is answered while a spool's bound is reached: the service takes entries more
// slowly than they come, or not at all. Nothing of the entry was kept.
var ErrSpoolFull = errors.New("trail: the spool is full")

// errSpoolClosed is answered once a spool is closed.
var errSpoolClosed = errors.New("trail: the spool is closed")

// Spool takes entries from applications that can't wait for the service, keeps them in a
// folder, and sends them in their order. What Record has taken survives the application's own
// end, however sudden: the next Spool of the folder sends it. Entries are sent at least once,
// and stored once, by their ids.
//
// A folder belongs to one Spool at a time, which a lock makes sure of where the system has
// flock. It is a queue, not a record: until an entry is stored, losing the disk loses it.
type Spool struct {
	dir     string
	client  *Client
	options SpoolOptions
	unlock  func() error
	stop    context.CancelFunc
	stopped chan struct{}

	mu       sync.Mutex
	current  *os.File // the segment that is written to; nil before the first entry
	written  int64    // bytes in it
	segments []string // all of the folder, oldest first
	bytes    int64    // in all segments
	next     int      // number of the next segment
	closed   bool
	changed  chan struct{} // closed, and made anew, when there is more or less to send
}

// SpoolOptions are a spool's bounds. Zero values take the defaults.
type SpoolOptions struct {
	MaxBytes int64 // most bytes that wait, over which Record fails with ErrSpoolFull; default 64 MiB
	// Sync makes Record wait until the entry is on the disk, so that it survives the loss of
	// power too. Without it an entry survives the end of the application, not of the machine.
	Sync bool
	// Refused is told of every entry that the service will never take, as it was sent. It is
	// written to the folder's refused.ndjson in any case, so that nothing is lost in silence.
	Refused func(entry []byte, p *Problem)
	// Failed is told whenever sending failed and will be tried again.
	Failed func(error)
}

const (
	segmentSize   = 1 << 20 // what may be sent twice after a sudden end
	maxLine       = 1 << 20 // a line must fit into what is read at once
	segmentSuffix = ".spool"
	refusedFile   = "refused.ndjson"
)

// OpenSpool opens the folder, makes it if it isn't there, and begins to send what is in it.
func OpenSpool(dir string, c *Client, o SpoolOptions) (*Spool, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 20
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("trail: %w", err)
	}
	unlock, err := lockFolder(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("trail: the spool %s is another's: %w", dir, err)
	}
	s := &Spool{dir: dir, client: c, options: o, unlock: unlock, stopped: make(chan struct{}), changed: make(chan struct{})}
	if err := s.read(); err != nil {
		return nil, errors.Join(err, unlock())
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go s.send(ctx)
	return s, nil
}

// read finds what an earlier spool of the folder left.
func (s *Spool) read() error {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("trail: %w", err)
	}
	for _, file := range files { // in the order of their names, which is their own
		number, is := strings.CutSuffix(file.Name(), segmentSuffix)
		if !is {
			continue
		}
		if _, err := fmt.Sscanf(number, "%d", &s.next); err != nil {
			return fmt.Errorf("trail: %s is no segment of a spool", file.Name())
		}
		info, err := file.Info()
		if err != nil {
			return fmt.Errorf("trail: %w", err)
		}
		s.next++
		s.segments, s.bytes = append(s.segments, file.Name()), s.bytes+info.Size()
	}
	return nil
}

// Record takes an entry, gives it an id and a time if it has none, and returns the id once it
// is kept. It doesn't wait for the service. It fails with [ErrSpoolFull], and when the entry
// can't be encoded or kept; then nothing was taken.
func (s *Spool) Record(e Entry) (id string, err error) {
	if e.ID == "" {
		e.ID = NewID()
	}
	if e.OccurredAt.IsZero() {
		e.OccurredAt = time.Now() // the service will say when it took the entry, perhaps much later
	}
	line, err := e.Encode()
	if err != nil {
		return "", fmt.Errorf("trail: %w", err)
	}
	if len(line) > maxLine {
		return "", fmt.Errorf("trail: an entry of %d bytes will never be stored: it takes at most 256 KiB", len(line))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.append(append(line, '\n')); err != nil {
		return "", err
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return e.ID, nil
}

func (s *Spool) append(line []byte) error {
	switch {
	case s.closed:
		return errSpoolClosed
	case s.bytes+int64(len(line)) > s.options.MaxBytes:
		return ErrSpoolFull
	case s.current == nil || s.written >= segmentSize:
		if err := s.begin(); err != nil {
			return err
		}
	}
	_, err := s.current.Write(line)
	if err == nil && s.options.Sync {
		err = s.current.Sync()
	}
	if err != nil {
		// What was written of it must not stand before the next entry.
		return errors.Join(fmt.Errorf("trail: %w", err), s.current.Truncate(s.written))
	}
	s.written, s.bytes = s.written+int64(len(line)), s.bytes+int64(len(line))
	return nil
}

// begin begins a segment.
func (s *Spool) begin() error {
	name := fmt.Sprintf("%020d%s", s.next, segmentSuffix)
	file, err := os.OpenFile(filepath.Join(s.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("trail: %w", err)
	}
	if s.current != nil {
		_ = s.current.Close() // all of it was written
	}
	s.current, s.written, s.next = file, 0, s.next+1
	s.segments = append(s.segments, name)
	return nil
}

// Waiting is how many bytes of entries aren't known to be stored, up to a segment more.
func (s *Spool) Waiting() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// Flush waits until everything that Record took before is stored or refused, or ctx ends.
func (s *Spool) Flush(ctx context.Context) error {
	s.mu.Lock()
	upto := s.next
	if s.current != nil { // so that the sender comes to its end
		_ = s.current.Close()
		s.current = nil
	}
	s.mu.Unlock()
	for {
		s.mu.Lock()
		changed := s.changed
		rest := len(s.segments) > 0 && s.segments[0] < fmt.Sprintf("%020d", upto)
		s.mu.Unlock()
		if !rest {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-s.stopped:
			return errSpoolClosed
		}
	}
}

// Close takes nothing more, sends what it can until ctx ends, and gives the folder free. What
// couldn't be sent stays there for the next spool; the error then says so.
func (s *Spool) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errSpoolClosed
	}
	s.closed = true
	s.mu.Unlock()
	err := s.Flush(ctx)
	s.stop()
	<-s.stopped
	if err != nil {
		err = fmt.Errorf("trail: %d bytes of entries stay in %s: %w", s.Waiting(), s.dir, err)
	}
	return errors.Join(err, s.unlock())
}

// send sends segment by segment until ctx ends.
func (s *Spool) send(ctx context.Context) {
	defer close(s.stopped)
	for ctx.Err() == nil {
		s.mu.Lock()
		changed := s.changed
		oldest := ""
		if len(s.segments) > 0 {
			oldest = s.segments[0]
		}
		s.mu.Unlock()
		if oldest == "" {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		if err := s.sendSegment(ctx, oldest); err != nil && ctx.Err() == nil {
			s.failed(ctx, err)
		}
	}
}

// failed tells of the error and waits: the client has tried as often as it may.
func (s *Spool) failed(ctx context.Context, err error) {
	if s.options.Failed != nil {
		s.options.Failed(err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(s.client.longest / 2):
	}
}

// sendSegment sends what is in a segment, follows it while it is written to, and deletes it.
func (s *Spool) sendSegment(ctx context.Context, name string) error {
	path := filepath.Join(s.dir, name)
	sent := int64(0)
	for {
		s.mu.Lock()
		changed := s.changed
		growing := s.current != nil && filepath.Base(s.current.Name()) == name
		s.mu.Unlock()
		entries, read, err := readLines(path, sent)
		if err != nil {
			return err
		}
		if err := s.client.Deliver(ctx, entries, func(i int, p *Problem) error { return s.refuse(entries[i], p) }); err != nil {
			return err
		}
		sent += read
		switch {
		case read > 0:
			continue
		case !growing:
			return s.finish(path, name)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// readChunk bounds what of a segment is held at once.
const readChunk = 4 << 20

// readLines reads whole lines from an offset. What stands behind the last line end was cut by
// a sudden end before Record returned: nobody was told that it was kept.
func readLines(path string, from int64) (lines [][]byte, read int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	text := make([]byte, readChunk)
	n, err := file.ReadAt(text, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	end := bytes.LastIndexByte(text[:n], '\n') + 1
	if end == 0 {
		return nil, 0, nil
	}
	return bytes.Split(text[:end-1], []byte{'\n'}), int64(end), nil
}

// finish deletes a segment of which everything is stored or refused.
func (s *Spool) finish(path, name string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = slices.DeleteFunc(s.segments, func(segment string) bool { return segment == name })
	s.bytes -= info.Size()
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// refuse keeps what the service will never take, and why.
func (s *Spool) refuse(entry []byte, p *Problem) error {
	line, err := encode(struct {
		Problem string          `json:"problem"`
		Entry   json.RawMessage `json:"entry"`
	}{p.Error(), entry})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(s.dir, refusedFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil && s.options.Refused != nil {
		s.options.Refused(entry, p)
	}
	return err
}
