// Command ocore-audit is the audit trail service and its tools. Each subcommand has a
// file of its own; settings.go says how flags and environment variables meet, own.go how
// the service comes by a PostgreSQL of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes, as `ocore-audit --help` explains them.
const (
	exitOK        = 0
	exitFailed    = 1
	exitUsage     = 2
	exitRejected  = 3
	exitDifferent = 4
	exitMismatch  = 5
)

// exitError ends the program with a code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func main() {
	os.Exit(run(os.Args[1:]))
}

// run stops gracefully at the first signal; a second one ends the program at once.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	understood := false
	root := newRoot(&understood)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !understood {
		err = &exitError{exitUsage, err} // cobra's own: an unknown command, too many arguments
	}
	fmt.Fprintln(os.Stderr, "ocore-audit:", err)
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return exitFailed
}
