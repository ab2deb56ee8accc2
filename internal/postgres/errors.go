package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"ocore.dev/audit/internal/audit"
)

// errTrail is what keeps a trail itself from growing, rather than the database's state.
var errTrail = errors.New("trail")

// translate turns the driver's errors into the domain's, once. What the database is at
// fault for, and another try may mend, is [audit.ErrUnavailable]; the rest stays unknown
// and is a defect of ours.
func translate(doing string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, errTrail) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && !passing(refused.Code) {
		if refused.Code == undefinedTable {
			err = fmt.Errorf("%w: %w", errSchema, err)
		}
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, audit.ErrUnavailable, err)
}

const undefinedTable = "42P01"

// passing reports the SQLSTATE classes that are about the server's state rather than
// the statement: connections, resources, intervention, rollback, failing I/O.
func passing(code string) bool {
	for _, class := range []string{"08", "25", "40", "53", "55", "57", "58"} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return false
}

// badURL says what is wrong with a database URL, if anything is, without showing it: it
// may hold a password. One with an unescaped slash in it can pass for a database's name.
func badURL(config *pgx.ConnConfig, err error) error {
	if err == nil && !strings.Contains(config.Database, "@") {
		return nil
	}
	return errors.New("the database URL is not a PostgreSQL URL or keyword string (in a URL, percent-encode the password's special characters)")
}
