package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// BinEnv names the environment variable that points at a folder with postgres and initdb.
// If it is set, nothing else is tried.
const BinEnv = "OCORE_AUDIT_POSTGRES_BIN"

// oldest is the first major version that will do.
const oldest = 15

// usualFolders are where distributions and installers put what isn't on the PATH, because
// several versions can live beside each other.
var usualFolders = []string{
	"/usr/lib/postgresql/*/bin",   // Debian, Ubuntu
	"/usr/pgsql-*/bin",            // PostgreSQL's packages for Red Hat and its kin
	"/usr/lib/postgresql*/bin",    // SUSE
	"/usr/libexec/postgresql*",    // Alpine
	"/usr/lib64/postgresql-*/bin", // Gentoo
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
	"/opt/local/lib/postgresql*/bin", // MacPorts
	"/usr/local/pgsql/bin",           // built from source
}

// binaries is a folder with a PostgreSQL that works.
type binaries struct {
	dir     string
	version string
	major   int
}

func (b binaries) program(name string) string { return filepath.Join(b.dir, name) }

// finder looks for binaries that user can run: in one chosen folder, or else on the PATH,
// in the usual folders, in the cache, in the repository.
type finder struct {
	user       account
	log        *slog.Logger
	chosen     string   // the one folder to look in, if set
	path       []string // in order of preference
	usual      []string // the newest version wins
	cache      string   // where a fetched one is kept
	repository string   // "" for the library's own
}

func newFinder(user account, log *slog.Logger) finder {
	f := finder{
		user:   user,
		log:    log,
		chosen: os.Getenv(BinEnv),
		path:   filepath.SplitList(os.Getenv("PATH")),
		cache:  cacheFolder(user),
	}
	for _, pattern := range usualFolders {
		found, _ := filepath.Glob(pattern)
		f.usual = append(f.usual, found...)
	}
	return f
}

// find returns binaries of the given major version, or of any that will do if it is 0.
func (f finder) find(ctx context.Context, major int) (binaries, error) {
	if f.chosen != "" {
		b, err := f.inspect(ctx, f.chosen, major)
		if err != nil {
			err = fmt.Errorf("%w in %s, the folder that %s names: %w", ErrNoBinaries, f.chosen, BinEnv, err)
		}
		return b, err
	}
	onPath, pathErr := f.inspectAll(ctx, f.path, major)
	if len(onPath) > 0 {
		return onPath[0], nil
	}
	usual, usualErr := f.inspectAll(ctx, f.usual, major)
	if len(usual) > 0 {
		return slices.MaxFunc(usual, func(a, b binaries) int { return a.major - b.major }), nil
	}
	b, err := f.fetch(ctx, major)
	if err != nil {
		return binaries{}, noBinaries(major, errors.Join(pathErr, usualErr, err))
	}
	return b, nil
}

func noBinaries(major int, why error) error {
	return fmt.Errorf("%w: need %s; install it (apt-get install postgresql, dnf install postgresql-server, or brew install postgresql@17), "+
		"or set %s to a folder with postgres and initdb\n%w", ErrNoBinaries, wanted(major), BinEnv, why)
}

func wanted(major int) string {
	if major == 0 {
		return fmt.Sprintf("version %d or later", oldest)
	}
	return fmt.Sprintf("version %d, which made the data", major)
}

// inspectAll returns what works, and why anything else that exists doesn't.
func (f finder) inspectAll(ctx context.Context, dirs []string, major int) ([]binaries, error) {
	var good []binaries
	var bad []error
	for _, dir := range dirs {
		b, err := f.inspect(ctx, dir, major)
		switch {
		case err == nil:
			good = append(good, b)
		case !errors.Is(err, fs.ErrNotExist):
			bad = append(bad, err)
		}
	}
	return good, errors.Join(bad...)
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// inspect runs the postgres in dir for its version, as the user that is to run the server:
// who can't run it now couldn't later. PATH often holds a symbolic link to postgres alone, so
// initdb is looked for beside the real file.
func (f finder) inspect(ctx context.Context, dir string, major int) (binaries, error) {
	program, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	if err != nil {
		return binaries{}, err
	}
	dir, err = filepath.Abs(filepath.Dir(program))
	if err != nil {
		return binaries{}, err
	}
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return binaries{}, fmt.Errorf("%s has postgres but no initdb: install the server package", dir)
	}
	out, err := output(f.user.command(ctx, "/", filepath.Join(dir, "postgres"), "--version"))
	if err != nil {
		return binaries{}, fmt.Errorf("run %s as %s: %w", program, f.user.name, err)
	}
	found := versionPattern.FindStringSubmatch(out)
	if found == nil {
		return binaries{}, fmt.Errorf("%s isn't PostgreSQL: it says %q", program, strings.TrimSpace(out))
	}
	b := binaries{dir: dir, version: found[1]}
	b.major, _ = strconv.Atoi(found[2])
	if b.major < oldest || major != 0 && b.major != major {
		return binaries{}, fmt.Errorf("%s is version %s; need %s", program, b.version, wanted(major))
	}
	return b, nil
}
