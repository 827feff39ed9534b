"""How a hook lets a subagent begin by itself, where its session has no server and no ceiling has to be asked.

It loads what writes one row of the store, and nothing that moves runs: that takes several times as long.
"""

from __future__ import annotations

from pathlib import Path

from dispatch_mcp.hooks import holders, hook_words, quick_answers
from dispatch_mcp.store import host_begins, open_runs, prompt_files
from dispatch_mcp.text import attempt_names


def brief(look: quick_answers.Look) -> hook_words.Reply | None:
    """Returns the brief for a call by an attempt's name, which has begun then; None if that takes more."""
    name = look.attempt_name()
    tasks = open_runs.task(look.home, name.run, name.task) if name else []
    if name is None or len(tasks) != 1 or tasks[0].workspace not in look.workspace:
        return None
    (task,) = tasks
    text = prompt_files.FileBriefs(Path(look.home)).get(task.run, task.id, name.attempt)
    if not text:
        return None
    holder = holders.Session(look.session, look.pid).holds(look.text("tool_use_id"))
    moment = host_begins.Begin(task.run, task.id, name.attempt, holder, look.now)
    call = host_begins.begin(Path(look.home), moment)
    if call is None:
        return None
    mark = attempt_names.short(task.run, task.id, name.attempt).mark
    return hook_words.called(look.event["tool_input"], call, f"{mark}\n{text}")
