-- Agents that could not be started: who does a task in place of its own (a JSON list of pairs, the newest last), and
-- how many of its attempts never began for that reason.
ALTER TABLE task ADD COLUMN stand_ins TEXT NOT NULL DEFAULT '';

ALTER TABLE task ADD COLUMN false_starts INTEGER NOT NULL DEFAULT 0 CHECK (false_starts >= 0);
