package trail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxTreeFile is the largest bundle of leaves: 256 behind their lengths, in two bytes each.
const maxTreeFile = 256 * (2 + 1<<16)

// TreeFile reads a file of a trail's tree in the form of c2sp.org/tlog-tiles, by its path such as
// "checkpoint" or "tile/0/000". The organization is one of the token's; "_admin" is the
// platform's admin trail.
func (c *Client) TreeFile(ctx context.Context, organization, path string) (content []byte, err error) {
	root, is := strings.CutSuffix(c.base, "api/")
	if !is {
		return nil, errors.New("trail: the trees stand beside the base path /api, which this client's URL doesn't end in")
	}
	err = c.send(ctx, http.StatusOK, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, root+"tlog/"+organization+"/"+path, nil)
	}, func(response *http.Response) error {
		defer response.Body.Close()
		if content, err = io.ReadAll(io.LimitReader(response.Body, maxTreeFile+1)); err != nil {
			return &lost{err}
		}
		if len(content) > maxTreeFile {
			return fmt.Errorf("trail: %s is larger than any file of a tree", path)
		}
		return nil
	})
	return content, err
}
