-- Reviews that gate: a run that ends `needs_changes`, what a council decided (`verdict`, of a round that is over), and
-- how often a review blocked or work was sent back (`rounds`). Work that is sent back is accepted again, so that a
-- result is one of an attempt; the earlier ones stay, as others may have built on them.

CREATE TABLE run_next (
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
    verdict = '' OR verdict = 'succeeded' OR verdict = 'needs_changes' OR verdict = 'inconclusive'),
  FOREIGN KEY (plan_id, plan_version) REFERENCES plan (id, version)
) STRICT;

INSERT INTO run_next SELECT run.*, '' FROM run;

DROP TABLE run;

ALTER TABLE run_next RENAME TO run;

CREATE UNIQUE INDEX run_by_request ON run (principal, request_key) WHERE request_key <> '';

CREATE INDEX run_by_plan ON run (plan_id, principal);

CREATE INDEX run_open ON run (no) WHERE finished_at IS NULL;

-- Rounds of earlier builds were `succeeded` as soon as everybody had answered. What they decided is in their last
-- event; one that nobody has read has none, and is inconclusive until somebody does.
UPDATE run SET verdict = coalesce(
  (SELECT CASE json_extract(event.data, '$.outcome') WHEN 'PASS' THEN 'succeeded' WHEN 'BLOCK' THEN 'needs_changes' END
   FROM event WHERE event.run = run.no AND event.kind = 'council_decided' ORDER BY event.seq DESC LIMIT 1),
  'inconclusive')
WHERE request_key LIKE 'council:%' AND finished_at IS NOT NULL AND NOT cancelled;

UPDATE run SET state = verdict WHERE verdict <> '';

ALTER TABLE task ADD COLUMN rounds INTEGER NOT NULL DEFAULT 0 CHECK (rounds >= 0);

CREATE TABLE result_next (
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

-- Results keep the number that replays know them by, which was that of their task.
INSERT INTO result_next SELECT task, task, attempt, key, digest, unverified, body, blob FROM result;

CREATE TABLE replay_next (
  task INTEGER PRIMARY KEY REFERENCES task (no),
  source INTEGER NOT NULL REFERENCES result (no)
) STRICT;

INSERT INTO replay_next SELECT * FROM replay;

DROP TABLE replay;

DROP TABLE result;

ALTER TABLE result_next RENAME TO result;

ALTER TABLE replay_next RENAME TO replay;

CREATE TRIGGER result_is_immutable BEFORE UPDATE ON result
BEGIN
  SELECT RAISE(ABORT, 'an accepted result is immutable');
END;
