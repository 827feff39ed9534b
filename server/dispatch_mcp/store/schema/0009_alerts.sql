-- What a person is to be told of runs, written with what caused it, and how far each way of telling has come.
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
