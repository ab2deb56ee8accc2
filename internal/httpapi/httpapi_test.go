package httpapi_test

import (
	"net/http"
	"testing"

	"ocore.dev/audit/gen/client"
	"ocore.dev/audit/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestRecordThenRead(t *testing.T) {
	t.Parallel()
	s := testkit.NewService(t)
	ada := s.Client(t, testkit.Member("acme"))
	recorded, err := ada.CreateAuditLogWithResponse(t.Context(), nil, client.NewAuditLog{Action: "server.created", ResourceType: "server"})
	if err != nil {
		t.Fatal(err)
	}
	if recorded.StatusCode() != http.StatusCreated {
		t.Fatal(recorded.Status(), string(recorded.Body))
	}
	list, err := ada.ListAuditLogsWithResponse(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if list.JSON200 == nil || list.JSON200.Total != 1 || list.JSON200.Items[0].ID != recorded.JSON201.ID {
		t.Fatal(string(list.Body))
	}
}
