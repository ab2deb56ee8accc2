package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"ocore.dev/audit/internal/audit"
)

func TestTranslateTellsPassingFaultsFromDefects(t *testing.T) {
	t.Parallel()
	coded := func(code string) error { return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code}) }
	for _, c := range []struct {
		err         error
		unavailable bool
	}{
		{coded("08006"), true},  // connection failure
		{coded("25006"), true},  // read-only transaction: a fail-over's old primary
		{coded("40001"), true},  // serialization failure
		{coded("40P01"), true},  // deadlock
		{coded("53100"), true},  // disk full
		{coded("53300"), true},  // too many connections
		{coded("55P03"), true},  // lock not available
		{coded("57014"), true},  // statement timeout
		{coded("57P01"), true},  // terminated by an administrator
		{coded("57P03"), true},  // starting up
		{coded("58030"), true},  // I/O error
		{coded("22021"), false}, // a byte that the encoding lacks
		{coded("23505"), false}, // unique violation
		{coded("42501"), false}, // insufficient privilege
		{coded("42601"), false}, // syntax error
		{coded("42P01"), false}, // no such table
		{coded("XX001"), false}, // corrupted data
		{io.ErrUnexpectedEOF, true},
		{pgconn.ErrConnClosed, true},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, true},
		{context.DeadlineExceeded, true},
		{context.Canceled, false},
		{pgx.ErrTxCommitRollback, true},
		{(&growth{organization: "acme"}).fault(errors.New("bad frontier")), false},
	} {
		got := translate("append", c.err)
		if errors.Is(got, audit.ErrUnavailable) != c.unavailable || !errors.Is(got, c.err) {
			t.Errorf("%v became %v; unavailable should be %v", c.err, got, c.unavailable)
		}
	}
	if err := translate("append", nil); err != nil {
		t.Error(err)
	}
	if err := translate("read", coded("42P01")); !errors.Is(err, errSchema) {
		t.Errorf("a missing table became %v", err)
	}
}
