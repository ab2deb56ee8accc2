package auth_test

import (
	"testing"

	"ocore.dev/audit/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
