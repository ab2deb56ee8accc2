package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"ocore.dev/audit/internal/proof"
)

func newMirror() *cobra.Command {
	var service exportFlags
	var trusted verifyFlags
	c := &cobra.Command{
		Use:   "mirror FOLDER",
		Short: "Write a trail's tree as static files, for tools that send no token",
		Long: `Write the tree of an organization's trail as the static files of c2sp.org/tlog-tiles:
checkpoint, tiles, and the leaves, which hold ids, actions and times in plain and everything
else as commitments. Any client of transparency logs reads them, from the folder or from
behind a plain web server.

Leaves alone are fetched; every hash above them is computed here and must lead to the
checkpoint's root, and to that of the checkpoint that was mirrored before. What is there
already is checked, and not fetched again. The checkpoint is written last. With keys, given
by --key or --keys-file, it must be signed by one of them.

Exit codes: 0 mirrored; 1 failed; 2 wrong usage; 5 the service's tree is not the signed one,
or not the one that was mirrored before.`,
		Example: `  ocore-audit mirror tree/ --keys-file keys.txt
  ocore-audit mirror /srv/tlog/acme --url https://audit.acme.example --token "$TOKEN" --organization acme`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			checkpoint, err := mirror(c.Context(), args[0], &service, &trusted)
			if err == nil {
				said := "signed"
				if len(trusted.keys) == 0 && trusted.keysFile == "" {
					said = "its signature was not checked: give the keys that you trust with --keys-file"
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %d entries, root %x, %s\n", checkpoint.Origin, checkpoint.Size, checkpoint.Root, said)
			}
			if mismatched(err) {
				return &exitError{exitMismatch, fmt.Errorf("%s: NOT MIRRORED: %w", args[0], err)}
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&service.url, "url", "http://127.0.0.1:8080", "where the service is")
	f.StringVar(&service.token, "token", "", "bearer token; without one, a development token of the data folder")
	f.StringVar(&service.dataDir, "data-dir", ".data", "folder whose development secret signs that token")
	f.StringVar(&service.organization, "organization", "", "organization of the trail")
	f.StringSliceVar(&trusted.keys, "key", nil, "verifier key to trust, name+hash+base64; may be repeated")
	f.StringVar(&trusted.keysFile, "keys-file", "", "file with verifier keys to trust, one a line")
	return c
}

func mirror(ctx context.Context, dir string, service *exportFlags, trusted *verifyFlags) (proof.Checkpoint, error) {
	client, err := service.client()
	if err != nil {
		return proof.Checkpoint{}, err
	}
	var keys *proof.Keys
	if len(trusted.keys) > 0 || trusted.keysFile != "" {
		read, err := trusted.trusted()
		if err != nil {
			return proof.Checkpoint{}, err
		}
		keys = &read
	}
	organization := cmp.Or(service.organization, ownOrganization)
	bar := newBar("mirroring", -1)
	return proof.Mirror(ctx, func(ctx context.Context, path string) ([]byte, error) {
		return client.TreeFile(ctx, organization, path)
	}, dir, keys, func(done, of int64) {
		if bar != nil {
			bar.ChangeMax64(of)
			_ = bar.Set64(done)
		}
	})
}
