package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocore.dev/audit/internal/tracing"
)

// wellKnown are the variables whose names the world has agreed on already.
var wellKnown = map[string]string{
	"database-url":         "DATABASE_URL",
	"migrate-database-url": "MIGRATE_DATABASE_URL",
	"worker-database-url":  "WORKER_DATABASE_URL",
}

// variable is the environment variable of a command's flag. --format means something
// else in each command that has it, so its variable carries the command's name.
func variable(c *cobra.Command, flag string) string {
	if name, known := wellKnown[flag]; known {
		return name
	}
	if flag == "format" {
		flag = c.Name() + "-" + flag
	}
	return "OCORE_AUDIT_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// explainVariables adds to each flag's help the variable that sets it.
func explainVariables(c *cobra.Command) {
	for _, flags := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
		flags.VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(f.Usage, "[$") {
				f.Usage += " [$" + variable(c, f.Name) + "]"
			}
		})
	}
	for _, sub := range c.Commands() {
		explainVariables(sub)
	}
}

// applyVariables sets the flags that the command line left out from the environment.
func applyVariables(c *cobra.Command) error {
	var failed error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		value, set := os.LookupEnv(variable(c, f.Name))
		if !set || value == "" || f.Changed || failed != nil {
			return
		}
		if err := c.Flags().Set(f.Name, value); err != nil {
			failed = usage("%s: %s", variable(c, f.Name), err)
		}
	})
	return failed
}

// newLog writes structured lines to standard error.
func newLog(level, format string) (*slog.Logger, error) {
	var options slog.HandlerOptions
	var parsed slog.Level
	if err := parsed.UnmarshalText([]byte(level)); err != nil {
		return nil, usage("--log-level takes debug, info, warn or error, not %q", level)
	}
	options.Level = parsed
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, &options)), nil
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, &options)), nil
	}
	return nil, usage("--log-format takes text or json, not %q", format)
}

// openTraces traces if the OTEL_* variables say so. They are no flags: everything that traces
// is told by them, and headers may hold secrets.
func openTraces(ctx context.Context, log *slog.Logger) (*tracing.Tracing, error) {
	traces, err := tracing.Open(ctx, os.Getenv, version, log)
	if err != nil {
		return nil, usage("%s", err)
	}
	return traces, nil
}

// logFlags are the settings of every long-running command.
type logFlags struct{ level, format string }

func (l *logFlags) add(c *cobra.Command, level string) {
	c.Flags().StringVar(&l.level, "log-level", level, "least severe log lines to write: debug, info, warn or error")
	c.Flags().StringVar(&l.format, "log-format", "text", "form of log lines: text or json")
}

func (l *logFlags) logger() (*slog.Logger, error) { return newLog(l.level, l.format) }

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}
