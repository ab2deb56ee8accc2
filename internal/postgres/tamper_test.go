package postgres_test

import (
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/merkle"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/proof"
	"ocore.dev/audit/internal/testkit"
)

var (
	tamperWhole = flag.Bool("tamper", false, "tamper with a trail of 70,000 entries, whose findings are in docs/tampering.md")
	updatePage  = flag.Bool("update-tampering", false, "write docs/tampering.md anew, with -tamper")
)

// Sizes of trails: most tampering needs no more than a few tiles, some a range of postings,
// and some a tile of the second level.
const (
	smallTrail  = 700
	postedTrail = 17_000
	wholeTrail  = 70_000
)

const spot = 411 // a position that is tampered with

// tampering is one thing that the database's superuser does behind the service's back.
type tampering struct {
	what       string
	statements []string
	do         func(t *testing.T, d testkit.Database, conn *pgx.Conn) // beside or in place of them
	trail      string                                                 // that is verified; acme when not given
	finds      string                                                 // the first finding of verify --deep, or a part of it; "" for none
	signer     verdict                                                // on the trail
	because    string                                                 // why nobody finds it
	old        bool                                                   // it is the database as it was before
	needs      int                                                    // entries; 700 are enough for most
}

// verdict is what the signer says of a trail that was tampered with.
type verdict int

const (
	signs verdict = iota
	refuses
	depends // on whether the hashes that prove growth are read from there
)

// tamperings use {n} for the trail's size, {p} for a position in its midst, {last} for the
// number of the newest checkpoint.
var tamperings = []tampering{
	// Columns of entries.
	{what: "an entry's text: another user", statements: []string{"UPDATE entries SET entry = replace(entry, 'user-', 'eve-') WHERE {here}"}, finds: "position {p}: the stored leaf hash is not that of the stored entry"},
	{what: "an entry's text: a digit of a number", statements: []string{"UPDATE entries SET entry = replace(entry, '1.10', '1.1') WHERE {here}"}, finds: "position {p}: the stored leaf hash is not that of the stored entry"},
	{what: "an entry's text: white space", statements: []string{"UPDATE entries SET entry = replace(entry, ',\"', ', \"') WHERE {here}"}, finds: "position {p}: the stored entry has no leaf"},
	{what: "an entry's text: a letter written as an escape", statements: []string{`UPDATE entries SET entry = replace(entry, '"price"', '"\u0070rice"') WHERE {here}`}, finds: "position {p}: the stored leaf hash is not that of the stored entry"},
	{what: "an entry's text: a member more", statements: []string{`UPDATE entries SET entry = replace(entry, '"userId"', '"ipAddress":"192.0.2.1","userId"') WHERE {here}`}, finds: "position {p}: the stored entry has no leaf"},
	{what: "an entry's text: nothing", statements: []string{"UPDATE entries SET entry = '' WHERE {here}"}, finds: "position {p}: the stored entry has no leaf"},
	{what: "an entry's createdAt, by a microsecond", statements: []string{"UPDATE entries SET created_at = created_at + interval '1 us' WHERE {here}"}, finds: "position {p}: the stored leaf hash is not that of the stored entry"},
	{what: "an entry's createdAt, to before its neighbour's", statements: []string{"UPDATE entries SET created_at = created_at - interval '1 day' WHERE {here}"}, finds: "position {p}: its createdAt is before"},
	{what: "an entry's column action", statements: []string{"UPDATE entries SET action = 'other' WHERE {here}"}, finds: "position {p}: the column action says \"other\""},
	{what: "an entry's column resource_type", statements: []string{"UPDATE entries SET resource_type = 'other' WHERE {here}"}, finds: "position {p}: the column resource type says \"other\""},
	{what: "an entry's column resource_id", statements: []string{"UPDATE entries SET resource_id = 'other' WHERE {here}"}, finds: "position {p}: the column resource id says \"other\""},
	{what: "an entry's column user_id, emptied", statements: []string{"UPDATE entries SET user_id = NULL WHERE {here}"}, finds: "position {p}: the column user id says nothing"},
	{what: "an entry's salts: a byte", statements: []string{"UPDATE entries SET salts = set_byte(salts, 5, get_byte(salts, 5) # 1) WHERE {here}"}, finds: "position {p}: the stored leaf hash is not that of the stored entry"},
	{what: "an entry's salts: one more", statements: []string{`UPDATE entries SET salts = salts || '\x0a'::bytea || substr(salts, 2, 16) WHERE {here}`}, finds: "position {p}: the stored entry has no leaf: leaf: a salt belongs to no member"},
	{what: "an entry's leaf hash", statements: []string{"UPDATE entries SET leaf_hash = sha256('x') WHERE {here}"}, finds: "position {p}: the stored leaf hash is not that of the stored entry"},
	{what: "an entry's leaf hash, in the part of the trail that no tile has", statements: []string{"UPDATE entries SET leaf_hash = sha256('x') WHERE organization = 'acme' AND position = {n} - 1"}, finds: "position {end}: the stored leaf hash is not that of the stored entry", signer: refuses},
	{what: "an entry's position", statements: []string{"UPDATE entries SET position = {n} + 5 WHERE {here}"}, finds: "position {p}: is missing"},
	{what: "an entry's organization", statements: []string{"UPDATE entries SET organization = 'globex', position = 300 WHERE {here}"}, finds: "position {p}: is missing"},
	{what: "the same, seen from the trail that it was moved to", statements: []string{"UPDATE entries SET organization = 'globex', position = 300 WHERE {here}"}, trail: "globex", finds: "position 300: an entry is stored, and the head says that the trail has 300"},
	// Rows of entries.
	{what: "an entry deleted", statements: []string{"DELETE FROM entries WHERE {here}"}, finds: "position {p}: is missing"},
	{what: "an entry deleted with its id", statements: []string{"DELETE FROM entry_ids WHERE organization = 'acme' AND position = {p}", "DELETE FROM entries WHERE {here}"}, finds: "position {p}: is missing"},
	{what: "two entries exchanged", statements: []string{"UPDATE entries SET position = -1 WHERE {here}", "UPDATE entries SET position = {p} WHERE organization = 'acme' AND position = 450", "UPDATE entries SET position = 450 WHERE organization = 'acme' AND position = -1"}, finds: "position {p}: "},
	{what: "two entries exchanged, with their ids, times and leaf hashes", statements: []string{
		"CREATE TEMP TABLE two AS SELECT * FROM entries WHERE organization = 'acme' AND position IN ({p}, 450)",
		"UPDATE entries e SET action = t.action, resource_type = t.resource_type, resource_id = t.resource_id, user_id = t.user_id, entry = t.entry, salts = t.salts, leaf_hash = t.leaf_hash FROM two t WHERE e.organization = 'acme' AND e.position IN ({p}, 450) AND t.position = {p} + 450 - e.position",
		"UPDATE entry_ids SET position = {p} + 450 - position WHERE organization = 'acme' AND position IN ({p}, 450)",
	}, finds: "position {p}: "},
	{what: "an entry twice at its position, the primary key dropped", statements: []string{"ALTER TABLE entries DROP CONSTRAINT entries_pkey", "INSERT INTO entries SELECT * FROM entries WHERE {here}"}, finds: "position {p}: stands twice"},
	{what: "a copy of an entry behind the last", statements: []string{"INSERT INTO entries SELECT organization, {n}, created_at, action, resource_type, resource_id, user_id, entry, salts, leaf_hash FROM entries WHERE {here}"}, finds: "position {n}: an entry is stored, and the head says that the trail has {n}"},
	{what: "a value and its salt deleted", do: deleteValue, finds: "position {p}: the stored leaf hash is not that of the stored entry"},
	{what: "a value and its salt deleted, and the leaf hash made anew", do: func(t *testing.T, d testkit.Database, conn *pgx.Conn) {
		deleteValue(t, d, conn)
		rehash(t, conn, spot)
	}, finds: "position {p}: the entry and its leaf hash are not those that tile 0/1 has"},
	{what: "the tail deleted", statements: []string{"DELETE FROM entries WHERE organization = 'acme' AND position >= {n} - 50"}, finds: "position {tail}: is missing, and so are all up to {end}", signer: refuses},
	{what: "the tail deleted, and the head set back by size alone", statements: []string{"DELETE FROM entries WHERE organization = 'acme' AND position >= {n} - 50", "UPDATE heads SET size = {n} - 50 WHERE organization = 'acme'"}, finds: "position {tail}: and what came after are gone: checkpoint", signer: refuses},
	{what: "the trail cut, with its ids, tiles and head", do: func(t *testing.T, _ testkit.Database, conn *pgx.Conn) { cut(t, conn, sizeOf(t, conn)-50) }, finds: "position {tail}: and what came after are gone: checkpoint", signer: refuses},
	{what: "the trail cut, and the checkpoints of what is gone deleted", do: func(t *testing.T, _ testkit.Database, conn *pgx.Conn) {
		cut(t, conn, sizeOf(t, conn)-50)
		forgetSignatures(t, conn, sizeOf(t, conn))
	}, finds: "position {tail}: and what came after are gone: the kept checkpoint", signer: refuses},
	{what: "rows, hashes, tiles and frontier rewritten to belong together", do: func(t *testing.T, _ testkit.Database, conn *pgx.Conn) { rewrite(t, conn, spot) }, finds: "position {before}: or one up to position {beforeEnd} is not what was signed: checkpoint", signer: refuses},
	{what: "the same in the trail's last entry", do: func(t *testing.T, _ testkit.Database, conn *pgx.Conn) { rewrite(t, conn, sizeOf(t, conn)-1) }, finds: "position {tail}: or one up to position {end} is not what was signed: checkpoint {last}", signer: refuses},
	{what: "the same, and every checkpoint deleted", do: func(t *testing.T, _ testkit.Database, conn *pgx.Conn) {
		rewrite(t, conn, spot)
		forgetSignatures(t, conn, 0)
	}, finds: "position 0: or one up to position {end} is not what was signed: the kept checkpoint", signer: refuses},
	{what: "an old copy of the database restored", old: true, finds: "position {tail}: and what came after are gone: the kept checkpoint", signer: refuses},
	{what: "everything of the trail deleted", needs: postedTrail, statements: []string{"DELETE FROM entries WHERE organization = 'acme'", "DELETE FROM entry_ids WHERE organization = 'acme'", "DELETE FROM tiles WHERE organization = 'acme'", "DELETE FROM postings WHERE organization = 'acme'", "DELETE FROM posting_values WHERE organization = 'acme'", "DELETE FROM posting_progress WHERE organization = 'acme'", "DELETE FROM heads WHERE organization = 'acme'", "DELETE FROM checkpoints WHERE organization = 'acme'", "DELETE FROM signing_progress WHERE organization = 'acme'"}, finds: "position 0: and what came after are gone: the kept checkpoint", signer: refuses},
	{what: "an entry that nobody sent, recorded as the service would", do: recordOne, because: "The service can't tell whoever has its login from itself. It is signed like any other, and can't be taken back."},
	{what: "an entry changed before a checkpoint had it, with all that repeats it", do: func(t *testing.T, d testkit.Database, conn *pgx.Conn) {
		recordOne(t, d, conn)
		rewrite(t, conn, sizeOf(t, conn)-1)
	}, because: "Nothing was signed of it yet: that takes less than a second. Whoever recorded it has its leaf hash in the answer, and finds it."},
	// Heads.
	{what: "the head's size, less", statements: []string{"UPDATE heads SET size = size - 5 WHERE organization = 'acme'"}, finds: "position {shorter}: ", signer: refuses},
	{what: "the head's size, more", statements: []string{"UPDATE heads SET size = size + 5 WHERE organization = 'acme'"}, finds: "position {n}: is missing, and so are all up to", signer: refuses},
	{what: "the head's last_created_at", statements: []string{"UPDATE heads SET last_created_at = last_created_at - interval '1 day' WHERE organization = 'acme'"}, finds: "the head says that the last entry is of"},
	{what: "the head's frontier", statements: []string{"UPDATE heads SET frontier = overlay(frontier placing sha256('x') from 1) WHERE organization = 'acme'"}, finds: "the head's frontier is not that of the trail's {n} entries", signer: refuses},
	{what: "the head's root", statements: []string{"UPDATE heads SET root = sha256('x') WHERE organization = 'acme'"}, finds: "the head's root is not that of the trail's {n} entries", signer: refuses},
	{what: "the head's organization", statements: []string{"UPDATE heads SET organization = 'other' WHERE organization = 'acme'"}, finds: "the trail has no head", signer: refuses},
	{what: "the head deleted", statements: []string{"DELETE FROM heads WHERE organization = 'acme'"}, finds: "the trail has no head", signer: refuses},
	// Ids.
	{what: "an id's position", statements: []string{"UPDATE entry_ids SET position = 450 WHERE organization = 'acme' AND position = {p}"}, finds: "position {p}: its id \"e-{p}\" is said to stand at position 450"},
	{what: "an id", statements: []string{"UPDATE entry_ids SET id = 'other' WHERE organization = 'acme' AND position = {p}"}, finds: "position {p}: its id \"e-{p}\" is not among the ids that are taken"},
	{what: "an id's organization", statements: []string{"UPDATE entry_ids SET organization = 'other' WHERE organization = 'acme' AND position = {p}"}, finds: "position {p}: its id \"e-{p}\" is not among the ids that are taken"},
	{what: "an id deleted", statements: []string{"DELETE FROM entry_ids WHERE organization = 'acme' AND position = {p}"}, finds: "position {p}: its id \"e-{p}\" is not among the ids that are taken"},
	{what: "an id more", statements: []string{"INSERT INTO entry_ids VALUES ('acme', 'reserved', {p})"}, finds: "position {p}: the id \"reserved\" is said to be this entry's"},
	// Tiles.
	{what: "a hash of a tile", statements: []string{"UPDATE tiles SET hashes = set_byte(hashes, {p} % 256 * 32, get_byte(hashes, {p} % 256 * 32) # 1) WHERE organization = 'acme' AND level = 0 AND index = {p} / 256"}, finds: "position {p}: the entry and its leaf hash are not those that tile 0/1 has"},
	{what: "a tile's root", statements: []string{"UPDATE tiles SET root = sha256('x') WHERE organization = 'acme' AND level = 0 AND index = 1"}, finds: "position 256: tile 0/1, which begins here, has another root than its hashes", signer: depends},
	{what: "a tile's index", statements: []string{"UPDATE tiles SET index = 1000000 WHERE organization = 'acme' AND level = 0 AND index = 1"}, finds: "position 256: tile 0/1, which begins here, is missing", signer: depends},
	{what: "a tile's level", statements: []string{"UPDATE tiles SET level = 3 WHERE organization = 'acme' AND level = 0 AND index = 1"}, finds: "position 256: tile 0/1, which begins here, is missing", signer: depends},
	{what: "a tile's organization", statements: []string{"UPDATE tiles SET organization = 'other' WHERE organization = 'acme' AND level = 0 AND index = 1"}, finds: "position 256: tile 0/1, which begins here, is missing", signer: depends},
	{what: "a tile deleted", statements: []string{"DELETE FROM tiles WHERE organization = 'acme' AND level = 0 AND index = 1"}, finds: "position 256: tile 0/1, which begins here, is missing", signer: depends},
	{what: "a tile more", statements: []string{"INSERT INTO tiles SELECT organization, level, 1000000, hashes, root FROM tiles WHERE organization = 'acme' AND level = 0 AND index = 1"}, finds: "tile 0/1000000 is stored, and a trail of {n} entries hasn't got it"},
	{what: "the newest tile deleted", statements: []string{"DELETE FROM tiles WHERE organization = 'acme' AND level = 0 AND index = {n} / 256 - 1"}, finds: "position {tile}: tile 0/", signer: refuses},
	{what: "a hash of a tile of the second level", needs: wholeTrail, statements: []string{"UPDATE tiles SET hashes = set_byte(hashes, 32, get_byte(hashes, 32) # 1) WHERE organization = 'acme' AND level = 1"}, finds: "position 256: tile 1/0 has another hash than the tile below that begins here"},
	{what: "the root of a tile of the second level", needs: wholeTrail, statements: []string{"UPDATE tiles SET root = sha256('x') WHERE organization = 'acme' AND level = 1"}, finds: "position 0: tile 1/0, which begins here, has another root than its hashes", signer: depends},
	{what: "a tile of the second level deleted", needs: wholeTrail, statements: []string{"DELETE FROM tiles WHERE organization = 'acme' AND level = 1"}, finds: "position 0: tile 1/0, which begins here, is missing", signer: depends},
	// Postings.
	{what: "a posting's before", needs: postedTrail, statements: []string{"UPDATE postings SET before = before + 1 WHERE organization = 'acme' AND field = 1 AND value = 'server.created' AND range = 0"}, finds: "position 0: the postings of action \"server.created\" of this range don't count on"},
	{what: "a posting's count", needs: postedTrail, statements: []string{"UPDATE postings SET count = count + 1 WHERE organization = 'acme' AND field = 1 AND value = 'server.created' AND range = 0"}, finds: "position 0: the postings of action \"server.created\" of this range are not what its columns say"},
	{what: "a posting's positions", needs: postedTrail, statements: []string{"UPDATE postings SET positions = set_byte(positions, {p} / 8, get_byte(positions, {p} / 8) # 8) WHERE organization = 'acme' AND field = 1 AND value = 'server.created' AND range = 0"}, finds: "position {p}: the postings of action \"server.created\" of this range are not what its columns say"},
	{what: "a posting's range", needs: postedTrail, statements: []string{"UPDATE postings SET range = 900 WHERE organization = 'acme' AND field = 1 AND value = 'server.created' AND range = 0"}, finds: "position 0: the postings of action \"server.created\" of this range"},
	{what: "a posting's value", needs: postedTrail, statements: []string{"UPDATE postings SET value = 'other' WHERE organization = 'acme' AND field = 1 AND value = 'server.created' AND range = 0"}, finds: "position 0: the postings of action"},
	{what: "a posting's field", needs: postedTrail, statements: []string{"UPDATE postings SET field = 2 WHERE organization = 'acme' AND field = 1 AND value = 'server.created' AND range = 0"}, finds: "position 0: the postings of "},
	{what: "a posting's organization", needs: postedTrail, statements: []string{"UPDATE postings SET organization = 'other' WHERE organization = 'acme' AND field = 1 AND value = 'server.created' AND range = 0"}, finds: "position 0: the postings of action \"server.created\" of this range are not what its columns say"},
	{what: "a posting deleted", needs: postedTrail, statements: []string{"DELETE FROM postings WHERE organization = 'acme' AND field = 1 AND value = 'server.created' AND range = 0"}, finds: "position 0: the postings of action \"server.created\" of this range are not what its columns say"},
	{what: "a value that has postings, renamed", needs: postedTrail, statements: []string{"UPDATE posting_values SET value = 'other' WHERE organization = 'acme' AND field = 1 AND value = 'server.created'"}, finds: "position 0: the postings of action \"server.created\" of this range stand where none are built"},
	{what: "a value's field", needs: postedTrail, statements: []string{"UPDATE posting_values SET field = 7 WHERE organization = 'acme' AND field = 1 AND value = 'server.created'"}, finds: "position 0: the postings of action \"server.created\" of this range stand where none are built"},
	{what: "a value that has postings, deleted", needs: postedTrail, statements: []string{"DELETE FROM posting_values WHERE organization = 'acme' AND field = 1 AND value = 'server.created'"}, finds: "position 0: the postings of action \"server.created\" of this range stand where none are built"},
	{what: "a value more, which the trail has", needs: postedTrail, statements: []string{"INSERT INTO posting_values VALUES ('acme', 3, 'resource-{p}')"}, finds: "position {p}: the postings of resource id \"resource-{p}\" of this range are not what its columns say"},
	{what: "a value more, which the trail hasn't", needs: postedTrail, statements: []string{"INSERT INTO posting_values VALUES ('acme', 3, 'nothing')"}, finds: "resource id \"nothing\" is said to have postings, and has none"},
	{what: "a value deleted with its postings", needs: postedTrail, statements: []string{"DELETE FROM posting_values WHERE organization = 'acme' AND field = 1 AND value = 'server.created'", "DELETE FROM postings WHERE organization = 'acme' AND field = 1 AND value = 'server.created'"}, because: "Its entries are then counted one by one: answers stay right, and cost more."},
	{what: "the progress of postings, more", needs: postedTrail, statements: []string{"UPDATE posting_progress SET ranges = ranges + 1 WHERE organization = 'acme'"}, finds: "postings are said to be built for"},
	{what: "the progress of postings, less", needs: postedTrail, statements: []string{"UPDATE posting_progress SET ranges = ranges - 1 WHERE organization = 'acme'"}, finds: "position {range}: the postings of action"},
	{what: "the progress of postings deleted", needs: postedTrail, statements: []string{"DELETE FROM posting_progress WHERE organization = 'acme'"}, finds: "position 0: the postings of action"},
	// The admin trail's search texts.
	{what: "an admin entry's search text", trail: audit.AdminOrganization, statements: []string{"UPDATE admin_search SET folded = 'OTHER' WHERE position = 41"}, finds: "position 41: the search index has another text than this entry's"},
	{what: "an admin entry's search text's position", trail: audit.AdminOrganization, statements: []string{"UPDATE admin_search SET position = 5000 WHERE position = 41"}, finds: "position 41: the search index has no text of this entry"},
	{what: "an admin entry's search text deleted", trail: audit.AdminOrganization, statements: []string{"DELETE FROM admin_search WHERE position = 41"}, finds: "position 41: the search index has no text of this entry"},
	{what: "a search text more", trail: audit.AdminOrganization, statements: []string{"INSERT INTO admin_search VALUES (5000, 'OTHER')"}, finds: "position 5000: the search index has a text, and the admin trail no such entry"},
	{what: "an admin entry's details", trail: audit.AdminOrganization, statements: []string{"UPDATE entries SET entry = replace(entry, '\"reason\":\"', '\"reason\":\"no ') WHERE organization = '_admin' AND position = 41"}, finds: "position 41: the stored leaf hash is not that of the stored entry"},
	// What was signed.
	{what: "a checkpoint's number", statements: []string{"UPDATE checkpoints SET number = 500 WHERE organization = 'acme' AND number = 3"}, finds: "checkpoint 4 of size {5} stands where number 3 should", signer: refuses},
	{what: "a checkpoint's size", statements: []string{"UPDATE checkpoints SET size = size + 1 WHERE organization = 'acme' AND number = 3"}, finds: "checkpoint 3 of size {4more} was signed with another size or root"},
	{what: "a checkpoint's root", statements: []string{"UPDATE checkpoints SET root = sha256('x') WHERE organization = 'acme' AND number = 3"}, finds: "checkpoint 3 of size {4} was signed with another size or root"},
	{what: "a checkpoint's note: its size", statements: []string{"UPDATE checkpoints SET note = replace(note, E'\\n{4}\\n', E'\\n1\\n') WHERE organization = 'acme' AND number = 3"}, finds: "checkpoint 3 of size {4}: the checkpoint's signature by"},
	{what: "a checkpoint's note: its signature", statements: []string{"UPDATE checkpoints SET note = overlay(note placing 'AAAA' from length(note) - 20) WHERE organization = 'acme' AND number = 3"}, finds: "checkpoint 3 of size {4}: the checkpoint's signature by"},
	{what: "a checkpoint's note: nothing", statements: []string{"UPDATE checkpoints SET note = '' WHERE organization = 'acme' AND number = 3"}, finds: "checkpoint 3 of size {4}: a checkpoint is no signed note"},
	{what: "a checkpoint signed by another key", do: signOther, finds: "checkpoint 3 of size {4}: the checkpoint is signed by none of the given keys"},
	{what: "the newest checkpoint signed by another key", do: func(t *testing.T, _ testkit.Database, conn *pgx.Conn) { signNewest(t, conn) }, finds: "checkpoint {last} of size {n}: the checkpoint is signed by none of the given keys", signer: refuses},
	{what: "the newest checkpoint exchanged for another trail's", statements: []string{"UPDATE checkpoints c SET size = o.size, root = o.root, note = o.note FROM checkpoints o WHERE o.organization = 'globex' AND o.number = 0 AND c.organization = 'acme' AND c.number = {last}"}, finds: "checkpoint {last} of size 300: the checkpoint is signed by none of the given keys", signer: refuses},
	{what: "the newest checkpoint exchanged for an older one", statements: []string{"UPDATE checkpoints c SET size = o.size, root = o.root, note = o.note FROM checkpoints o WHERE o.organization = 'acme' AND o.number = {last} - 1 AND c.organization = 'acme' AND c.number = {last}"}, finds: "the kept checkpoint of size {n} was signed, and the newest stored checkpoint is of size {tail}", signer: refuses},
	{what: "a checkpoint's signed_at", statements: []string{"UPDATE checkpoints SET signed_at = signed_at - interval '1 day' WHERE organization = 'acme' AND number = 3"}, because: "When it was signed is no part of what is signed, and proves nothing."},
	{what: "a checkpoint's organization", statements: []string{"UPDATE checkpoints SET organization = 'other' WHERE organization = 'acme' AND number = 3"}, finds: "checkpoint 4 of size {5} stands where number 3 should"},
	{what: "a checkpoint deleted", statements: []string{"DELETE FROM checkpoints WHERE organization = 'acme' AND number = 3"}, finds: "checkpoint 4 of size {5} stands where number 3 should"},
	{what: "the newest checkpoint deleted", statements: []string{"DELETE FROM checkpoints WHERE organization = 'acme' AND number = {last}"}, finds: "the kept checkpoint of size {n} was signed, and the newest stored checkpoint is of size {tail}", signer: refuses},
	{what: "the newest checkpoint deleted, and the progress of signing set back", statements: []string{"DELETE FROM checkpoints WHERE organization = 'acme' AND number = {last}", "UPDATE signing_progress SET size = (SELECT max(size) FROM checkpoints WHERE organization = 'acme') WHERE organization = 'acme'"}, finds: "the kept checkpoint of size {n} was signed, and the newest stored checkpoint is of size {tail}", signer: refuses},
	{what: "every checkpoint deleted", statements: []string{"DELETE FROM checkpoints WHERE organization = 'acme'"}, finds: "the kept checkpoint of size {n} was signed, and the newest stored checkpoint is of size 0", signer: refuses},
	{what: "the progress of signing, less", statements: []string{"UPDATE signing_progress SET size = 5 WHERE organization = 'acme'"}, finds: "the progress of signing says that 5 entries are signed"},
	{what: "the progress of signing, more", statements: []string{"UPDATE signing_progress SET size = size + 1000000 WHERE organization = 'acme'"}, finds: "the progress of signing says that {more} entries are signed"},
	{what: "the progress of signing deleted", statements: []string{"DELETE FROM signing_progress WHERE organization = 'acme'"}, finds: "the progress of signing says that 0 entries are signed"},
}

// trailToTamper is a database with a trail that was signed all along, and as it was before
// the last 50 entries.
type trailToTamper struct {
	size      int
	old, last testkit.Database
	key       ed25519.PrivateKey
	kept      string // folder of the newest checkpoints
}

func makeTrailToTamper(t *testing.T, size int) trailToTamper {
	t.Helper()
	made := trailToTamper{size: size, last: testkit.NewDatabase(t), key: newKey(t), kept: t.TempDir()}
	for from := 0; from < size-50; from += made.step() {
		made.grow(t, from, min(from+made.step(), size-50))
	}
	made.old = made.last.Clone(t)
	made.grow(t, size-50, size)
	return made
}

// step is how many entries are between two checkpoints.
func (m trailToTamper) step() int {
	if m.size < 1000 {
		return 100
	}
	return 1000
}

// grow records, signs and posts, and disconnects, so that the database can be cloned.
func (m trailToTamper) grow(t *testing.T, from, to int) {
	t.Helper()
	store, err := postgres.Open(t.Context(), postgres.Options{URL: m.last.ServingURL})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	worker, err := postgres.OpenWorker(t.Context(), postgres.WorkerOptions{URL: m.last.WorkerURL})
	if err != nil {
		t.Fatal(err)
	}
	defer worker.Close()
	entries := make([]audit.Admitted, 0, to-from)
	for i := from; i < to; i++ {
		entries = append(entries, tamperedEntry(t, i))
	}
	mustAppend(t, store, "acme", entries...)
	if from == 0 {
		mustAppend(t, store, "globex", plain(t, "g", 300)...)
		for i := range 300 {
			admitted, err := audit.AdmitAdmin(fmt.Appendf(nil, `{"id":"a-%d","action":"plan.changed","userId":"grace","details":{"reason":"number %d"},"resourceType":"own"}`, i, i))
			if err != nil {
				t.Fatal(err)
			}
			mustAppend(t, store, audit.AdminOrganization, admitted)
		}
	}
	if err := proof.NewSigner(worker, signingKeys(t, m.key), proof.KeptFolder(m.kept), slog.New(slog.DiscardHandler)).Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := worker.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func tamperedEntry(t *testing.T, i int) audit.Admitted {
	t.Helper()
	return admit(t, audit.Draft{
		ID: fmt.Sprint("e-", i), Action: []string{"server.created", "server.created", "server.created", "server.deleted", "login"}[i%5],
		ResourceID: fmt.Sprint("resource-", i), UserID: fmt.Sprint("user-", i%97), UserName: fmt.Sprint("User ", i%97),
		AfterState: fmt.Appendf(nil, `{"price":1.10,"number":%d}`, i),
	})
}

// deleteValue deletes the user's name and its salt, as redaction would.
func deleteValue(t *testing.T, _ testkit.Database, conn *pgx.Conn) {
	t.Helper()
	const userName = 2 // its number among salts
	salts := scan[[]byte](t, conn, "SELECT salts FROM entries WHERE organization = 'acme' AND position = $1", spot)
	var kept []byte
	for salt := range slices.Chunk(salts, 17) {
		if salt[0] != userName {
			kept = append(kept, salt...)
		}
	}
	if len(kept) == len(salts) {
		t.Fatal("the entry has no user name")
	}
	mustExec(t, conn, `UPDATE entries SET salts = $2, entry = regexp_replace(entry, ',"userName":"[^"]*"', '') WHERE organization = 'acme' AND position = $1`, spot, kept)
}

// rehash makes an entry's leaf hash anew.
func rehash(t *testing.T, conn *pgx.Conn, position int64) {
	t.Helper()
	var e audit.StoredEntry
	err := conn.QueryRow(t.Context(), "SELECT created_at, entry::bytea, salts FROM entries WHERE organization = 'acme' AND position = $1", position).Scan(&e.CreatedAt, &e.Text, &e.Salts)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := e.Leaf("acme")
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, conn, "UPDATE entries SET leaf_hash = $2 WHERE organization = 'acme' AND position = $1", position, merkle.LeafHash(leaf))
}

// rewrite changes an entry with everything that repeats it, as somebody would who knows this
// program.
func rewrite(t *testing.T, conn *pgx.Conn, position int64) {
	t.Helper()
	mustExec(t, conn, "UPDATE entries SET entry = replace(entry, 'user-', 'eve-'), user_id = replace(user_id, 'user-', 'eve-') WHERE organization = 'acme' AND position = $1", position)
	rehash(t, conn, position)
	regrow(t, conn)
}

// regrow makes tiles and head of the stored leaf hashes.
func regrow(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT leaf_hash FROM entries WHERE organization = 'acme' ORDER BY position")
	if err != nil {
		t.Fatal(err)
	}
	level, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	tree, err := merkle.Open(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range level {
		if err := tree.Append(hash); err != nil {
			t.Fatal(err)
		}
	}
	root, err := tree.Root()
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, conn, `UPDATE heads SET size = $1, frontier = $2, root = $3, last_created_at = (SELECT created_at FROM entries WHERE organization = 'acme' ORDER BY position DESC LIMIT 1)
		WHERE organization = 'acme'`, tree.Size(), tree.Frontier(), root)
	mustExec(t, conn, "DELETE FROM tiles WHERE organization = 'acme'")
	for number := 0; len(level) >= merkle.TileWidth; number++ {
		var above [][]byte
		for ; len(level) >= merkle.TileWidth; level = level[merkle.TileWidth:] {
			hashes := slices.Concat(level[:merkle.TileWidth]...)
			root, err := merkle.TileRoot(hashes)
			if err != nil {
				t.Fatal(err)
			}
			mustExec(t, conn, "INSERT INTO tiles VALUES ('acme', $1, $2, $3, $4)", number, len(above), hashes, root)
			above = append(above, root)
		}
		level = above
	}
}

func sizeOf(t *testing.T, conn *pgx.Conn) int64 {
	t.Helper()
	return scan[int64](t, conn, "SELECT size FROM heads WHERE organization = 'acme'")
}

// cut shortens the trail with all that repeats its entries.
func cut(t *testing.T, conn *pgx.Conn, size int64) {
	t.Helper()
	mustExec(t, conn, "DELETE FROM entry_ids WHERE organization = 'acme' AND position >= $1", size)
	mustExec(t, conn, "DELETE FROM entries WHERE organization = 'acme' AND position >= $1", size)
	regrow(t, conn)
}

// forgetSignatures deletes the checkpoints of more entries.
func forgetSignatures(t *testing.T, conn *pgx.Conn, size int64) {
	t.Helper()
	mustExec(t, conn, "DELETE FROM checkpoints WHERE organization = 'acme' AND size > $1", size)
	mustExec(t, conn, "UPDATE signing_progress SET size = $1 WHERE organization = 'acme'", size)
}

// recordOne records as the service does, with the service's login.
func recordOne(t *testing.T, d testkit.Database, _ *pgx.Conn) {
	t.Helper()
	mustAppend(t, testkit.NewStore(t, d), "acme", admit(t, audit.Draft{ID: "forged", UserID: "user-1"}))
}

// signOther signs what a checkpoint says by a key of their own.
func signOther(t *testing.T, _ testkit.Database, conn *pgx.Conn) {
	t.Helper()
	forge(t, conn, 3)
}

func signNewest(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	forge(t, conn, scan[int64](t, conn, "SELECT max(number) FROM checkpoints WHERE organization = 'acme'"))
}

func forge(t *testing.T, conn *pgx.Conn, number int64) {
	t.Helper()
	note := scan[string](t, conn, "SELECT note FROM checkpoints WHERE organization = 'acme' AND number = $1", number)
	body, _, _ := strings.Cut(note, "\n\n")
	text := body + "\n"
	key := newKey(t)
	verifiers, err := signingKeys(t, key).Verifiers("acme")
	if err != nil {
		t.Fatal(err)
	}
	hash, err := hex.DecodeString(strings.Split(verifiers[0], "+")[1])
	if err != nil {
		t.Fatal(err)
	}
	origin, _, _ := strings.Cut(text, "\n")
	line := base64.StdEncoding.EncodeToString(append(hash, ed25519.Sign(key, []byte(text))...))
	mustExec(t, conn, "UPDATE checkpoints SET note = $2 WHERE organization = 'acme' AND number = $1", number, text+"\n— "+origin+" "+line+"\n")
}

// told are what verify and the signer say of one tampering.
type told struct {
	finding string
	signer  string
}

// The page has what is found in the whole trail, which takes minutes; each test tries
// everything that a smaller one can show, with the same findings.
func TestNothingIsTamperedWithUnseen(t *testing.T) {
	t.Parallel()
	bases := map[int]trailToTamper{}
	for _, size := range []int{smallTrail, postedTrail} {
		if *tamperWhole {
			size = wholeTrail
		}
		if _, made := bases[size]; !made {
			bases[size] = makeTrailToTamper(t, size)
		}
	}
	found := make([]told, len(tamperings))
	t.Run("tamper", func(t *testing.T) {
		for i, c := range tamperings {
			base, has := bases[cmp.Or(c.needs, smallTrail)]
			if *tamperWhole {
				base, has = bases[wholeTrail], true
			}
			if !has {
				continue // the page has it
			}
			t.Run(c.what, func(t *testing.T) {
				t.Parallel()
				found[i] = base.try(t, c)
			})
		}
	})
	if !t.Failed() {
		checkTamperingPage(t, found)
	}
}

func (m trailToTamper) try(t *testing.T, c tampering) (said told) {
	t.Helper()
	from := m.last
	if c.old {
		from = m.old
	}
	d := from.Clone(t)
	conn := testkit.Connect(t, d.SuperuserURL)
	for _, statement := range c.statements {
		tag, err := conn.Exec(t.Context(), m.fill(statement))
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		if changes := strings.HasPrefix(statement, "UPDATE") || strings.HasPrefix(statement, "DELETE"); changes && tag.RowsAffected() == 0 {
			t.Fatalf("%s changes nothing", statement)
		}
	}
	if c.do != nil {
		c.do(t, d, conn)
	}
	organization := cmp.Or(c.trail, "acme")
	result := m.verify(t, d.SuperuserURL, organization)
	if err := result.Err(); err != nil {
		said.finding = err.Error()
	}
	if want := m.fill(c.finds); !strings.HasPrefix(said.finding, want) || (want == "") != (said.finding == "") {
		t.Errorf("verify --deep says %q, want %q; all it says: %v", said.finding, want, result.Findings)
	}
	said.signer = m.sign(t, d, organization)
	if refused := said.signer != ""; c.signer != depends && refused != (c.signer == refuses) {
		t.Errorf("the signer says %q", said.signer)
	}
	return said
}

// fill replaces what stands for numbers.
func (m trailToTamper) fill(text string) string {
	n, before := m.size, spot/m.step()*m.step()
	return strings.NewReplacer(
		"{here}", fmt.Sprintf("organization = 'acme' AND position = %d", spot), "{p}", fmt.Sprint(spot), "{n}", fmt.Sprint(n), "{end}", fmt.Sprint(n-1),
		"{tail}", fmt.Sprint(n-50), "{shorter}", fmt.Sprint(n-5), "{last}", fmt.Sprint(n/m.step()), "{tile}", fmt.Sprint(n/256*256-256), "{more}", fmt.Sprint(n+1_000_000),
		"{range}", fmt.Sprint((n/16384-1)*16384), "{before}", fmt.Sprint(before), "{beforeEnd}", fmt.Sprint(before+m.step()-1), "{4}", fmt.Sprint(4*m.step()), "{4more}", fmt.Sprint(4*m.step()+1), "{5}", fmt.Sprint(5*m.step()),
	).Replace(text)
}

func (m trailToTamper) verify(t *testing.T, url, organization string) proof.Trail {
	t.Helper()
	keys, err := signingKeys(t, m.key).Keys(organization)
	if err != nil {
		t.Fatal(err)
	}
	note, err := proof.KeptFolder(m.kept).Newest(organization)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := postgres.OpenSnapshot(t.Context(), url, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	result, err := proof.VerifyTrail(t.Context(), snapshot.Trail(organization), organization, proof.TrailOptions{
		Keys: keys, Deep: true, Held: []proof.HeldNote{{Name: "the kept checkpoint", Note: note}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// sign asks for a checkpoint as it is, and once more after the service recorded something,
// and returns why that was refused, "" when it wasn't.
func (m trailToTamper) sign(t *testing.T, d testkit.Database, organization string) string {
	t.Helper()
	kept := t.TempDir()
	if err := os.CopyFS(kept, os.DirFS(m.kept)); err != nil {
		t.Fatal(err)
	}
	signer := newSigner(t, d, signingKeys(t, m.key), proof.KeptFolder(kept))
	store := testkit.NewStore(t, d)
	for range 2 {
		_, err := signer.Sign(t.Context(), organization)
		var refusal *proof.Refusal
		switch {
		case errors.As(err, &refusal):
			return refusal.Reason
		case err != nil:
			t.Fatal(err)
		}
		// A trail that can't grow any more isn't signed any more either.
		if _, err := store.Append(t.Context(), submission(organization, plain(t, "afterwards", 1)...)); err != nil {
			t.Logf("nothing can be recorded: %v", err)
			return ""
		}
	}
	return ""
}

const (
	tamperingPage  = "../../docs/tampering.md"
	tamperingBegin = "<!-- the table is written by a test -->\n"
)

// checkTamperingPage holds the page against what was found, whole with the trail that it speaks of.
func checkTamperingPage(t *testing.T, found []told) {
	t.Helper()
	text, err := os.ReadFile(tamperingPage)
	if err != nil {
		t.Fatal(err)
	}
	intro, table, _ := strings.Cut(string(text), tamperingBegin)
	if *tamperWhole {
		made := tamperingTable(found)
		if *updatePage {
			if err := os.WriteFile(tamperingPage, []byte(intro+tamperingBegin+made), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if table != made {
			t.Error("docs/tampering.md is another: run with -tamper -update-tampering")
		}
		return
	}
	for _, c := range tamperings {
		if !strings.Contains(table, "| "+c.what+" | ") {
			t.Errorf("docs/tampering.md lacks %q: run with -tamper -update-tampering", c.what)
		}
	}
}

// perRun is of a finding what another run has otherwise: a key's hash, and times.
var perRun = regexp.MustCompile(`\+[0-9a-f]{8}\b|\b\d{4}-\d\d-\d\dT[0-9:.]+Z`)

func tamperingTable(found []told) string {
	var table strings.Builder
	table.WriteString("\n| what is done | `verify trail --deep` | the signer |\n|---|---|---|\n")
	for i, c := range tamperings {
		finding := cmp.Or(cutAt(found[i].finding, 170), "**nothing.** "+c.because)
		signer := "signs"
		if found[i].signer != "" {
			signer = "refuses: " + cutAt(found[i].signer, 120)
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", c.what, strings.ReplaceAll(finding, "|", "\\|"), strings.ReplaceAll(signer, "|", "\\|"))
	}
	return perRun.ReplaceAllString(table.String(), "…")
}

func cutAt(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return text[:strings.LastIndexByte(text[:most], ' ')] + " …"
}
