package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
)

// knownHeads remembers which organizations have a head, so that an append to a known
// trail costs no statement for it. Heads are never deleted.
type knownHeads struct{ made sync.Map }

func (k *knownHeads) forget(grown []*growth) {
	for _, g := range grown {
		k.made.Delete(g.organization)
	}
}

func (k *knownHeads) ensure(ctx context.Context, pool *pgxpool.Pool, grown []*growth) error {
	var p pipeline
	for _, g := range grown {
		if _, made := k.made.Load(g.organization); !made {
			p.in(ctx, g.organization)
			exec(&p, queries.HeadEnsure(ctx, &p, []string{g.organization}).Exec)
		}
	}
	if len(p.reads) == 0 {
		return nil
	}
	if err := p.run(ctx, pool); err != nil {
		return err
	}
	for _, g := range grown {
		k.made.Store(g.organization, struct{}{})
	}
	return nil
}
