package rows

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/bench/dataset"
	"ocore.dev/audit/internal/bench/load"
	"ocore.dev/audit/internal/bench/measure"
	"ocore.dev/audit/internal/bench/report"
	"ocore.dev/audit/internal/merkle"
)

// signingKey is the same in every run: the dataset keeps what was signed.
func (b *Bench) signingKey() (file string, err error) {
	file = filepath.Join(b.Folder, "signing.key")
	key, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed([]byte("a signing key for measuring only")))
	if err != nil {
		return file, err
	}
	return file, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600)
}

// signing is a service that signs and proves.
func (b *Bench) signing(ctx context.Context, database dataset.Database) (*Service, error) {
	key, err := b.signingKey()
	if err != nil {
		return nil, err
	}
	return b.start(ctx, "signing "+database.Name, database, func(address string) *exec.Cmd {
		return exec.CommandContext(ctx, b.Binary, "serve", "--database-url", database.ServingURL(), "--worker-database-url", database.WorkerURL(), "--listen", address,
			"--auth-key-set-file", b.keySet, "--log-level", "error", "--signing-key-file", key)
	})
}

// proofs compares proofs of entries with the entries alone: random ones of the newest million
// of the largest trail.
func proofs(ctx context.Context, b *Bench, result *report.Result) error {
	s, err := b.signing(ctx, b.Data.Whole)
	if err != nil {
		return err
	}
	target, err := s.target(dataset.Large)
	if err != nil {
		return err
	}
	ids, err := b.newestIDs(ctx, b.Data.Whole, 50_000)
	if err != nil {
		return err
	}
	if err := b.cached(ctx, b.Data.Whole); err != nil {
		return err
	}
	if err := b.prewarm(ctx, b.Data.Whole, 0, "entry_ids", "entry_ids_pkey", "tiles", "tiles_pkey"); err != nil {
		return err
	}
	kilobytes, err := s.proofSize(ctx, target, ids[:200])
	if err != nil {
		return err
	}
	path := func(r *rand.Rand) string { return lists + "/entries/" + ids[r.IntN(len(ids))] }
	series, err := measure.Interleave(ctx, b.Rounds, "requests/s",
		b.rate("proof", target, func(r *rand.Rand) []byte { return target.Get(path(r)+"/proof", nil) }),
		b.rate("entry", target, func(r *rand.Rand) []byte { return target.Get(path(r), nil) }))
	if err != nil {
		return err
	}
	result.Series = slices.Concat(series, []measure.Series{{Name: "size of a proof", Unit: "KB", Rounds: kilobytes}})
	result.Checks = []report.Check{
		{What: "size, the largest of 200", Value: slices.Max(kilobytes), Unit: "KB", Target: 1.3, AtMost: true},
		{What: "of the rate of GET of the entry", Value: measure.Ratio(series[0], series[1]), Unit: "×", Target: 0.5},
	}
	result.Note("A trail of %d entries. The size is that of the tlog-proof, with its checkpoint; beside it the answer holds the entry and the salts. The service verifies each proof before it sends it.", size(b.Data.Whole))
	return b.stop("signing " + b.Data.Whole.Name)
}

// newestIDs are ids of so many entries among the newest million of the largest trail.
func (b *Bench) newestIDs(ctx context.Context, d dataset.Database, n int) ([]string, error) {
	conn, err := b.superuser(ctx, d)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	span := min(1_000_000, size(d))
	rows, err := conn.Query(ctx, `SELECT entry::json->>'id' FROM entries WHERE organization = $1 AND position = ANY
		(SELECT $2::bigint - 1 - n * $3::bigint / $4::bigint FROM generate_series(0, $4::bigint - 1) n)`, dataset.Large, size(d), span, min(n, span))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// proofSize is the size of each of some entries' proofs.
func (s *Service) proofSize(ctx context.Context, target load.Target, ids []string) (kilobytes []float64, err error) {
	conn, err := load.Dial(ctx, s.Address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for _, id := range ids {
		var body bytes.Buffer
		if _, err := conn.Do(target.Get(lists+"/entries/"+id+"/proof", nil), &body); err != nil {
			return nil, err
		}
		var answer struct{ Proof string }
		if err := json.Unmarshal(body.Bytes(), &answer); err != nil {
			return nil, err
		}
		kilobytes = append(kilobytes, float64(len(answer.Proof))/1000)
	}
	return kilobytes, nil
}

// verification recomputes the largest trail that has at most a million entries.
func verification(ctx context.Context, b *Bench, result *report.Result) error {
	database := b.Data.Whole
	if size(database) > 1_000_000 {
		database = b.Data.Tenth
	}
	key, err := b.signingKey()
	if err != nil {
		return err
	}
	if err := b.prewarm(ctx, database, 0, "entries", "entries_pkey", "entry_ids", "entry_ids_pkey", "tiles", "postings"); err != nil {
		return err
	}
	conn, err := b.superuser(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	wall := measure.Series{Name: "by the time on the wall, on all cores together", Unit: "entries/s"}
	series, err := measure.Interleave(ctx, b.Rounds, "entries/s a core", measure.Side{Name: "verify trail --deep", Run: func(ctx context.Context) (float64, error) {
		before, err := measure.EndedCPU(b.Data.Server.PID())
		if err != nil {
			return 0, err
		}
		begun := time.Now()
		cmd := exec.CommandContext(ctx, b.Binary, "verify", "trail", "--deep", "--organization", dataset.Large,
			"--database-url", database.SuperuserURL(), "--signing-key-file", key)
		if text, err := cmd.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%w: %s", err, text)
		}
		wall.Rounds = append(wall.Rounds, float64(size(database))/time.Since(begun).Seconds())
		if err := gone(ctx, conn); err != nil {
			return 0, err
		}
		after, err := measure.EndedCPU(b.Data.Server.PID())
		used := after - before + cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		return float64(size(database)) / used.Seconds(), err
	}})
	if err != nil {
		return err
	}
	wall.Rounds = wall.Rounds[1:] // the first warmed up
	result.Series = slices.Concat(series, []measure.Series{wall})
	result.Checks = []report.Check{{What: "entries a second a core", Value: series[0].Median(), Unit: "entries/s", Target: 50_000}}
	result.Note("A trail of %d entries, by the CPU of the program, from its start to its end, and of its backends.", size(database))
	return nil
}

// gone waits until the backends of a verification have ended, so that their CPU is counted.
func gone(ctx context.Context, conn *pgx.Conn) error {
	for range 100 {
		var left int
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ocore-audit verify'").Scan(&left); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond) // a backend ends a little after it leaves the list
		if left == 0 {
			return nil
		}
	}
	return errors.New("backends of the verification don't end")
}

// provability is what of a batch's CPU goes into leaves and the tree.
func provability(ctx context.Context, b *Bench, result *report.Result) (failed error) {
	const each = 1000
	database, drop, err := b.scratch(ctx, "scratch_tree")
	if err != nil {
		return err
	}
	defer func() {
		if err := errors.Join(b.stopIfRunning("signing "+database.Name), drop()); failed == nil {
			failed = err
		}
	}()
	s, err := b.signing(ctx, database)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(3, 3))
	next, err := s.batchesOf(random, each)
	if err != nil {
		return err
	}
	texts, err := sealedTexts(random, 20*each)
	if err != nil {
		return err
	}
	tree := treeCost{texts}
	statement, err := measure.Connect(ctx, database.SuperuserURL())
	if err != nil {
		return err
	}
	defer statement.Close(ctx)
	series, err := measure.Interleave(ctx, b.Rounds, "µs of CPU an entry",
		measure.Side{Name: "a batch, service and backends", Run: func(ctx context.Context) (float64, error) { return s.batchCPU(ctx, each, next) }},
		measure.Side{Name: "leaves and tree", Run: func(context.Context) (float64, error) { return tree.compute() }},
		measure.Side{Name: "tiles, in the database", Run: func(ctx context.Context) (float64, error) { return tileCPU(ctx, statement) }})
	if err != nil {
		return err
	}
	share := make([]float64, b.Rounds)
	for i := range share {
		share[i] = 100 * (series[1].Rounds[i] + series[2].Rounds[i]) / series[0].Rounds[i]
	}
	result.Series = series
	result.Checks = []report.Check{{What: "of the CPU of a batch of 1,000", Value: measure.Median(share), Unit: "%", Target: 15, AtMost: true}}
	result.Note("The batch is what the service and its backends run while four connections record. Leaves and tree are salts, commitments, leaf hashes, frontier, tiles and roots of the same entries, made alone in one process; and what a backend runs to read a tile's older hashes and to store a tile. What the columns of salts and leaf hashes add to an insert (about 210 bytes of 1,170) is not in it.")
	return nil
}

func (b *Bench) stopIfRunning(name string) error {
	if b.services[name] == nil {
		return nil
	}
	return b.stop(name)
}

// batchCPU is what an entry of batches costs the service and its backends.
func (s *Service) batchCPU(ctx context.Context, each int, next load.Requests) (float64, error) {
	var recorded float64
	before, err := measure.CPU(s.PID())
	if err != nil {
		return 0, err
	}
	backends, err := s.backendCPU(ctx, func() error {
		r, err := load.Closed(ctx, s.Address, writers, s.bench.Round, next)
		recorded = float64(r.Requests) * float64(each)
		return err
	})
	if err != nil {
		return 0, err
	}
	after, err := measure.CPU(s.PID())
	return (backends + microseconds(after-before)) / recorded, err
}

// sealedTexts are entries as the service would store them.
func sealedTexts(random *rand.Rand, n int) ([][]byte, error) {
	texts := make([][]byte, n)
	for i := range texts {
		entry, err := audit.Admit(dataset.Draft(random, dataset.Large), "")
		if err != nil {
			return nil, err
		}
		texts[i] = entry.Seal("bench", time.Time{})
	}
	return texts, nil
}

// treeCost computes what a writer does for the tree, batch by batch.
type treeCost struct{ texts [][]byte }

// compute returns the microseconds of CPU that an entry takes.
func (t treeCost) compute() (float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := measure.CPU(os.Getpid())
	if err != nil {
		return 0, err
	}
	tree, err := merkle.Open(0, nil)
	if err != nil {
		return 0, err
	}
	var tile []byte
	for i, text := range t.texts {
		sealed, err := audit.NewSealed(dataset.Large, text)
		if err != nil {
			return 0, err
		}
		hash := merkle.LeafHash(sealed.Leaf(time.Now()))
		if err := tree.Append(hash); err != nil {
			return 0, err
		}
		if tile = append(tile, hash...); len(tile) == merkle.TileWidth*merkle.HashSize {
			if _, err := merkle.TileRoot(tile); err != nil {
				return 0, err
			}
			tile = tile[:0]
		}
		if i%1000 == 999 {
			if _, err := tree.Root(); err != nil {
				return 0, err
			}
			tree.Frontier()
		}
	}
	after, err := measure.CPU(os.Getpid())
	return microseconds(after-before) / float64(len(t.texts)), err
}

// tileCPU is what a backend runs for an entry's part of a tile: half of a tile's hashes were
// stored before the batch that finishes it.
func tileCPU(ctx context.Context, statement *measure.Statement) (float64, error) {
	const tiles = 200
	sum := 0.0
	for range tiles {
		read, err := statement.CPU(ctx, "SELECT leaf_hash FROM entries WHERE organization = $1 AND position >= $2 AND position < $3 ORDER BY position", dataset.Large, 1024, 1024+merkle.TileWidth/2)
		if err != nil {
			return 0, err
		}
		stored, err := statement.CPU(ctx, "INSERT INTO tiles (organization, level, index, hashes, root) SELECT 'measured', 0, coalesce(max(index) + 1, 0), $1, $2 FROM tiles WHERE organization = 'measured' AND level = 0",
			make([]byte, merkle.TileWidth*merkle.HashSize), make([]byte, merkle.HashSize))
		if err != nil {
			return 0, err
		}
		sum += read + stored
	}
	return sum / (tiles * merkle.TileWidth), nil
}
