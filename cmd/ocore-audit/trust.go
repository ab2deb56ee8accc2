package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ocore.dev/audit/internal/auth"
)

// trustFlags say whose tokens are accepted: one issuer by flags, or any number by file.
type trustFlags struct {
	config, secretFile, keySetFile, keySetURL, issuer, audience string
	discover                                                    bool
}

func (t *trustFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&t.config, "auth-config", "", "JSON file of trusted issuers, for several of them or other claim names")
	f.StringVar(&t.secretFile, "auth-secret-file", "", "file with the HS256 secret of the one trusted issuer")
	f.StringVar(&t.keySetFile, "auth-key-set-file", "", "file with the JWK set (RS256, ES256, EdDSA) of the one trusted issuer")
	f.StringVar(&t.keySetURL, "auth-key-set-url", "", "URL at which the one trusted issuer publishes its JWK set")
	f.BoolVar(&t.discover, "auth-discover", false, "find that URL at --auth-issuer, by OpenID Connect Discovery")
	f.StringVar(&t.issuer, "auth-issuer", "", "the iss that tokens of the one trusted issuer must have; empty takes any")
	f.StringVar(&t.audience, "auth-audience", "", "the aud that tokens of the one trusted issuer must have; empty takes any")
}

// given reports whether a production key source is configured.
func (t *trustFlags) given() bool {
	return t.config != "" || t.sources() > 0
}

// sources counts the ways by which the one issuer's keys are given.
func (t *trustFlags) sources() int {
	sources := 0
	for _, given := range []bool{t.secretFile != "", t.keySetFile != "", t.keySetURL != "", t.discover} {
		if given {
			sources++
		}
	}
	return sources
}

func (t *trustFlags) issuers() ([]auth.Issuer, error) {
	switch {
	case t.config != "" && (t.sources() > 0 || t.issuer != "" || t.audience != ""):
		return nil, usage("--auth-config stands alone: move the other --auth settings into its file")
	case t.config != "":
		file, err := os.Open(t.config)
		if err != nil {
			return nil, usage("--auth-config: %s", err)
		}
		defer file.Close()
		issuers, err := auth.ParseTrust(file)
		if err != nil {
			return nil, usage("--auth-config: %s", err)
		}
		return issuers, nil
	case t.sources() == 0:
		return nil, usage("whose tokens shall be accepted? Set --auth-config, --auth-discover, --auth-key-set-url, --auth-key-set-file or --auth-secret-file")
	case t.sources() > 1:
		return nil, usage("--auth-discover, --auth-key-set-url, --auth-key-set-file and --auth-secret-file exclude each other; --auth-config takes several issuers")
	}
	issuer := auth.Issuer{
		Issuer: t.issuer, Audience: t.audience, Algorithms: []string{"RS256", "ES256", "EdDSA"},
		SecretFile: t.secretFile, KeySetFile: t.keySetFile, KeySetURL: t.keySetURL, Discover: t.discover,
	}
	if t.secretFile != "" {
		issuer.Algorithms = []string{"HS256"}
	}
	return []auth.Issuer{issuer}, nil
}

func (t *trustFlags) verifier(log *slog.Logger) (*auth.Verifier, error) {
	issuers, err := t.issuers()
	if err != nil {
		return nil, err
	}
	verifier, err := auth.NewVerifier(issuers, time.Now)
	if err != nil {
		return nil, usage("%s", err)
	}
	for _, key := range verifier.Ignored() {
		log.LogAttrs(context.Background(), slog.LevelWarn, "a key can't verify tokens here and is ignored", slog.String("key", key))
	}
	return verifier, nil
}

// developmentIssuer marks tokens that `token` made.
const developmentIssuer = "ocore-audit-development"

func developmentVerifier(secret []byte) (*auth.Verifier, error) {
	return auth.NewVerifier([]auth.Issuer{{
		Issuer: developmentIssuer, Algorithms: []string{"HS256"}, Secret: secret, MaxLifetime: maxDevelopmentLifetime.String(),
	}}, time.Now)
}
