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
  state TEXT NOT NULL CHECK (state IN (
    'running', 'waiting_input', 'paused', 'succeeded', 'partial', 'failed', 'cancelled', 'inconclusive')),
  worker TEXT NOT NULL CHECK (worker IN ('host', 'api', 'claude', 'command', 'scripted')),
  workspace TEXT NOT NULL,
  dry_run INTEGER NOT NULL CHECK (dry_run IN (0, 1)),
  fresh INTEGER NOT NULL CHECK (fresh IN (0, 1)),
  limits TEXT NOT NULL,
  server_driven INTEGER NOT NULL CHECK (server_driven IN (0, 1)),
  owner TEXT,
  epoch INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
  revision INTEGER NOT NULL DEFAULT 0,
  paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  cancelled INTEGER NOT NULL DEFAULT 0 CHECK (cancelled IN (0, 1)),
  events INTEGER NOT NULL DEFAULT 0,
  created_at REAL NOT NULL,
  updated_at REAL NOT NULL,
  finished_at REAL,
  FOREIGN KEY (plan_id, plan_version) REFERENCES plan (id, version)
) STRICT;

CREATE UNIQUE INDEX run_by_request ON run (principal, request_key) WHERE request_key <> '';

CREATE INDEX run_by_plan ON run (plan_id, principal);

CREATE INDEX run_open ON run (no) WHERE finished_at IS NULL;

CREATE TABLE task (
  run INTEGER NOT NULL REFERENCES run (no),
  id TEXT NOT NULL,
  position INTEGER NOT NULL,
  worker TEXT NOT NULL CHECK (worker IN ('host', 'api', 'claude', 'command', 'scripted')),
  state TEXT NOT NULL CHECK (state IN (
    'blocked', 'ready', 'running', 'succeeded', 'unverified', 'failed', 'skipped', 'cancelled')),
  attempt INTEGER NOT NULL CHECK (attempt >= 0),
  failures INTEGER NOT NULL CHECK (failures >= 0),
  crashes INTEGER NOT NULL CHECK (crashes >= 0),
  ready_at REAL NOT NULL,
  result TEXT NOT NULL,
  cause TEXT NOT NULL,
  PRIMARY KEY (run, id)
) STRICT, WITHOUT ROWID;

-- The usage columns are NULL until somebody reports them; `cost_usd` also when no price is known.
CREATE TABLE attempt (
  run INTEGER NOT NULL REFERENCES run (no),
  task TEXT NOT NULL,
  attempt INTEGER NOT NULL CHECK (attempt >= 1),
  state TEXT NOT NULL CHECK (state IN (
    'running', 'succeeded', 'failed', 'timed_out', 'cancelled', 'abandoned', 'superseded')),
  worker TEXT NOT NULL CHECK (worker IN ('host', 'api', 'claude', 'command', 'scripted')),
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
  PRIMARY KEY (run, task, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempt_leased ON attempt (run, lease_until) WHERE state = 'running' AND lease_until IS NOT NULL;

-- The primary key is the promise that a task is accepted once.
CREATE TABLE result (
  run INTEGER NOT NULL REFERENCES run (no),
  task TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  key TEXT NOT NULL,
  digest TEXT NOT NULL,
  unverified INTEGER NOT NULL CHECK (unverified IN (0, 1)),
  body TEXT,
  blob TEXT,
  PRIMARY KEY (run, task),
  CHECK ((body IS NULL) <> (blob IS NULL))
) STRICT;

CREATE INDEX result_by_key ON result (key);

CREATE TRIGGER result_is_immutable BEFORE UPDATE ON result
BEGIN
  SELECT RAISE(ABORT, 'an accepted result is immutable');
END;

-- Where the result of a replayed task was made.
CREATE TABLE replay (
  run INTEGER NOT NULL REFERENCES run (no),
  task TEXT NOT NULL,
  source_run INTEGER NOT NULL,
  source_task TEXT NOT NULL,
  PRIMARY KEY (run, task),
  FOREIGN KEY (source_run, source_task) REFERENCES result (run, task)
) STRICT, WITHOUT ROWID;

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
  kind TEXT NOT NULL CHECK (kind IN ('information', 'request', 'warning', 'confirmation', 'handoff')),
  text TEXT NOT NULL,
  at REAL NOT NULL,
  read INTEGER NOT NULL DEFAULT 0 CHECK (read IN (0, 1))
) STRICT;

CREATE INDEX message_by_run ON message (run, recipient);
