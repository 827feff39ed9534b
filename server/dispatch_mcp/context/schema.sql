CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE files (
  id INTEGER PRIMARY KEY,
  path TEXT NOT NULL UNIQUE,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  role TEXT NOT NULL,
  imports TEXT NOT NULL
);
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY,
  file INTEGER NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  leaf TEXT NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  start INTEGER NOT NULL,
  end INTEGER NOT NULL
);
CREATE INDEX chunks_of_file ON chunks (file);
CREATE INDEX chunks_by_leaf ON chunks (leaf);
CREATE VIRTUAL TABLE code USING fts5 (path, name, body, content = '', tokenize = 'porter unicode61');
CREATE VIRTUAL TABLE prose USING fts5 (path, name, body, content = '', tokenize = 'porter unicode61');
CREATE TABLE commits (id INTEGER PRIMARY KEY, sha TEXT NOT NULL UNIQUE, time INTEGER NOT NULL, files TEXT NOT NULL);
CREATE VIRTUAL TABLE subjects USING fts5 (subject, content = '', tokenize = 'porter unicode61');
