package postgres_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"ocore.dev/audit/internal/testkit"
)

// statement is one of sql/queries.
type statement struct {
	name     string
	promised []string // indexes that its comment names
	either   bool     // it names them as alternatives
	worker   bool     // it is the worker's
	text     string   // with $1, $2, …
	names    []string // of the parameters
}

var (
	statementName = regexp.MustCompile(`(?m)^-- name: (\w+) :\w+$`)
	indexName     = regexp.MustCompile(`[a-z_]+_(?:pkey|idx)`)
	parameter     = regexp.MustCompile(`@(\w+)`)
)

func statements(t *testing.T) []statement {
	t.Helper()
	files, err := filepath.Glob("../../sql/queries/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var found []statement
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := statementName.FindAllStringSubmatchIndex(string(text), -1)
		for i, at := range names {
			end := len(text)
			if i+1 < len(names) {
				end = names[i+1][0]
			}
			s := statement{name: string(text[at[2]:at[3]]), worker: strings.Contains(string(text[:at[0]]), "-- Building, by the worker.")}
			var comment string
			for line := range strings.Lines(string(text[at[1]:end])) {
				if strings.HasPrefix(line, "--") {
					comment += line
				} else {
					s.text += line
				}
			}
			s.text, _, _ = strings.Cut(s.text, ";")
			_, promise, _ := strings.Cut(comment, "Index:")
			s.promised, s.either = indexName.FindAllString(promise, -1), strings.Contains(promise, ", or ")
			s.text = parameter.ReplaceAllStringFunc(s.text, func(p string) string {
				if !slices.Contains(s.names, p[1:]) {
					s.names = append(s.names, p[1:])
				}
				return fmt.Sprint("$", 1+slices.Index(s.names, p[1:]))
			})
			found = append(found, s)
		}
	}
	return found
}

// arguments are a page's near the end of a trail of that size, in SQL. A statement with
// another parameter belongs here before it can pass.
func arguments(size int) map[string]string {
	return map[string]string{
		"organization": "'org-1'", "low": fmt.Sprint(size - 8000), "high": fmt.Sprint(size), "skip": "0", "max": "50",
		"at":        fmt.Sprintf("timestamptz '2026-01-01' + interval '%d s'", size-2000),
		"positions": fmt.Sprintf("ARRAY(SELECT n * %d + 1 FROM generate_series(0, 49) n)", size/50), "id": fmt.Sprintf("'id-%d'", size-5000),
		"ids": fmt.Sprintf("ARRAY(SELECT 'id-' || n * %d FROM generate_series(0, 49) n)", size/50), "level": "0", "old_size": fmt.Sprint(size), "size": fmt.Sprint(size + 2),
		"last_created_at": "now()", "frontier": "''", "root": "''",
		"field": "1", "index": "1", "range": "30", "ranges": "ARRAY(SELECT n FROM generate_series(0, 30) n)", "upto": "3000", "above": "2950", "entries": "50", "first": "''", "prefix": "''",
	}
}

// grown is what two entries add to a trail; of more, dead rows would be in the way of the rest.
var grown = map[string]string{
	"ids": each("'new-' || n"), "created_at": each("now()"), "actions": each("'action-' || n % 10"), "resource_types": each("'type-' || n % 4"),
	"resource_ids": each("'resource-' || n"), "user_ids": each("'user-' || n"), "entries": each("'{}'"), "salts": each("'salts'::bytea"), "leaf_hashes": each("sha256('')"),
	"levels": "NULL", "indexes": "NULL", "hashes": "NULL", "roots": "NULL", "searchable": "NULL", "folded": "NULL",
}

func each(value string) string {
	return "ARRAY(SELECT " + value + " FROM generate_series(1, 2) n)"
}

// cases are each statement's own arguments, and the most buffers that it may touch, in a
// trail of any size: about a descent a look-up, a page of the heap for each of 50 rows, and
// as much again. Counts read what of a trail may have no postings.
var cases = map[string]struct {
	arguments map[string]string
	buffers   int
}{
	"HeadGet":               {nil, 8},
	"HeadLock":              {nil, 12},
	"TrailGrow":             {grown, 40},
	"PositionFrom":          {nil, 8},
	"PositionAfter":         {nil, 8},
	"EntryByID":             {nil, 12},
	"EntryKnown":            {nil, 500},
	"EntryRange":            {map[string]string{"low": "2000", "high": "2050"}, 60},
	"EntryNewest":           {nil, 60},
	"EntryMany":             {nil, 250},
	"LeafHashes":            {map[string]string{"low": "2048", "high": "2303"}, 60},
	"TileRoots":             {map[string]string{"low": "0", "high": "30"}, 30},
	"ActionTotal":           {map[string]string{"value": "'action-1'"}, 30},
	"ResourceTypeTotal":     {map[string]string{"value": "'type-unknown'"}, 20},
	"ResourceIDTotal":       {map[string]string{"value": "'resource-1'"}, 20},
	"UserIDTotal":           {map[string]string{"value": "'user-unknown'"}, 20},
	"ActionCount":           {map[string]string{"value": "'action-1'"}, 30},
	"ActionPositions":       {map[string]string{"value": "'action-1'"}, 10},
	"ActionAmong":           {map[string]string{"value": "'action-1'"}, 200},
	"ResourceTypeCount":     {map[string]string{"value": "'type-1'"}, 40},
	"ResourceTypePositions": {map[string]string{"value": "'type-1'"}, 10},
	"ResourceTypeAmong":     {map[string]string{"value": "'type-1'"}, 200},
	"ResourceIDCount":       {map[string]string{"value": "'resource-1'", "low": "0"}, 10},
	"ResourceIDPositions":   {map[string]string{"value": "'resource-1'", "low": "0"}, 10},
	"ResourceIDAmong":       {map[string]string{"value": "'resource-1'"}, 200},
	"UserIDCount":           {map[string]string{"value": "'user-1'"}, 20},
	"UserIDPositions":       {map[string]string{"value": "'user-1'"}, 10},
	"UserIDAmong":           {map[string]string{"value": "'user-1'"}, 200},
	"SearchCount":           {map[string]string{"value": "'%NEEDLE 7%'", "low": "0", "high": "30000"}, 100},
	"SearchPositions":       {map[string]string{"value": "'%NEEDLE 7%'", "low": "0", "high": "30000"}, 100},
	"SearchAmong":           {map[string]string{"value": "'%ACTION%'", "positions": "ARRAY(SELECT n * 500 + 1 FROM generate_series(0, 49) n)"}, 250},
	"RecentSearchCount":     {map[string]string{"value": "'%ACTION%'", "low": "28976", "high": "30000"}, 60},
	"RecentSearchPositions": {map[string]string{"value": "'%ACTION%'", "low": "0", "high": "30000"}, 20},
	"ShortSearchCount":      {map[string]string{"value": "'ZQ'", "low": "0", "high": "30000"}, 1000},
	"ShortSearchPositions":  {map[string]string{"value": "'AC'", "low": "0", "high": "30000"}, 20},
	"ShortSearchAmong":      {map[string]string{"value": "'AC'", "positions": "ARRAY(SELECT n * 500 + 1 FROM generate_series(0, 49) n)"}, 250},
	"TrailExtent":           {nil, 12},
	"PositionsFrom":         {map[string]string{"times": "ARRAY(SELECT timestamptz '2026-01-01' + n * interval '40 s' FROM generate_series(0, 199) n)"}, 1000},
	"ActionRunFacets":       {nil, 60},
	"ActionFacets":          {nil, 250},
	"ActionValues":          {map[string]string{"max": "21"}, 60},
	"ResourceTypeRunFacets": {nil, 60},
	"ResourceTypeFacets":    {nil, 250},
	"ResourceTypeValues":    {map[string]string{"max": "21"}, 40},
	"ResourceIDRunFacets":   {nil, 60},
	"ResourceIDFacets":      {nil, 250},
	"ResourceIDValues":      {map[string]string{"max": "21", "first": "'resource-5'", "prefix": "'resource-5'"}, 120},
	"UserIDRunFacets":       {nil, 60},
	"UserIDFacets":          {nil, 250},
	"UserIDValues":          {map[string]string{"max": "21"}, 120},
	"PostingState":          {map[string]string{"value": "'action-1'"}, 12},
	"PostingUpTo":           {map[string]string{"value": "'action-1'"}, 8},
	"PostingByRank":         {map[string]string{"value": "'action-1'"}, 40},
	"PostingRange":          {map[string]string{"value": "'action-1'", "low": "0", "high": "40"}, 60},
	"PostingMany":           {map[string]string{"value": "'action-1'"}, 140},
	"ProgressLock":          {nil, 20},
	"ProgressAdvance":       {map[string]string{"ranges": "1"}, 20},
	"EntryValues":           {map[string]string{"low": "2048", "high": "2303"}, 60},
	"PostedValues":          {nil, 150},
	"TileHashes":            {map[string]string{"first": "33", "length": "4096"}, 20},
	"EntrySalts":            {nil, 250},
	"SaltsMany":             {nil, 250},
	"EntryToProve":          {nil, 40},
	"CheckpointNewest":      {nil, 6},
	"HeadState":             {nil, 8},
	"SigningLock":           {nil, 20},
	"SigningAdvance":        {nil, 20},
	"HeadWhole":             {nil, 8},
	"EntryLast":             {nil, 8},
	"EntryCount":            {map[string]string{"low": "2000", "high": "2050"}, 60},
	"EntryWhole":            {map[string]string{"low": "2000", "high": "2050"}, 60},
	"LeafHashAt":            {map[string]string{"low": "2000", "high": "2050"}, 60},
	"EntryPositions":        {nil, 60},
	"IDPositions":           {nil, 250},
	"TileWhole":             {map[string]string{"low": "0", "high": "30"}, 60},
	"CheckpointWhole":       {map[string]string{"from_number": "10"}, 60},
	"SigningSize":           {nil, 8},
	"PostedRanges":          {nil, 8},
	"PostingOfRange":        {map[string]string{"range": "7"}, 60},
	"SearchWhole":           {map[string]string{"low": "2000", "high": "2050"}, 20},
	"KeyList":               {map[string]string{"max": "50"}, 60},
	"KeyByID":               {map[string]string{"id": "'key-7'"}, 6},
	"KeyUsed":               {map[string]string{"id": "'key-7'"}, 20},
	"KeyRevoke":             {map[string]string{"id": "'key-7'", "by": "'ada'"}, 20},
}

// fillForPlans stores one organization of that size, 22,000 entries of 220 small ones, and
// postings as they would be if ranges were shorter.
func fillForPlans(t *testing.T, d testkit.Database, size int) {
	t.Helper()
	conn := testkit.Connect(t, d.SuperuserURL)
	for _, fill := range []string{
		"SET synchronous_commit = on", // VACUUM takes no page for visible before its commit is on disk
		fmt.Sprintf(`INSERT INTO entries (organization, position, created_at, action, resource_type, resource_id, user_id, entry, salts, leaf_hash)
		SELECT organization, n, timestamptz '2026-01-01' + n * interval '1 s', 'action-' || n %% 10, 'type-' || n %% 4, 'resource-' || n %% 1009, 'user-' || n %% 97,
			json_build_object('id', 'id-' || n, 'afterState', repeat(md5(n::text), 8)), '', sha256(n::text::bytea)
		FROM (SELECT 'org-1' AS organization, n FROM generate_series(0, %d - 1) n
			UNION ALL SELECT 'org-' || 2 + n %% 220, n / 220 FROM generate_series(0, 21999) n) AS rows ORDER BY n, organization`, size),
		"INSERT INTO entry_ids (organization, id, position) SELECT organization, 'id-' || position, position FROM entries",
		"INSERT INTO heads (organization, size) SELECT organization, count(*) FROM entries GROUP BY 1",
		`INSERT INTO tiles (organization, level, index, hashes, root)
		SELECT organization, 0, n, decode(repeat('00', 8192), 'hex'), sha256(n::text::bytea)
		FROM heads, generate_series(0, greatest(size / 256, 8) - 1) n`,
		"INSERT INTO posting_progress (organization, ranges) SELECT organization, size / 250 FROM heads",
		"INSERT INTO posting_progress (organization) SELECT 'another-' || n FROM generate_series(1, 5000) n",
		"INSERT INTO signing_progress (organization, size) SELECT organization, size FROM posting_progress JOIN heads USING (organization)",
		"INSERT INTO signing_progress (organization) SELECT 'another-' || n FROM generate_series(1, 5000) n",
		"INSERT INTO checkpoints (organization, number, size, root, note, signed_at) SELECT organization, n, n + 1, sha256(''), repeat('n', 250), now() FROM heads, generate_series(0, 99) n",
		"INSERT INTO api_keys (organization, id, name, hash, permissions, created_by, expires_at) SELECT organization, 'key-' || n, 'n', sha256(''), '{}', '', now() FROM heads, generate_series(0, 99) n",
		"INSERT INTO posting_values (organization, field, value) SELECT organization, 1, 'action-' || n FROM heads, generate_series(0, 9) n",
		`INSERT INTO postings (organization, field, value, range, before, count, positions)
		SELECT organization, field, value, n, n * 100, 100, decode(repeat('0001', 100), 'hex')
		FROM posting_values JOIN posting_progress USING (organization), generate_series(0, ranges - 1) n`,
		"INSERT INTO admin_search (position, folded) SELECT n, 'ACTION ' || md5(n::text) || CASE n % 1000 WHEN 7 THEN ' NEEDLE 7' ELSE '' END FROM generate_series(0, 29999) n",
		"VACUUM ANALYZE",
	} {
		mustExec(t, conn, fill)
	}
}

// plan is what of EXPLAIN's answer is looked at.
type plan struct {
	Type   string  `json:"Node Type"`
	Index  string  `json:"Index Name"`
	Hit    int     `json:"Shared Hit Blocks"`
	Read   int     `json:"Shared Read Blocks"`
	Rows   float64 `json:"Actual Rows"`
	Plans  []plan
	Table  string `json:"Relation Name"`
	Filter string
}

func (p plan) walk(visit func(plan)) {
	visit(p)
	for _, child := range p.Plans {
		child.walk(visit)
	}
}

// explain runs a statement by its generic plan as the serving login.
func explain(t *testing.T, conn *pgx.Conn, s statement, size int) plan {
	t.Helper()
	values := make([]string, len(s.names))
	for i, name := range s.names {
		var known bool
		if values[i], known = cases[s.name].arguments[name]; !known {
			if values[i], known = arguments(size)[name]; !known {
				t.Fatalf("%s: what is @%s?", s.name, name)
			}
		}
		if array, query := strings.CutPrefix(values[i], "ARRAY("); query {
			values[i] = "'" + scan[string](t, conn, "SELECT (ARRAY("+array+")::text") + "'" // EXECUTE takes no queries
		}
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	mustExec(t, conn, "SELECT set_config('ocore_audit.organization', 'org-1', true), set_config('plan_cache_mode', 'force_generic_plan', true)")
	mustExec(t, conn, "PREPARE "+s.name+" AS "+s.text)
	execute := "EXECUTE " + s.name
	if len(values) > 0 {
		execute += "(" + strings.Join(values, ", ") + ")"
	}
	var answer []struct{ Plan plan }
	text := scan[[]byte](t, conn, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+execute)
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	return answer[0].Plan
}

// readsAll are statements that look at every row on purpose, and why they may.
var readsAll = map[string]string{
	"TrailsToPost":        "the worker asks every few seconds which trails have grown",
	"IDCount":             "verification counts ids, once a trail",
	"IDStray":             "verification asks it where ids are too many",
	"TileStray":           "verification reads all keys of tiles, once a trail",
	"PostingStray":        "verification counts all postings anew, once a trail",
	"PostingValueStray":   "verification looks for postings of every value, once a trail",
	"OrganizationsStored": "verification of everything lists who there is, once",
	"SearchStray":         "verification looks for what is outside of the admin trail, once",
	"TrailsToSign":        "the signer asks twice a second which trails have grown",
}

// lookUps are the statements that must be served by an index.
func lookUps(t *testing.T) []statement {
	t.Helper()
	return slices.DeleteFunc(statements(t), func(s statement) bool {
		sets := s.name == "OrganizationSet" || s.name == "IdleTimeoutSet"
		return strings.Contains(s.text, "INSERT INTO") && s.name != "TrailGrow" || sets || readsAll[s.name] != ""
	})
}

// What a statement touches doesn't grow with the trail.
func TestEveryStatementIsServedByTheIndexThatItPromises(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10_000, 200_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			d := testkit.NewDatabase(t)
			fillForPlans(t, d, size)
			logins := map[bool]*pgx.Conn{false: testkit.Connect(t, d.ServingURL), true: testkit.Connect(t, d.WorkerURL)}
			for _, s := range lookUps(t) {
				checkPlan(t, logins[s.worker], s, size)
			}
		})
	}
}

func checkPlan(t *testing.T, conn *pgx.Conn, s statement, size int) {
	t.Helper()
	c, known := cases[s.name]
	if !known || len(s.promised) == 0 {
		t.Errorf("%s: has a case here: %v; promises %v", s.name, known, s.promised)
		return
	}
	p := explain(t, conn, s, size)
	faults, used := p.faults(s)
	if p.buffers() > c.buffers {
		faults = append(faults, fmt.Sprintf("touches %d buffers, at most %d are allowed", p.buffers(), c.buffers))
	}
	if p.Rows == 0 && !strings.HasSuffix(s.name, "Advance") && s.name != "KeyUsed" && s.name != "KeyRevoke" { // updates return nothing
		t.Errorf("%s: finds nothing, which tells nothing", s.name)
	}
	t.Logf("%-22s %5d buffers, %5.0f rows by %v", s.name, p.buffers(), p.Rows, used)
	for _, fault := range faults {
		t.Errorf("%s: %s", s.name, fault)
	}
}

func (p plan) buffers() int { return p.Hit + p.Read }

// product is the fault of a condition that costs as much as entries times elements.
const product = "compares every entry with every element: "

// faults are what is wrong with the statement's plan, used the indexes that are in it.
func (p plan) faults(s statement) (faults, used []string) {
	p.walk(func(p plan) {
		if p.Index != "" && !slices.Contains(used, p.Index) {
			used = append(used, p.Index)
		}
		if p.Type == "Seq Scan" && !strings.HasPrefix(s.name, "ShortSearch") {
			faults = append(faults, "reads all of "+p.Table)
		}
		if strings.Contains(p.Filter, "= ANY") {
			faults = append(faults, product+p.Filter)
		}
	})
	slices.Sort(used)
	promised := slices.Sorted(slices.Values(s.promised))
	if kept := slices.Equal(used, promised); !kept && !(s.either && slices.ContainsFunc(used, func(index string) bool { return slices.Contains(promised, index) })) {
		faults = append(faults, fmt.Sprintf("uses %v, promises %v", used, promised))
	}
	return faults, used
}

// A connection keeps the plans that it made while the database was young, until
// statistics change. They must bear that a trail grows.
func TestPlansMadeBeforeAnyStatisticsBearGrowth(t *testing.T) {
	t.Parallel()
	d := testkit.NewDatabase(t)
	store := testkit.NewStore(t, d)
	for i := range 5 {
		mustAppend(t, store, "org-1", plain(t, fmt.Sprint("id-", i), 1000)...)
	}
	logins := map[bool]*pgx.Conn{false: testkit.Connect(t, d.ServingURL), true: testkit.Connect(t, d.WorkerURL)}
	for _, s := range lookUps(t) {
		faults, _ := explain(t, logins[s.worker], s, 5000).faults(s)
		// Of a small table all indexes cost the same, so which one is taken tells nothing.
		faults = slices.DeleteFunc(faults, func(fault string) bool { return !strings.HasPrefix(fault, product) })
		for _, fault := range faults {
			t.Errorf("%s: %s", s.name, fault)
		}
	}
}
