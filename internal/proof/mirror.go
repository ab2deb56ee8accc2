package proof

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"ocore.dev/audit/internal/merkle"
)

// Fetch reads a file of a trail's tree, by its path below /tlog/{organization}/.
type Fetch func(ctx context.Context, path string) ([]byte, error)

// Mirror makes dir the static files of a trail (c2sp.org/tlog-tiles), for tools that send no
// token, and returns their checkpoint. It fetches the leaves alone and computes every hash
// above them, and the checkpoint's file comes last: what stands there is a tree whose root was
// recomputed. What an earlier run left is checked the same way and not fetched again, and
// its checkpoint must be of the same tree. With keys a checkpoint must be signed by one of them.
// It fails with [ErrMismatch] when what is fetched, or what was there, is not the signed tree.
func Mirror(ctx context.Context, fetch Fetch, dir string, keys *Keys, progress func(done, of int64)) (Checkpoint, error) {
	note, err := fetch(ctx, "checkpoint")
	if err != nil {
		return Checkpoint{}, err
	}
	checkpoint, err := openMirrored(note, keys)
	if err != nil {
		return Checkpoint{}, err
	}
	m := mirror{fetch: fetch, dir: dir, size: checkpoint.Size}
	before, err := m.before(keys, checkpoint)
	if err != nil {
		return checkpoint, err
	}
	if err := m.leaves(ctx, progress); err != nil {
		return checkpoint, err
	}
	if err := m.levels(); err != nil {
		return checkpoint, err
	}
	if err := m.holds(ctx, checkpoint, "the service's"); err != nil {
		return checkpoint, err
	}
	if before != nil {
		if err := m.holds(ctx, *before, "the formerly mirrored"); err != nil {
			return checkpoint, err
		}
	}
	return checkpoint, m.write("checkpoint", note)
}

func openMirrored(note []byte, keys *Keys) (Checkpoint, error) {
	if keys != nil {
		signed, err := keys.Open(note)
		return signed.Checkpoint, err
	}
	body, _, _ := bytes.Cut(note, []byte("\n\n"))
	return ParseCheckpoint(string(body) + "\n")
}

type mirror struct {
	fetch Fetch
	dir   string
	size  int64
}

// leaves fetches what isn't there of the leaves, and writes the lowest level of tiles.
func (m *mirror) leaves(ctx context.Context, progress func(done, of int64)) error {
	for first := int64(0); first < m.size; first += merkle.TileWidth {
		width := min(merkle.TileWidth, m.size-first)
		path := TilePath("entries", first/merkle.TileWidth, width)
		bundle, err := os.ReadFile(m.path(path))
		fresh := errors.Is(err, fs.ErrNotExist)
		if fresh {
			bundle, err = m.fetch(ctx, path)
		}
		if err != nil {
			return err
		}
		hashes, err := leafHashes(bundle, width)
		if err != nil {
			return &Error{ErrMismatch, first, fmt.Sprintf("%s: %s", path, err)}
		}
		if fresh {
			if err := m.write(path, bundle); err != nil {
				return err
			}
		}
		if err := m.keep(TilePath("0", first/merkle.TileWidth, width), hashes); err != nil {
			return err
		}
		progress(first+width, m.size)
	}
	return nil
}

// leafHashes are the hashes of the leaves of a bundle: each stands behind its length in two
// bytes, the higher first.
func leafHashes(bundle []byte, width int64) ([]byte, error) {
	hashes := make([]byte, 0, width*merkle.HashSize)
	for range width {
		if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
			return nil, errors.New("the leaves break off")
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		hashes = append(hashes, merkle.LeafHash(bundle[2:end])...)
		bundle = bundle[end:]
	}
	if len(bundle) > 0 {
		return nil, errors.New("there is more than its leaves")
	}
	return hashes, nil
}

// levels computes the tiles above, each from the tiles below it.
func (m *mirror) levels() error {
	for level := 1; merkle.LevelWidth(m.size, level) > 0; level++ {
		all := merkle.LevelWidth(m.size, level)
		for first := int64(0); first < all; first += merkle.TileWidth {
			width := min(merkle.TileWidth, all-first)
			hashes := make([]byte, 0, width*merkle.HashSize)
			for below := first; below < first+width; below++ {
				tile, err := os.ReadFile(m.path(TilePath(strconv.Itoa(level-1), below, merkle.TileWidth)))
				if err != nil {
					return err
				}
				root, err := merkle.TileRoot(tile)
				if err != nil {
					return err
				}
				hashes = append(hashes, root...)
			}
			if err := m.keep(TilePath(strconv.Itoa(level), first/merkle.TileWidth, width), hashes); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep writes a computed tile; one that was there must be the same.
func (m *mirror) keep(path string, hashes []byte) error {
	there, err := os.ReadFile(m.path(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m.write(path, hashes)
	case err == nil && !bytes.Equal(there, hashes):
		return mismatch(-1, "%s was changed since it was mirrored", m.path(path))
	}
	return err
}

// holds compares the mirrored tree with a checkpoint's root.
func (m *mirror) holds(ctx context.Context, c Checkpoint, whose string) error {
	root, err := merkle.Root(ctx, m.read, c.Size)
	if err != nil {
		return err
	}
	if !bytes.Equal(root, c.Root) {
		return mismatch(-1, "the leaves are not those of %s checkpoint of size %d", whose, c.Size)
	}
	return nil
}

// before is the checkpoint that was mirrored before, nil when none was. It is looked at
// first: files of another trail must not come between.
func (m *mirror) before(keys *Keys, now Checkpoint) (*Checkpoint, error) {
	note, err := os.ReadFile(m.path("checkpoint"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	before, err := openMirrored(note, keys)
	switch {
	case err != nil:
		return nil, within("the mirrored checkpoint", err)
	case before.Origin != now.Origin:
		return nil, mismatch(-1, "%s mirrors %s, not %s", m.dir, before.Origin, now.Origin)
	case before.Size > now.Size:
		return nil, mismatch(-1, "the service's checkpoint is of size %d, an older one was of size %d: entries are gone", now.Size, before.Size)
	}
	return &before, nil
}

// read is a [merkle.Reader] of the files.
func (m *mirror) read(_ context.Context, spans []merkle.Span) ([][]byte, error) {
	all := make([][]byte, len(spans))
	for i, span := range spans {
		index := span.From / merkle.TileWidth
		width := min(merkle.TileWidth, merkle.LevelWidth(m.size, span.Level)-index*merkle.TileWidth)
		tile, err := os.ReadFile(m.path(TilePath(strconv.Itoa(span.Level), index, width)))
		if err != nil {
			return nil, err
		}
		first := index * merkle.TileWidth
		all[i] = tile[(span.From-first)*merkle.HashSize : (span.To-first)*merkle.HashSize]
	}
	return all, nil
}

func (m *mirror) path(path string) string { return filepath.Join(m.dir, filepath.FromSlash(path)) }

// write leaves the whole file or none.
func (m *mirror) write(path string, content []byte) error {
	path = m.path(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	partial, err := os.CreateTemp(filepath.Dir(path), ".mirror-*")
	if err != nil {
		return err
	}
	defer os.Remove(partial.Name())
	_, err = partial.Write(content)
	if err = errors.Join(err, partial.Chmod(0o644), partial.Close()); err != nil {
		return err
	}
	return os.Rename(partial.Name(), path)
}

// TilePath is the path of a tile that has so many hashes (c2sp.org/tlog-tiles): the level is a
// number or "entries", and the index is written in groups of three digits.
func TilePath(level string, index, width int64) string {
	number := fmt.Sprintf("%03d", index%1000)
	for rest := index / 1000; rest > 0; rest /= 1000 {
		number = fmt.Sprintf("x%03d/%s", rest%1000, number)
	}
	path := "tile/" + level + "/" + number
	if width < merkle.TileWidth {
		path += fmt.Sprintf(".p/%d", width)
	}
	return path
}
