package testkit

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"ocore.dev/audit/gen/client"
	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/auth"
	"ocore.dev/audit/internal/docs"
	"ocore.dev/audit/internal/httpapi"
	"ocore.dev/audit/internal/metrics"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/proof"
	"ocore.dev/audit/internal/viewer"
)

// Service is a running service over a database of its own, reached over real HTTP.
type Service struct {
	Database Database
	Store    *postgres.Store
	Keys     *proof.SigningKeys
	URL      string // with the base path
	HTTP     *http.Client
	Metrics  *metrics.Metrics
	Drain    func() // ends what has no end of its own, now and later, as a service does that stops
	checker  *checker
}

// issuer and secret are of the tokens that the service trusts.
const issuer = "testkit"

var secret = []byte("a secret of the tests, long enough for HS256")

// NewService starts a service; it ends with the test. Every answer that passes through
// its clients is held against both documents.
func NewService(tb testing.TB) *Service {
	tb.Helper()
	return ServeDatabase(tb, NewDatabase(tb))
}

// ServeDatabase starts a service, perhaps one more, over a database. What changes is
// applied to the handler's options.
func ServeDatabase(tb testing.TB, database Database, changes ...func(*httpapi.Options)) *Service {
	tb.Helper()
	return ServeTrusting(tb, database, newVerifier(tb), slog.New(slog.DiscardHandler), changes...)
}

// ServeTrusting starts a service that trusts whom verifier trusts, and logs.
func ServeTrusting(tb testing.TB, database Database, verifier *auth.Verifier, log *slog.Logger, changes ...func(*httpapi.Options)) *Service {
	tb.Helper()
	counts := metrics.New("test")
	store := openStore(tb, postgres.Options{URL: database.ServingURL, Metrics: counts})
	signing, signer := newSigner(tb, database, log)
	return serve(tb, &Service{Database: database, Store: store, Keys: signing}, proof.NewProver(store, signing, signer), verifier, log, counts, changes...)
}

// NewServiceWithoutKey starts a service that can't sign or prove anything.
func NewServiceWithoutKey(tb testing.TB) *Service {
	tb.Helper()
	database := NewDatabase(tb)
	return serve(tb, &Service{Database: database, Store: NewStore(tb, database)}, nil, newVerifier(tb), slog.New(slog.DiscardHandler), metrics.New("test"))
}

func newVerifier(tb testing.TB) *auth.Verifier {
	tb.Helper()
	verifier, err := auth.NewVerifier([]auth.Issuer{{Issuer: issuer, Algorithms: []string{"HS256"}, Secret: secret}}, time.Now)
	if err != nil {
		tb.Fatal(err)
	}
	return verifier
}

func serve(
	tb testing.TB, s *Service, prover *proof.Prover, verifier *auth.Verifier, log *slog.Logger, counts *metrics.Metrics, changes ...func(*httpapi.Options),
) *Service {
	tb.Helper()
	trails := audit.NewService(s.Store)
	keys := audit.NewKeys(s.Store, trails)
	drain := make(chan struct{})
	s.Drain = sync.OnceFunc(func() { close(drain) })
	options := httpapi.Options{
		Drain:   drain,
		Service: trails, Keys: keys, Prover: prover, Authenticator: auth.NewDoor(verifier, keys, time.Now, log), Ready: s.Store.Ready, Docs: docs.Handler, Viewer: viewer.Handler, Log: log,
		Metrics: counts,
	}
	for _, change := range changes {
		change(&options)
	}
	handler, err := httpapi.New(options)
	if err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config = httpapi.NewServer(handler, options.Log)
	server.Start()
	tb.Cleanup(server.Close)
	tb.Cleanup(s.Drain) // before the server closes, which waits for answers
	s.URL, s.Metrics, s.checker = server.URL+httpapi.BasePath, counts, newChecker(tb)
	s.HTTP = &http.Client{Transport: &checkingTransport{s.checker, server.Client().Transport}}
	return s
}

// signingKey is one for all, as several instances of a service have the same.
var signingKey = ed25519.NewKeyFromSeed([]byte("a signing key of the tests alone"))

// newSigner signs when a checkpoint is asked for.
func newSigner(tb testing.TB, database Database, log *slog.Logger) (*proof.SigningKeys, *proof.Signer) {
	tb.Helper()
	keys, err := proof.NewSigningKeys("audit.ocore.dev/trails", []crypto.Signer{signingKey}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	worker, err := postgres.OpenWorker(tb.Context(), postgres.WorkerOptions{URL: database.WorkerURL, Log: log})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(worker.Close)
	return keys, proof.NewSigner(worker, keys, nil, log)
}

// Member is a person of the organizations who may do everything there, and nothing with
// the admin trail.
func Member(organizations ...string) audit.Principal {
	return audit.Principal{
		Issuer: issuer, Subject: "ada", Name: "Ada Lovelace", Organizations: organizations,
		Permissions: []audit.Permission{audit.ManageAuditLogs, audit.ManageAPIKeys},
	}
}

// Operator is a person of the platform, who may see and write the admin trail.
func Operator() audit.Principal {
	return audit.Principal{
		Issuer: issuer, Subject: "grace", Name: "Grace Hopper",
		Permissions: []audit.Permission{audit.ViewAdminAuditLogs, audit.CreateAdminAuditLogs},
	}
}

// Token is a real token for the principal.
func Token(tb testing.TB, p audit.Principal) string {
	tb.Helper()
	return tokenFrom(tb, p, time.Now())
}

// ExpiredToken is a token that was good an hour ago.
func ExpiredToken(tb testing.TB, p audit.Principal) string {
	tb.Helper()
	return tokenFrom(tb, p, time.Now().Add(-2*time.Hour))
}

func tokenFrom(tb testing.TB, p audit.Principal, at time.Time) string {
	tb.Helper()
	token, err := auth.NewDevelopmentToken(secret, p, at, time.Hour)
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

// Client is the generated client, calling as the principal.
func (s *Service) Client(tb testing.TB, p audit.Principal) *client.ClientWithResponses {
	tb.Helper()
	token := Token(tb, p)
	c, err := client.NewClientWithResponses(s.URL, client.WithHTTPClient(s.HTTP),
		client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+token)
			return nil
		}))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}
