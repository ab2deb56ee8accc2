package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// fetchable holds the release that the library pins for each major version; 0 stands for
// whichever is best.
var fetchable = map[int]embeddedpostgres.PostgresVersion{
	0:  embeddedpostgres.V18,
	15: embeddedpostgres.V15,
	16: embeddedpostgres.V16,
	17: embeddedpostgres.V17,
	18: embeddedpostgres.V18,
}

// fetch returns binaries from the cache, downloading them the first time. The download
// can't be interrupted: when ctx ends it goes on, for a later start to find.
func (f finder) fetch(ctx context.Context, major int) (binaries, error) {
	version, ok := fetchable[major]
	if !ok {
		return binaries{}, fmt.Errorf("version %d can't be fetched", major)
	}
	if f.cache == "" {
		return binaries{}, errors.New("none can be fetched: without HOME there is no cache to keep it in")
	}
	f.log.LogAttrs(ctx, slog.LevelInfo, "no PostgreSQL on this machine; using one that is fetched once",
		slog.String("version", string(version)), slog.String("into", f.cache))
	done := make(chan error, 1)
	dir := filepath.Join(f.cache, "postgres-"+string(version))
	go func() { done <- fetchInto(dir, f.repository, version) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return binaries{}, fmt.Errorf("fetch PostgreSQL %s: %w", version, err)
	}
	return f.inspect(ctx, filepath.Join(dir, "bin"), major)
}

// cacheFolder is the user's, or "". Root's own would be out of reach for the user that runs
// PostgreSQL.
func cacheFolder(user account) string {
	if user.switched {
		return "/var/cache/ocore-audit"
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "ocore-audit")
}

// fetchInto makes dir whole or not at all, and once, whoever else tries at the same time.
func fetchInto(dir, repository string, version embeddedpostgres.PostgresVersion) error {
	cache := filepath.Dir(dir)
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	lock, err := os.Open(cache)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	scratch := dir + ".new"
	if err := os.RemoveAll(scratch); err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	unpacked := filepath.Join(scratch, "unpacked")
	if err := unpack(scratch, unpacked, repository, version); err != nil {
		return err
	}
	return os.Rename(unpacked, dir)
}

// unpack has the library download an archive, compare it with the SHA-256 published
// beside it, and unpack it. The library can't do only that: it goes on to start a server,
// with pg_ctl, which would outlive us, and as root initdb would refuse. So its data folder
// gets a name that os.RemoveAll refuses by contract, which is its next step. It creates its
// runtime folder between unpacking and that step: the folder tells whether unpacking is done.
func unpack(scratch, target, repository string, version embeddedpostgres.PostgresVersion) error {
	reached := filepath.Join(scratch, "runtime")
	config := embeddedpostgres.DefaultConfig()
	if repository != "" {
		config = config.BinaryRepositoryURL(repository)
	}
	err := embeddedpostgres.NewDatabase(config.
		Version(version).
		CachePath(filepath.Join(scratch, "archive")).
		BinariesPath(target).
		RuntimePath(reached).
		DataPath(reached + "/.").
		Port(0).
		Logger(io.Discard)).
		Start()
	if _, statErr := os.Stat(reached); statErr != nil {
		return err
	}
	return nil
}
