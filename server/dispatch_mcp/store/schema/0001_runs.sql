-- The CHECKs are chains of OR because SQLite builds a temporary table for every IN list on every write.

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

-- `events` counts the run's events, so that the next one knows its number;
-- `server_driven` says whether any task has a worker other than the host.
CREATE TABLE run (
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  plan_id TEXT NOT NULL,
  plan_version INTEGER NOT NULL,
  principal TEXT NOT NULL,
  request_key TEXT NOT NULL,
  state TEXT NOT NULL CHECK (
    state = 'running' OR state = 'waiting_input' OR state = 'paused' OR state = 'succeeded' OR
    state = 'partial' OR state = 'failed' OR state = 'cancelled' OR state = 'inconclusive'),
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
  FOREIGN KEY (plan_id, plan_version) REFERENCES plan (id, version)
) STRICT;

CREATE UNIQUE INDEX run_by_request ON run (principal, request_key) WHERE request_key <> '';

CREATE INDEX run_by_plan ON run (plan_id, principal);

CREATE INDEX run_open ON run (no) WHERE finished_at IS NULL;

-- `no` is what attempts and results hang on; it keeps the writes of one step on few pages.
CREATE TABLE task (
  no INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (no),
  id TEXT NOT NULL,
  position INTEGER NOT NULL,
  worker TEXT NOT NULL CHECK (
    worker = 'host' OR worker = 'api' OR worker = 'claude' OR worker = 'command' OR worker = 'scripted'),
  state TEXT NOT NULL CHECK (
    state = 'blocked' OR state = 'ready' OR state = 'running' OR state = 'succeeded' OR
    state = 'unverified' OR state = 'failed' OR state = 'skipped' OR state = 'cancelled'),
  attempt INTEGER NOT NULL CHECK (attempt >= 0),
  failures INTEGER NOT NULL CHECK (failures >= 0),
  crashes INTEGER NOT NULL CHECK (crashes >= 0),
  ready_at REAL NOT NULL,
  result TEXT NOT NULL,
  cause TEXT NOT NULL,
  UNIQUE (run, id)
) STRICT;

-- The usage columns are NULL until somebody reports them; `cost_usd` also when no price is known.
CREATE TABLE attempt (
  task INTEGER NOT NULL REFERENCES task (no),
  attempt INTEGER NOT NULL CHECK (attempt >= 1),
  state TEXT NOT NULL CHECK (
    state = 'running' OR state = 'succeeded' OR state = 'failed' OR state = 'timed_out' OR
    state = 'cancelled' OR state = 'abandoned' OR state = 'superseded'),
  worker TEXT NOT NULL CHECK (
    worker = 'host' OR worker = 'api' OR worker = 'claude' OR worker = 'command' OR worker = 'scripted'),
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
  beat TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (task, attempt)
) STRICT, WITHOUT ROWID;

-- The primary key is the promise that a task is accepted once.
CREATE TABLE result (
  task INTEGER PRIMARY KEY REFERENCES task (no),
  attempt INTEGER NOT NULL,
  key TEXT NOT NULL,
  digest TEXT NOT NULL,
  unverified INTEGER NOT NULL CHECK (unverified = 0 OR unverified = 1),
  body TEXT,
  blob TEXT,
  CHECK ((body IS NULL) <> (blob IS NULL))
) STRICT;

CREATE TRIGGER result_is_immutable BEFORE UPDATE ON result
BEGIN
  SELECT RAISE(ABORT, 'an accepted result is immutable');
END;

-- Where the result of a replayed task was made.
CREATE TABLE replay (
  task INTEGER PRIMARY KEY REFERENCES task (no),
  source INTEGER NOT NULL REFERENCES result (task)
) STRICT;

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

CREATE TRIGGER event_is_never_deleted BEFORE DELETE ON event
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
