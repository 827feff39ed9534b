-- How many attempts of a task ended because the host that did its work fell silent: no crash of ours, and counted apart.
ALTER TABLE task ADD COLUMN host_losses INTEGER NOT NULL DEFAULT 0 CHECK (host_losses >= 0);
