-- Work that a person carries out (a decision), and a run that a rate limit holds back until `held_until`.
-- A CHECK can only change with its table; nothing refers to the new names while they exist.

ALTER TABLE run ADD COLUMN held_until REAL NOT NULL DEFAULT 0.0;

CREATE TABLE task_next (
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
  cause TEXT NOT NULL,
  UNIQUE (run, id)
) STRICT;

INSERT INTO task_next SELECT * FROM task;

DROP TABLE task;

ALTER TABLE task_next RENAME TO task;

CREATE TABLE attempt_next (
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
  beat TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (task, attempt)
) STRICT, WITHOUT ROWID;

INSERT INTO attempt_next SELECT * FROM attempt;

DROP TABLE attempt;

ALTER TABLE attempt_next RENAME TO attempt;
