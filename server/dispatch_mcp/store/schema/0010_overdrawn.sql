-- Why an attempt that is out with the host would break a ceiling of its run's account if it began now; empty where it would
-- not. NULL where nobody has looked: in a run without such a ceiling, and in those of earlier builds.
ALTER TABLE attempt ADD COLUMN overdrawn TEXT;
