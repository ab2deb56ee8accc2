package audit_test

import (
	"bytes"
	"slices"
	"testing"

	"ocore.dev/audit/internal/audit"
)

func TestSaltsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	for _, v := range leafVectors {
		salts := audit.NewSalts(v.organization, []byte(v.text))
		object := audit.AppendSalts(nil, salts)
		again, err := audit.ParseSalts(object)
		if err != nil || !bytes.Equal(again, salts) {
			t.Errorf("%s: %s: %x, %v, want %x", v.name, object, again, err, salts)
		}
		if names := audit.Committed(v.organization, []byte(v.text)); !slices.Equal(names, audit.Salted(salts)) {
			t.Errorf("%s: %v are salted of %v", v.name, audit.Salted(salts), names)
		}
	}
	const want = `{"userId":"EBESExQVFhcYGRobHB0eHw","userName":"ICEiIyQlJicoKSorLC0uLw"}`
	if got := audit.AppendSalts(nil, fixedSalts()[:34]); string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := audit.AppendSalts(nil, nil); string(got) != "{}" {
		t.Errorf("no salts are %s", got)
	}
}

func TestSaltsOfAnotherFormAreRefused(t *testing.T) {
	t.Parallel()
	for _, object := range []string{
		``, `[]`, `null`, `{"userId":5}`, `{"userId":null}`, `{"action":"EBESExQVFhcYGRobHB0eHw"}`, `{"userID":"EBESExQVFhcYGRobHB0eHw"}`, `{"userId":""}`,
		`{"userId":"EBESExQVFhcYGRobHB0eHw=="}`, `{"userId":"EBESExQVFhcYGRobHB0eHx"}`, `{"userId":"EBESExQVFhcYGRobHB0e"}`, `{"userId":"EBESExQVFhcYGRobHB0eHwAA"}`,
		`{"userId":"EBESExQVFhcYGRobHB0e+w"}`, `{"userId":"EBESExQV\nFhcYGRobHB0eHw"}`,
	} {
		if salts, err := audit.ParseSalts([]byte(object)); err == nil {
			t.Errorf("%s: %x", object, salts)
		}
	}
}
