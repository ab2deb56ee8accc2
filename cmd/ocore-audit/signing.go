package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ocore.dev/audit/internal/audit"
	"ocore.dev/audit/internal/postgres"
	"ocore.dev/audit/internal/proof"
)

const defaultOrigins = "audit.ocore.dev/trails"

// signingFlags say who signs checkpoints, and where the newest are kept.
type signingFlags struct {
	keyFile, origins, folder string
}

func (s *signingFlags) add(c *cobra.Command) {
	s.addKeys(c)
	c.Flags().StringVar(&s.folder, "checkpoint-dir", "", "folder, outside of the database, that keeps each trail's newest checkpoint")
}

func (s *signingFlags) addKeys(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.keyFile, "signing-key-file", "", "PEM file of Ed25519 keys: each PRIVATE KEY signs checkpoints, each PUBLIC KEY signed before")
	f.StringVar(&s.origins, "trail-origins", defaultOrigins, "what begins the origin of every trail; it is signed, so it must never change")
}

func (s *signingFlags) keys() (*proof.SigningKeys, error) {
	text, err := os.ReadFile(s.keyFile)
	if err != nil {
		return nil, usage("--signing-key-file: %s", err)
	}
	keys, err := proof.ReadSigningKeys(s.origins, text)
	if err != nil {
		return nil, usage("--signing-key-file %s: %s", s.keyFile, err)
	}
	return keys, nil
}

// signing is what an instance needs to prove entries and, with a worker, to sign.
type signing struct {
	keys *proof.SigningKeys // nil: nothing can be proved
	kept proof.Kept         // nil: nothing is kept outside of the database
}

func (s *signingFlags) open() (signing, error) {
	if s.keyFile == "" {
		return signing{}, nil
	}
	keys, err := s.keys()
	if err != nil || s.folder == "" {
		return signing{keys: keys}, err
	}
	if err := os.MkdirAll(s.folder, 0o700); err != nil {
		return signing{}, usage("--checkpoint-dir: %s", err)
	}
	return signing{keys, proof.KeptFolder(s.folder)}, nil
}

// warn says what can't be detected.
func (s signing) warn(log *slog.Logger) {
	switch {
	case s.keys == nil:
		log.Warn("no --signing-key-file: no checkpoint is signed and no entry can be proved here; whoever can write the database can change history unseen")
	case s.kept == nil:
		log.Warn("no --checkpoint-dir: it can't be detected here when an old copy of the database is restored, or its checkpoints are deleted with the entries behind them")
	}
}

// prover proves from store; with a worker and a private key it signs as well.
func (s signing) prover(store *postgres.Store, worker *postgres.Worker, log *slog.Logger) (*proof.Prover, *proof.Signer) {
	if s.keys == nil {
		return nil, nil
	}
	if worker == nil || !s.keys.CanSign() {
		return proof.NewProver(store, s.keys, nil), nil
	}
	signer := proof.NewSigner(worker, s.keys, s.kept, log)
	return proof.NewProver(store, s.keys, signer), signer
}

// makeSigningKey makes the data folder's key on the first start.
func (o own) makeSigningKey() (string, error) {
	path := filepath.Join(o.dir, signingKeyFile)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return path, err
	}
	return path, writeNewKey(path)
}

// writeNewKey writes a new key that its owner alone can read; never over a file.
func writeNewKey(path string) error {
	text, err := proof.NewSigningKeyFile()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}

func newKeys() *cobra.Command {
	var flags signingFlags
	var dataDir, organization string
	c := &cobra.Command{
		Use:   "keys",
		Short: "Print the keys that verify a trail's checkpoints",
		Long: `Print the keys that verify the checkpoints of an organization's trail, one a line in the
form of c2sp.org/signed-note, for "ocore-audit verify --key" and other tools. They are made
of the signing key's public half and the trail's origin. Give them to auditors by a way
that doesn't lead through the service: a key fetched from whoever is to be checked proves
less.`,
		Example: "  ocore-audit keys --organization acme\n  ocore-audit keys new signing.key",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !audit.ValidOrganization(organization) && organization != audit.AdminOrganization {
				return usage("--organization %q can't be an organization", organization)
			}
			if flags.keyFile == "" {
				flags.keyFile = filepath.Join(dataDir, signingKeyFile)
			}
			keys, err := flags.keys()
			if err != nil {
				return err
			}
			verifiers, err := keys.Verifiers(organization)
			for _, key := range verifiers {
				fmt.Fprintln(c.OutOrStdout(), key)
			}
			return err
		},
	}
	flags.addKeys(c)
	c.Flags().StringVar(&dataDir, "data-dir", ".data", "folder whose own signing key is taken without --signing-key-file")
	c.Flags().StringVar(&organization, "organization", ownOrganization, "organization of the trail; "+audit.AdminOrganization+" for the admin trail")
	c.AddCommand(newKeysNew())
	return c
}

func newKeysNew() *cobra.Command {
	return &cobra.Command{
		Use:   "new FILE",
		Short: "Make a signing key, in a new file that its owner alone can read",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, arguments []string) error {
			if err := writeNewKey(arguments[0]); err != nil {
				return usage("%s", err)
			}
			return nil
		},
	}
}
