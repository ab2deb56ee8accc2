package audit

import (
	"testing"
	"time"

	"ocore.dev/audit/internal/merkle"
)

// usual is an entry of the usual size.
func usual() Draft {
	return Draft{
		ID: "0199f3c2-7d5e-7c31-9a51-3f8f0f7c2b11", Action: "deployment.triggered", ResourceType: "deployment",
		ResourceID: "5b0c2f0e-6a0e-4a55-9d0e-0d7d9f7a1c11", ResourceName: "checkout-7",
		UserID: "8d1d3f52-1d59-4c43-8f2f-7f0a0a5f2a90", UserName: "Amélie Fournier",
		IPAddress: "203.0.113.112", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
		BeforeState: []byte(`{"status":"running","region":"eu-central-1","revision":118,"size":"s-2vcpu-4gb","image":"registry.example/shop:4.12.3","replicas":3,"labels":{"team":"shop","tier":"1"}}`),
		AfterState:  []byte(`{"status":"pending","region":"eu-central-1","revision":119,"size":"s-2vcpu-4gb","image":"registry.example/shop:4.13.0","replicas":3,"labels":{"team":"shop","tier":"1"}}`),
	}
}

var usualTime = time.Date(2026, 11, 23, 6, 5, 0, 123456000, time.UTC)

func usualRow(b *testing.B) Row {
	b.Helper()
	admitted, err := Admit(usual(), "")
	if err != nil {
		b.Fatal(err)
	}
	return Row{Position: 4_711_000, CreatedAt: usualTime, Text: admitted.Seal("control-plane", time.Time{})}
}

func BenchmarkAdmit(b *testing.B) {
	draft := usual()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Admit(draft, ""); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLeafHash(b *testing.B) {
	text := usualRow(b).Text
	b.ReportAllocs()
	for b.Loop() {
		leaf, err := Leaf("acme", usualTime, text, NewSalts("acme", text))
		if err != nil {
			b.Fatal(err)
		}
		merkle.LeafHash(leaf)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	row := usualRow(b)
	buffer := row.AppendJSON(nil)
	b.SetBytes(int64(len(buffer)))
	b.ReportAllocs()
	for b.Loop() {
		buffer = row.AppendJSON(buffer[:0])
	}
}

func BenchmarkAppendCSV(b *testing.B) {
	row := usualRow(b)
	buffer := row.AppendCSV(nil)
	b.SetBytes(int64(len(buffer)))
	b.ReportAllocs()
	for b.Loop() {
		buffer = row.AppendCSV(buffer[:0])
	}
}

func BenchmarkCursor(b *testing.B) {
	filter := Filter{Action: "deployment.triggered", UserID: usual().UserID, From: usualTime, To: usualTime.AddDate(0, 1, 0)}
	c := cursor{Organization: "acme", Filter: filter, Size: 5_000_000, Before: 4_711_000, Given: 50}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeCursor(c.encode(), "acme", Filter{}); err != nil {
			b.Fatal(err)
		}
	}
}
