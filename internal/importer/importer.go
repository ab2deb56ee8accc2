// Package importer turns other systems' records into drafts of entries. It reads files
// and writes to no database: what a known id means there is decided by who stores them.
//
// Every record that is found becomes a [Record], or a [Rejected] with its place and
// reason, unless it is a repeat of an identical one; none is dropped silently. Sources
// are read as streams, but all drafts are in memory at once, to be sorted by their
// original time.
//
// To add a format, write a file of its own with two functions: a splitter, which cuts a
// source into pieces of one JSON object each (splitList and splitLines serve most
// services), and a mapping, which reads the object's members by name and returns a draft
// and the record's original time. Then name the format among the constants and in
// Formats, and put both functions into the table dialects. What all formats share
// happens around them: gzip, folders, strict JSON, ids for records that have none,
// bounds, repeats, order.
package importer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/google/uuid"
	"ocore.dev/audit/internal/audit"
)

// Format names a kind of input.
type Format string

// The formats that [Read] understands.
const (
	NDJSON     Format = "ndjson"     // entries of ours, one JSON object a line, as the API returns or takes them
	OCore      Format = "ocore"      // the customer's own service: pages and exports, in JSON or CSV
	CloudTrail Format = "cloudtrail" // AWS CloudTrail files
)

// Formats lists every format, for help texts.
var Formats = []Format{NDJSON, OCore, CloudTrail}

// Record is one record that can become an entry: its draft passes [audit.Admit].
type Record struct {
	Place string // where it was found, as "file:line" or "file:record N", both from 1
	Draft audit.Draft
	Time  time.Time // its original time, in whole microseconds of UTC; zero when none is known

	position *int64 // in the trail that it was exported from, nil when it says none
}

// Rejected is one record that can't become an entry.
type Rejected struct {
	Place  string // as in [Record], or a file's name where the file can't be read on
	Reason string
	Raw    []byte // the record as it was found; nil for a file
}

// splitter cuts a source into pieces and hands each to found. An error says why the
// source can't be read on.
type splitter func(content *bufio.Reader, found func(piece)) error

// piece is one record of a source before anybody looked at its members.
type piece struct {
	place  string // within the source
	raw    []byte // as in the source
	object []byte // as a JSON object, not yet validated
	err    error  // why there is no object
}

// mapping reads a record's members. What it finds wrong it leaves in the object.
type mapping func(record object) (audit.Draft, time.Time)

type dialect struct {
	split  splitter
	entry  mapping
	repeat bool // the same record without an id twice is a repeat, not two events
}

var dialects = map[Format]dialect{
	NDJSON:     {split: splitLines, entry: ndjsonEntry},
	OCore:      {split: splitOCore, entry: ocoreEntry},
	CloudTrail: {split: splitList("Records"), entry: cloudTrailEntry, repeat: true},
}

// Read reads every record of the paths, in their order: files, "-" for stdin, or folders,
// which are walked in the natural order of names (page-2 before page-10). In a folder,
// hidden names are passed over, symbolic links to regular files are followed, and any
// other link goes to rejected. A file is read once, however many paths and links lead to
// it. No path means stdin. Content that is compressed with gzip is recognized whatever
// its name.
//
// Records come sorted by their original time, and those without a time come last. Where
// every record says its position, as our own pages and exports do, those of the same time
// come in the order of their positions, whatever the order of the sources. Otherwise they
// keep the order of their sources and places, turned around where the whole input is
// newest first, as exports are.
//
// A record that can't become an entry, and the rest of a source that can't be read on,
// go to rejected and stop nothing. The same record under the same id again is a repeat
// and is left out; the same id with other content is rejected. err is only for what stops
// everything: an unknown format, a path that can't be opened or read, or an only input
// that isn't of the format at all.
//
// A record without an id gets one that is derived from its bytes, so that reading it
// again stores nothing twice. Where identical records may be separate events (all
// formats but CloudTrail, which may deliver one several times) their ordinal within this
// input is part of it.
func Read(format Format, paths []string, stdin io.Reader) (records []Record, rejected []Rejected, err error) {
	dialect, known := dialects[format]
	if !known {
		return nil, nil, fmt.Errorf("unknown format %q: choose one of %q", format, Formats)
	}
	sources, unfollowed, err := findSources(paths, stdin)
	if err != nil {
		return nil, nil, err
	}
	c := collector{dialect: dialect, rejected: unfollowed, ordinals: map[uuid.UUID]int{}, known: map[string]int{}}
	for _, s := range sources {
		if err := c.read(s); err != nil {
			return nil, nil, err
		}
	}
	sortRecords(c.records)
	return c.records, c.rejected, nil
}

// collector gathers what the sources of one input hold.
type collector struct {
	dialect  dialect
	records  []Record
	rejected []Rejected
	ordinals map[uuid.UUID]int // how many records without an id had these bytes so far
	known    map[string]int    // the index in records of each id
}

// read takes in one source. It returns an error only if that must stop everything.
func (c *collector) read(s source) error {
	pieces := 0
	err := s.read(func(content *bufio.Reader) error {
		return c.dialect.split(content, func(p piece) {
			pieces++
			c.add(s.name, p)
		})
	})
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends too early")
	}
	var unreadable *fs.PathError
	switch {
	case err == nil, errors.As(err, &unreadable):
		return err
	case pieces > 0:
		err = fmt.Errorf("can't be read on after record %d: %w", pieces, err)
	case s.only:
		return fmt.Errorf("%s: %w", s.name, err)
	}
	c.rejected = append(c.rejected, Rejected{Place: s.name, Reason: err.Error()})
	return nil
}

func (c *collector) add(source string, p piece) {
	place := source + ":" + p.place
	record, err := c.understand(p)
	if err == nil {
		record.Place = place
		err = c.keep(record)
	}
	if err != nil {
		c.rejected = append(c.rejected, Rejected{Place: place, Reason: reason(err), Raw: p.raw})
	}
}

func (c *collector) understand(p piece) (Record, error) {
	if p.err != nil {
		return Record{}, p.err
	}
	// One level more than a state may have, for the record around it.
	compact, err := audit.CompactObject(nil, p.object, audit.MaxDepth+1)
	if err != nil {
		return Record{}, err
	}
	root, err := newObject(compact)
	if err != nil {
		return Record{}, err
	}
	draft, at := c.dialect.entry(root)
	if *root.fault != nil {
		return Record{}, *root.fault
	}
	if draft.ID == "" {
		draft.ID = c.deriveID(compact)
	}
	_, err = audit.Admit(draft, "")
	return Record{Draft: draft, Time: at, position: root.position()}, err
}

// namespace is that of derived ids. With another one, records that have no id would be
// stored a second time when they are imported again.
var namespace = uuid.MustParse("6d0f9a52-3c1e-5b7d-9e44-0c0de1a0d175")

func (c *collector) deriveID(compact []byte) string {
	id := uuid.NewSHA1(namespace, compact)
	if c.dialect.repeat {
		return id.String()
	}
	ordinal := c.ordinals[id]
	c.ordinals[id]++
	return uuid.NewSHA1(id, fmt.Append(nil, ordinal)).String()
}

// keep adds a record unless its id is known.
func (c *collector) keep(record Record) error {
	index, known := c.known[record.Draft.ID]
	if !known {
		c.known[record.Draft.ID] = len(c.records)
		c.records = append(c.records, record)
		return nil
	}
	if first := c.records[index]; !same(first, record) {
		return fmt.Errorf("the id %q is also at %s, with other content", record.Draft.ID, first.Place)
	}
	return nil
}

// same compares what would be stored; both drafts were admitted before.
func same(a, b Record) bool {
	one, errOne := audit.Admit(a.Draft, "")
	two, errTwo := audit.Admit(b.Draft, "")
	return errors.Join(errOne, errTwo) == nil && bytes.Equal(one.Content, two.Content) && a.Time.Equal(b.Time)
}

// reason says what is wrong with a record in one line.
func reason(err error) string {
	var text *audit.JSONError
	if errors.As(err, &text) {
		return located(text.Pointer, text.Reason)
	}
	var rejection *audit.Rejection
	if !errors.As(err, &rejection) {
		return err.Error()
	}
	faults := make([]string, len(rejection.Faults))
	for i, f := range rejection.Faults {
		faults[i] = located(f.Pointer, f.Detail)
	}
	return strings.Join(faults, "; ")
}

func located(pointer, detail string) string {
	if pointer == "" {
		return detail
	}
	return pointer + " " + detail
}
