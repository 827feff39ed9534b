"""The kinds of event that a run can have: what each says, and where in the code they stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "server" / "dispatch_mcp"

MEANINGS: Mapping[str, str] = {
    "run_created": "the run was made of a version of a plan; with its worker and the ceilings that were named",
    "run_adopted": "a process drives it from now on; whether the one before had crashed",
    "run_released": "its process let go of it in order",
    "run_paused": "somebody paused it",
    "run_resumed": "it goes on after a pause",
    "run_cancelled": "somebody cancelled it; with the reason",
    "run_finished": "every task is over; with the state that this adds up to",
    "drive_failed": "driving it failed; with the error, how often in a row, and whether that was the last try",
    "plan_edited": "it goes on with another version of its plan",
    "limits_changed": "it was given other ceilings, none of them higher",
    "limits_raised": "a person raised its ceilings; who, by what way, from what to what, and for which plan (digest)",
    "limit_reached": "it, or a task, has met a ceiling; with what was spent and what the next task needs",
    "limit_near": "it has used a share (`warn_at`) of a ceiling; once for each height of it",
    "rate_limited": "a provider asked a worker to wait; with the time until then",
    "attempt_started": "a try of a task began; with its worker and what it was given at most",
    "attempt_finished": "a try was reported, and accepted; with its state",
    "attempt_abandoned": "a try was taken back: its process died, or its lease ran out",
    "attempt_fenced": "a try was reported that no longer counts; with what it had used",
    "agent_replaced": "the agent could not be started; with who stands in",
    "task_replayed": "finished work of another run was taken over; with its key",
    "result_stale": "finished work was not taken over; with the reason",
    "task_retried": "somebody opened the task again",
    "task_skipped": "the task will not be done; with the reason and who said so",
    "task_sent_back": "a review had its work opened again",
    "review_reopened": "what a review had passed changed while work of the run was under way: it is asked again",
    "review_blocked": "a review objects to work",
    "files_freed": "a review has passed the blocked files that the task had changed",
    "council_decided": "the council decided; with outcome and findings",
    "finding_waived": "a person let a finding go; with the reason",
    "edits_proposed": "a worker proposes changes of the plan",
    "context_missing": "a brief lacks something that the task needs",
    "knowledge_missing": "a brief lacks the knowledge document of its agent",
    "message_sent": "somebody left a note for a task",
    "message_delivered": "notes came to their reader; with the way",
}
"""What each kind of event says of a run."""

MAKERS = frozenset({"NewEvent", "note", "note_run"})
"""What makes an event of the kind that is its first argument."""


def kinds() -> set[str]:
    """Returns the kinds that the code makes: words, and the constants of modules that stand for them."""
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if "cli" not in path.parts]
    trees = {path.stem: ast.parse(path.read_text("utf-8")) for path in paths}
    constants = {(name, key): value for name, tree in trees.items() for key, value in _constants(tree)}
    calls = [(name, node) for name, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {kind for name, call in calls if (kind := _kind(name, call, constants))}


def _kind(module: str, call: ast.Call, constants: Mapping[tuple[str, str], str]) -> str:
    """Returns the kind of the event that a call makes, empty for other calls and for kinds that are handed on."""
    if not call.args or _name(call.func) not in MAKERS:
        return ""
    kind = call.args[0]
    if isinstance(kind, ast.Constant):
        return str(kind.value)
    if isinstance(kind, ast.Attribute) and isinstance(kind.value, ast.Name):
        return constants.get((kind.value.id, kind.attr), "")
    return constants.get((module, kind.id), "") if isinstance(kind, ast.Name) else ""


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            value = getattr(node, "value", None)
            values = value.elts if isinstance(value, ast.Tuple) else [value]
            for name, part in zip(names, values, strict=False):
                if isinstance(name, ast.Name) and isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield name.id, part.value


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
