-- What people call a run. Runs from before are called after the request of their plan, or its first task; not where a
-- document has escapes of surrogates, as SQLite makes text of them that is no UTF-8.
ALTER TABLE run ADD COLUMN title TEXT NOT NULL DEFAULT '';

UPDATE run SET title = coalesce(
  (SELECT substr(trim(coalesce(
    nullif(json_extract(document, '$.request'), ''), json_extract(document, '$.tasks[0].do'),
    json_extract(document, '$.tasks[0].goal'), '')), 1, 60)
   FROM plan WHERE plan.id = run.plan_id AND plan.version = run.plan_version
     AND instr(lower(document), '\ud') = 0),
  '');
