-- A result whose text lies in a blob, without its output: what most views show of it. NULL where that is long too, and in
-- results of earlier builds.
ALTER TABLE result ADD COLUMN head TEXT;
