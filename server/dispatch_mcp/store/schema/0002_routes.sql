-- How routes went, for each principal; rows are added, and forgotten by whoever they belong to.
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
