package measure

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Pgbench runs a script by PostgreSQL's own load generator, which is as near to the
// database as a client gets.
type Pgbench struct {
	BinDir    string // where PostgreSQL's programs are
	URL       string
	Script    string
	Variables map[string]string
	Clients   int
}

var tps = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)

// Run returns transactions a second.
func (p Pgbench) Run(ctx context.Context, d time.Duration) (float64, error) {
	file, err := os.CreateTemp("", "*.pgbench")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(p.Script)
	file.Close()
	if err != nil {
		return 0, err
	}
	args := []string{"-M", "prepared", "-n", "-f", file.Name(), "-c", strconv.Itoa(p.Clients), "-j", "2", "-T", strconv.Itoa(max(1, int(d.Seconds())))}
	for name, value := range p.Variables {
		args = append(args, "-D", name+"="+value)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(p.BinDir, "pgbench"), args...)
	at, err := url.Parse(p.URL)
	if err != nil {
		return 0, err
	}
	secret, _ := at.User.Password()
	cmd.Env = append(os.Environ(), "PGHOST="+at.Hostname(), "PGPORT="+at.Port(), "PGUSER="+at.User.Username(),
		"PGPASSWORD="+secret, "PGDATABASE="+strings.TrimPrefix(at.Path, "/"), "PGSSLMODE=disable")
	output, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("pgbench: %w\n%s", err, output)
	}
	found := tps.FindSubmatch(output)
	if found == nil || strings.Contains(string(output), "aborted") {
		return 0, fmt.Errorf("pgbench said:\n%s", output)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}
