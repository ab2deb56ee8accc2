-- +goose Up

-- Postings say where the frequent values of a trail stand, so that totals and pages of
-- filters are read rather than counted. They are built in the background, by the worker,
-- from history that no longer changes: whole ranges of 16,384 positions. What isn't built
-- yet is counted by index: answers are then slower, never wrong.

-- How many ranges of a trail are built: positions below ranges * 16384.
CREATE TABLE posting_progress (
  organization text   NOT NULL COLLATE "C" PRIMARY KEY,
  ranges       bigint NOT NULL DEFAULT 0 CHECK (ranges >= 0)
) WITH (fillfactor = 50);

-- The values that have postings, in every range that is built and holds them. A value that
-- isn't here is rare enough to be counted.
CREATE TABLE posting_values (
  organization text     NOT NULL COLLATE "C",
  field        smallint NOT NULL, -- 1 action, 2 resource_type, 3 resource_id, 4 user_id
  value        text     NOT NULL COLLATE "C",
  CONSTRAINT posting_values_pkey PRIMARY KEY (organization, field, value)
);

-- before is how many entries of the value stand before the range, count how many in it.
-- positions are the count places in the range: below 1,024 of them two bytes each, little
-- end first, ascending; otherwise a bit for each of the range's positions, lowest first.
CREATE TABLE postings (
  organization text     NOT NULL COLLATE "C",
  field        smallint NOT NULL,
  value        text     NOT NULL COLLATE "C",
  range        bigint   NOT NULL,
  before       bigint   NOT NULL CHECK (before >= 0),
  count        integer  NOT NULL CHECK (count BETWEEN 1 AND 16384),
  positions    bytea    NOT NULL CHECK (length(positions) = least(2 * count, 2048)),
  CONSTRAINT postings_pkey PRIMARY KEY (organization, field, value, range),
  CONSTRAINT postings_before_idx UNIQUE (organization, field, value, before)
);
ALTER TABLE postings ALTER COLUMN positions SET STORAGE PLAIN; -- three bitmaps a page, read without detours

-- +goose StatementBegin
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['posting_progress', 'posting_values', 'postings'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format($policy$CREATE POLICY one_organization ON %I
      USING (organization = nullif(current_setting('ocore_audit.organization', true), ''))$policy$, name);
  END LOOP;
END
$$;
-- +goose StatementEnd

-- The worker must see how far each trail is built before it can choose one.
CREATE POLICY every_progress ON posting_progress FOR SELECT TO ocore_audit_worker USING (true);

GRANT SELECT ON posting_progress, posting_values, postings TO ocore_audit_serving;
GRANT SELECT, INSERT ON posting_values, postings TO ocore_audit_worker;
GRANT SELECT, INSERT, UPDATE ON posting_progress TO ocore_audit_worker;

-- +goose Down
DROP TABLE postings, posting_values, posting_progress;
