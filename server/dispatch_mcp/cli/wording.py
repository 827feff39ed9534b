"""The dispatcher's advice in the words of a shell: it speaks of MCP tools, a person types commands."""

from __future__ import annotations

from dispatch_mcp import model
from dispatch_mcp.service import answers

SAID = (
    ("Read get_trace(view='results'); then steer_run", "Read get_trace(view='results'), then steer_run"),
    ("Working. Read `get_trace` with wait_s up to 45; do not dispatch again.", "Working. Look again in a while."),
    ("call `dispatch` with this run_id to receive them", "ask your assistant to dispatch run RUN"),
    ("`dispatch` with this run_id hands it to you", "your assistant gets it by dispatching run RUN"),
    (
        "out with you: finish and `report`; `dispatch` with this run_id repeats them if they were lost.",
        "out with your assistant; it gets them again by dispatching run RUN.",
    ),
    ("steer_run(action='apply') asks the user to take it over, or they run", "take it over with"),
    ("Call dispatch(run_id) to have the user asked here, or let them run", "Say so with"),
    (". Nobody else can approve.", " (or --reject)."),
    ("If the user agrees to more, raise it by dispatch(run_id, limits).", "Raise it with `dispatch-mcp limit RUN …`."),
    ("ready for you:", "ready for an assistant:"),
    ("`get_trace` without arguments lists your runs", "`dispatch-mcp status --all` lists your runs"),
    ("`get_trace` lists the tasks of the run", "`dispatch-mcp status RUN` lists the tasks of the run"),
    ("get_trace(run_id=…) lists", "`dispatch-mcp status RUN` lists"),
    ("Read one with get_trace(run_id=…)", "Read one with `dispatch-mcp status RUN`"),
    ("view='all' lists", "`dispatch-mcp status --all` lists"),
    ("get_trace says", "`dispatch-mcp status RUN` says"),
    ("Wait with get_trace(wait_s=…).", "Look again in a while."),
    ("Read `get_trace` for", "Read `dispatch-mcp status RUN` for"),
    ("get_trace(view='results')", "`dispatch-mcp trace RUN --view results`"),
    ("steer_run(action='resume')", "`dispatch-mcp steer resume RUN`"),
    ("steer_run(action='retry') or action='skip'", "`dispatch-mcp steer retry RUN TASK` or `steer skip RUN TASK`"),
    ("steer_run(action='retry')", "`dispatch-mcp steer retry RUN TASK`"),
    ("with steer_run", "with `dispatch-mcp steer`"),
    ("needs a task_id", "needs a task"),
    ("Fix all of them and call plan_dag again", "Fix all of them and try again"),
    ("`plan_dag` makes one and returns its id", "`dispatch-mcp plan FILE` makes one and prints its id"),
    ("Begin with plan_dag.", "Begin with `dispatch-mcp plan FILE`."),
    ("with plan_dag, then dispatch the result", "in a document and run that"),
    ("Call review_council again to try anew", "Run `dispatch-mcp review` again to try anew"),
    ("then review the change again with after=", "then review the change again with --after "),
    ("Name a change: diff, a git range, or a run.", "Name a change: a git range, --diff FILE or --run RUN."),
)
"""What the dispatcher says, and what to say here instead; tried in this order."""


def told(text: str, run_id: str = "") -> str:
    """Returns the text with tools replaced by commands, and RUN by the run's id when it is known."""
    for said, instead in SAID:
        text = text.replace(said, instead)
    return text.replace("RUN", run_id) if run_id else text


def wire(answer: answers.RunAnswer | answers.Trace) -> dict[str, model.Json]:
    """Returns the answer as JSON, its advice in the words of a shell."""
    out = answer.wire()
    return {**out, "next": told(answer.next, answer.run_id)} if answer.next else out
