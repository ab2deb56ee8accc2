-- The naive form: columns for everything, states as jsonb, one table. It is given numbers
-- without gaps, as positions are, so that both have the same indexes and the same order.
CREATE SCHEMA naive;
CREATE TABLE naive.heads (
  organization text   NOT NULL COLLATE "C" PRIMARY KEY,
  size         bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE naive.audit_logs (
  organization  text        NOT NULL COLLATE "C",
  number        bigint      NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  id            text        NOT NULL COLLATE "C",
  action        text        NOT NULL COLLATE "C",
  resource_type text        NOT NULL COLLATE "C",
  resource_id   text        COLLATE "C",
  resource_name text,
  user_id       text        COLLATE "C",
  user_name     text,
  ip_address    text,
  user_agent    text,
  before_state  jsonb,
  after_state   jsonb
) WITH (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 20000);
CREATE TABLE naive.admin_logs (
  number  bigint NOT NULL PRIMARY KEY,
  action  text   NOT NULL,
  details jsonb
);
CREATE SEQUENCE naive.unordered START 1000000000000;
GRANT USAGE ON SCHEMA naive TO bench_naive;
GRANT SELECT, INSERT, UPDATE ON naive.heads, naive.audit_logs TO bench_naive;
GRANT USAGE ON naive.unordered TO bench_naive;
