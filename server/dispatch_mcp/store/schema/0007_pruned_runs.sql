-- Runs that a person has had removed. Events are append-only still: they go only with their whole run, and only once
-- that is on record here.
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

DROP TRIGGER event_is_never_deleted;

CREATE TRIGGER event_is_never_deleted BEFORE DELETE ON event
WHEN NOT EXISTS (SELECT 1 FROM run JOIN pruned_run ON pruned_run.id = run.id WHERE run.no = OLD.run)
BEGIN
  SELECT RAISE(ABORT, 'events are append-only');
END;

-- Which work was taken over from a result: without it every result that goes would look through all of them.
CREATE INDEX replay_by_source ON replay (source);
