package httpapi

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
	"ocore.dev/audit/internal/proof"
)

// tilesPath is where each trail's tree is served as c2sp.org/tlog-tiles defines it. Its paths
// hold slashes, so they are no operations of the document; tokens, permissions, limits, turns
// and problems are the same.
const tilesPath = "/tlog/"

// tiles serves trees to tools that make proofs of their own.
type tiles struct {
	service       *audit.Service
	prover        *proof.Prover // nil: nothing is signed
	authenticator Authenticator
	quotas        *quotas
	lane          *lane
}

func (s *tiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuseMethod(w, r)
		return
	}
	if err := s.serve(w, r); err != nil {
		writeProblem(w, r, err)
	}
}

// serve answers, or returns an error before it has. What isn't there and what is another
// organization's are the same error.
func (s *tiles) serve(w http.ResponseWriter, r *http.Request) error {
	organization, name, whole := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), tilesPath), "/")
	c := callOf(r.Context())
	c.operation = "getTile"
	var err error
	if c.principal, err = s.authenticator.Authenticate(r.Context(), r.Header.Values("Authorization")); err != nil {
		return err
	}
	if err := mayRead(c.principal, organization, r.Header.Values("X-Org-Slug")); err != nil {
		return err
	}
	c.organization = organization
	if err := s.quotas.take(w.Header(), c); err != nil {
		return err
	}
	if r.URL.RawQuery != "" {
		return &audit.Rejection{Kind: audit.ErrMalformed, Detail: "the paths of tiles take no parameters"}
	}
	if s.prover == nil {
		return errNoSigningKey
	}
	file, err := s.read(r.Context(), organization, name, whole)
	if err != nil {
		return err
	}
	file.write(w)
	return nil
}

// treeFile is one file of a tree.
type treeFile struct {
	contentType string
	full        bool // it will never be another
	body        []byte
}

// read stands in line with other reads, not while the answer goes, at whatever pace its
// caller likes.
func (s *tiles) read(ctx context.Context, organization, name string, whole bool) (treeFile, error) {
	c := callOf(ctx)
	c.lane = s.lane
	if err := c.lane.enter(ctx, organization); err != nil {
		return treeFile{}, err
	}
	defer c.lane.leave(organization)
	if name == "checkpoint" {
		checkpoint, err := s.prover.Checkpoint(ctx, organization)
		return treeFile{"text/plain; charset=utf-8", false, []byte(checkpoint.Note)}, missing(err)
	}
	tile, known := parseTilePath(name)
	if !whole || !known {
		return treeFile{}, errNoSuchPath
	}
	body, err := s.tile(ctx, organization, tile)
	return treeFile{"application/octet-stream", tile.width == merkle.TileWidth, body}, missing(err)
}

func (s *tiles) tile(ctx context.Context, organization string, tile tilePath) ([]byte, error) {
	if tile.entries {
		return s.entries(ctx, organization, tile)
	}
	return s.prover.Tile(ctx, organization, tile.TileID, tile.width)
}

func mayRead(by audit.Principal, organization string, slugs []string) error {
	need := audit.ViewAuditLogs
	if organization == audit.AdminOrganization {
		need = audit.ViewAdminAuditLogs
	}
	if !by.Can(need) {
		return audit.Denied("this path needs the permission " + string(need))
	}
	if need == audit.ViewAdminAuditLogs {
		return nil
	}
	if _, err := by.Organization(organization); err != nil || organization == "" {
		return errNoSuchPath
	}
	for _, slug := range slugs {
		if slug != "" && slug != organization {
			return audit.Denied("X-Org-Slug names another organization than the path")
		}
	}
	return nil
}

// entries reads an entry bundle: each leaf behind its length.
func (s *tiles) entries(ctx context.Context, organization string, tile tilePath) ([]byte, error) {
	leaves, err := s.prover.Leaves(ctx, organization, tile.Index, tile.width)
	if err != nil {
		return nil, err
	}
	if err := s.service.LeavesRead(ctx, organization, callOf(ctx).principal, tile.Index*merkle.TileWidth); err != nil {
		return nil, err
	}
	var body []byte
	for _, leaf := range leaves {
		body = binary.BigEndian.AppendUint16(body, uint16(len(leaf))) // its plain members are bounded far below
		body = append(body, leaf...)
	}
	return body, nil
}

// missing is the one answer for what isn't there.
func missing(err error) error {
	if errors.Is(err, audit.ErrNotFound) {
		return errNoSuchPath
	}
	return err
}

// write never fails: a caller who has gone needs no answer.
func (f treeFile) write(w http.ResponseWriter) {
	if f.full {
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	w.Header().Set("Content-Type", f.contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(f.body)))
	_, _ = w.Write(f.body)
}

// tilePath is what a path below a trail's checkpoint means.
type tilePath struct {
	merkle.TileID
	entries bool  // leaves, not hashes
	width   int64 // how many of the tile, from its first
}

var tileForm = regexp.MustCompile(`^tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,4}[0-9]{3})(?:\.p/([0-9]{1,3}))?$`)

// parseTilePath reads the one form that a tile's path has.
func parseTilePath(path string) (tilePath, bool) {
	parts := tileForm.FindStringSubmatch(path)
	if parts == nil {
		return tilePath{}, false
	}
	tile := tilePath{width: merkle.TileWidth}
	if tile.entries = parts[1] == "entries"; !tile.entries {
		tile.Level, _ = strconv.Atoi(parts[1])
	}
	tile.Index, _ = strconv.ParseInt(strings.NewReplacer("x", "", "/", "").Replace(parts[2]), 10, 64)
	if parts[3] != "" {
		tile.width, _ = strconv.ParseInt(parts[3], 10, 64)
		if tile.width == 0 || tile.width >= merkle.TileWidth {
			return tilePath{}, false
		}
	}
	return tile, tile.Level < 8 && tile.String() == path
}

// String is the path.
func (t tilePath) String() string {
	level := "entries"
	if !t.entries {
		level = strconv.Itoa(t.Level)
	}
	return proof.TilePath(level, t.Index, t.width)
}
