package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"ocore.dev/audit/internal/audit"
)

// translate turns the driver's errors into the domain's, once. What the database is at
// fault for, and another try may mend, is [audit.ErrUnavailable]; the rest stays unknown
// and is a defect of ours.
func translate(doing string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && !passing(refused.Code) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, audit.ErrUnavailable, err)
}

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

// redact keeps a database URL's password out of error texts.
func redact(err error) error {
	var bad *pgconn.ParseConfigError
	if errors.As(err, &bad) {
		return errors.New("is not a PostgreSQL URL or keyword string")
	}
	return err
}
