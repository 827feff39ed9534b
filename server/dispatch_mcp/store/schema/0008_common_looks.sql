-- What many attempts of a run have seen alike of its workspace, once: their heartbeats name it by the SHA-256 of its
-- text. Heartbeats of earlier builds hold all of it themselves.
CREATE TABLE common_look (
  run INTEGER NOT NULL REFERENCES run (no),
  digest TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (run, digest)
) STRICT;

CREATE TRIGGER common_look_is_immutable BEFORE UPDATE ON common_look
BEGIN
  SELECT RAISE(ABORT, 'what attempts saw is immutable');
END;
