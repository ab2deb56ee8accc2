package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func newHealthcheck() *cobra.Command {
	var url string
	var live bool
	c := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running service whether it is ready, for containers without a shell",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			path := "/readyz"
			if live {
				path = "/healthz"
			}
			request, err := http.NewRequestWithContext(c.Context(), http.MethodGet, url+path, nil)
			if err != nil {
				return usage("--url: %s", err)
			}
			response, err := (&http.Client{Timeout: 5 * time.Second}).Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("%s answers %s", path, response.Status)
			}
			return nil
		},
	}
	c.Flags().StringVar(&url, "url", "http://127.0.0.1:8080", "where the service is")
	c.Flags().BoolVar(&live, "live", false, "ask only whether the process lives, not whether it is ready")
	return c
}
