-- All migrations in one, for a store that is made anew. scripts/newest_schema.py writes it from them.

CREATE TABLE plan (
  id TEXT NOT NULL,
  version INTEGER NOT NULL CHECK (version >= 1),
  principal TEXT NOT NULL,
  document TEXT NOT NULL,
  created_at REAL NOT NULL,
  PRIMARY KEY (id, version)
) STRICT;

CREATE INDEX plan_by_principal ON plan (principal, id);

CREATE TRIGGER plan_is_immutable BEFORE UPDATE ON plan
BEGIN
  SELECT RAISE(ABORT, 'a version of a plan is immutable');
END;

CREATE TABLE event (
  run INTEGER NOT NULL REFERENCES run (no),
  seq INTEGER NOT NULL,
  kind TEXT NOT NULL,
  at REAL NOT NULL,
  task TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER event_is_never_changed BEFORE UPDATE ON event
BEGIN
  SELECT RAISE(ABORT, 'events are append-only');
END;

CREATE TABLE message (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (no),
  sender TEXT NOT NULL,
  recipient TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (
    kind = 'information' OR kind = 'request' OR kind = 'warning' OR kind = 'confirmation' OR
    kind = 'handoff'),
  text TEXT NOT NULL,
  at REAL NOT NULL,
  read INTEGER NOT NULL DEFAULT 0 CHECK (read = 0 OR read = 1)
) STRICT;

CREATE INDEX message_by_run ON message (run, recipient);

CREATE TABLE route (
  no INTEGER PRIMARY KEY AUTOINCREMENT,
  principal TEXT NOT NULL,
  text TEXT NOT NULL CHECK (length(text) <= 1000),
  agent TEXT NOT NULL,
  outcome TEXT NOT NULL CHECK (
    outcome = 'accepted' OR outcome = 'failed' OR outcome = 'corrected' OR outcome = 'rerouted'),
  weight REAL NOT NULL CHECK (weight > 0.0 AND weight <= 1.0),
  run TEXT NOT NULL,
  task TEXT NOT NULL,
  at REAL NOT NULL
) STRICT;

CREATE INDEX route_by_principal ON route (principal, no);

CREATE TRIGGER route_is_immutable BEFORE UPDATE ON route
BEGIN
  SELECT RAISE(ABORT, 'how a route went is immutable');
END;

CREATE TABLE "task" (
  no INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (no),
  id TEXT NOT NULL,
  position INTEGER NOT NULL,
  worker TEXT NOT NULL CHECK (
    worker = 'host' OR worker = 'api' OR worker = 'claude' OR worker = 'command' OR worker = 'scripted' OR
    worker = 'human'),
  state TEXT NOT NULL CHECK (
    state = 'blocked' OR state = 'ready' OR state = 'running' OR state = 'succeeded' OR
    state = 'unverified' OR state = 'failed' OR state = 'skipped' OR state = 'cancelled'),
  attempt INTEGER NOT NULL CHECK (attempt >= 0),
  failures INTEGER NOT NULL CHECK (failures >= 0),
  crashes INTEGER NOT NULL CHECK (crashes >= 0),
  ready_at REAL NOT NULL,
  result TEXT NOT NULL,
  cause TEXT NOT NULL, rounds INTEGER NOT NULL DEFAULT 0 CHECK (rounds >= 0), stand_ins TEXT NOT NULL DEFAULT '', false_starts INTEGER NOT NULL DEFAULT 0 CHECK (false_starts >= 0), host_losses INTEGER NOT NULL DEFAULT 0 CHECK (host_losses >= 0),
  UNIQUE (run, id)
) STRICT;

CREATE TABLE "attempt" (
  task INTEGER NOT NULL REFERENCES task (no),
  attempt INTEGER NOT NULL CHECK (attempt >= 1),
  state TEXT NOT NULL CHECK (
    state = 'running' OR state = 'succeeded' OR state = 'failed' OR state = 'timed_out' OR
    state = 'cancelled' OR state = 'abandoned' OR state = 'superseded'),
  worker TEXT NOT NULL CHECK (
    worker = 'host' OR worker = 'api' OR worker = 'claude' OR worker = 'command' OR worker = 'scripted' OR
    worker = 'human'),
  started_at REAL NOT NULL,
  ended_at REAL,
  lease_until REAL,
  input_tokens INTEGER,
  output_tokens INTEGER,
  cache_read_tokens INTEGER,
  cache_write_tokens INTEGER,
  cost_usd REAL,
  seconds REAL,
  error TEXT NOT NULL DEFAULT '',
  error_kind TEXT NOT NULL DEFAULT '',
  beat TEXT NOT NULL DEFAULT '', overdrawn TEXT,
  PRIMARY KEY (task, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE "run" (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  plan_id TEXT NOT NULL,
  plan_version INTEGER NOT NULL,
  principal TEXT NOT NULL,
  request_key TEXT NOT NULL,
  state TEXT NOT NULL CHECK (
    state = 'running' OR state = 'waiting_input' OR state = 'paused' OR state = 'succeeded' OR
    state = 'partial' OR state = 'needs_changes' OR state = 'failed' OR state = 'cancelled' OR
    state = 'inconclusive'),
  worker TEXT NOT NULL CHECK (
    worker = 'host' OR worker = 'api' OR worker = 'claude' OR worker = 'command' OR worker = 'scripted'),
  workspace TEXT NOT NULL,
  dry_run INTEGER NOT NULL CHECK (dry_run = 0 OR dry_run = 1),
  fresh INTEGER NOT NULL CHECK (fresh = 0 OR fresh = 1),
  limits TEXT NOT NULL,
  server_driven INTEGER NOT NULL CHECK (server_driven = 0 OR server_driven = 1),
  owner TEXT,
  epoch INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
  revision INTEGER NOT NULL DEFAULT 0,
  paused INTEGER NOT NULL DEFAULT 0 CHECK (paused = 0 OR paused = 1),
  cancelled INTEGER NOT NULL DEFAULT 0 CHECK (cancelled = 0 OR cancelled = 1),
  events INTEGER NOT NULL DEFAULT 0,
  created_at REAL NOT NULL,
  updated_at REAL NOT NULL,
  finished_at REAL,
  held_until REAL NOT NULL DEFAULT 0.0,
  verdict TEXT NOT NULL DEFAULT '' CHECK (
    verdict = '' OR verdict = 'succeeded' OR verdict = 'needs_changes' OR verdict = 'inconclusive'), title TEXT NOT NULL DEFAULT '',
  FOREIGN KEY (plan_id, plan_version) REFERENCES plan (id, version)
) STRICT;

CREATE UNIQUE INDEX run_by_request ON run (principal, request_key) WHERE request_key <> '';

CREATE INDEX run_by_plan ON run (plan_id, principal);

CREATE INDEX run_open ON run (no) WHERE finished_at IS NULL;

CREATE TABLE "result" (
  no INTEGER PRIMARY KEY,
  task INTEGER NOT NULL REFERENCES task (no),
  attempt INTEGER NOT NULL,
  key TEXT NOT NULL,
  digest TEXT NOT NULL,
  unverified INTEGER NOT NULL CHECK (unverified = 0 OR unverified = 1),
  body TEXT,
  blob TEXT,
  CHECK ((body IS NULL) <> (blob IS NULL)),
  UNIQUE (task, attempt)
) STRICT;

CREATE TABLE "replay" (
  task INTEGER PRIMARY KEY REFERENCES task (no),
  source INTEGER NOT NULL REFERENCES result (no)
) STRICT;

CREATE TRIGGER result_is_immutable BEFORE UPDATE ON result
BEGIN
  SELECT RAISE(ABORT, 'an accepted result is immutable');
END;

CREATE TABLE pruned_run (
  id TEXT PRIMARY KEY,
  principal TEXT NOT NULL,
  title TEXT NOT NULL,
  state TEXT NOT NULL,
  workspace TEXT NOT NULL,
  tasks INTEGER NOT NULL,
  events INTEGER NOT NULL,
  created_at REAL NOT NULL,
  finished_at REAL NOT NULL,
  pruned_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER pruned_run_is_immutable BEFORE UPDATE ON pruned_run
BEGIN
  SELECT RAISE(ABORT, 'what was pruned stays on record');
END;

CREATE TRIGGER pruned_run_is_never_deleted BEFORE DELETE ON pruned_run
BEGIN
  SELECT RAISE(ABORT, 'what was pruned stays on record');
END;

CREATE TRIGGER pruned_run_is_over BEFORE INSERT ON pruned_run
WHEN NOT EXISTS (SELECT 1 FROM run WHERE run.id = NEW.id AND run.finished_at IS NOT NULL)
BEGIN
  SELECT RAISE(ABORT, 'only a run that is over can be pruned');
END;

CREATE TRIGGER event_is_never_deleted BEFORE DELETE ON event
WHEN NOT EXISTS (SELECT 1 FROM run JOIN pruned_run ON pruned_run.id = run.id WHERE run.no = OLD.run)
BEGIN
  SELECT RAISE(ABORT, 'events are append-only');
END;

CREATE INDEX replay_by_source ON replay (source);

CREATE TABLE common_look (
  run INTEGER NOT NULL REFERENCES run (no),
  digest TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (run, digest)
) STRICT;

CREATE TRIGGER common_look_is_immutable BEFORE UPDATE ON common_look
BEGIN
  SELECT RAISE(ABORT, 'what attempts saw is immutable');
END;

CREATE TABLE alert (
  no INTEGER PRIMARY KEY AUTOINCREMENT,
  run TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (
    kind = 'finished' OR kind = 'failed' OR kind = 'waiting' OR kind = 'near_ceiling'),
  at REAL NOT NULL,
  body TEXT NOT NULL
) STRICT;

CREATE TABLE alert_target (
  digest TEXT PRIMARY KEY,
  last INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  next_at REAL NOT NULL DEFAULT 0.0,
  trouble TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
