"""What arguments of the tools mean of which their schemas say nothing: models know them, and read them often."""

from __future__ import annotations

from collections.abc import Mapping

MEANINGS: Mapping[str, Mapping[str, str]] = {
    "route_task": {
        "view": "`full` adds factors, evidence and everybody else who was considered.",
        "urgency": "How soon it is needed; under pressure less is risked without a review.",
    },
    "plan_dag": {
        "request": "What is to be done, in the user's own words.",
        "title": "What the plan is called; without it, the first words of the request.",
        "pattern": "Which of the six ways to split work to build the plan by.",
        "parts": "The parts of the request, in its own words; the pattern says what they become.",
        "roster": "Only agents of this roster or group take part.",
        "tasks": "The tasks of the plan.",
        "plan_id": "The plan to change, or the beginning of its id, or latest.",
        "base_version": "The version that the edits were made for; another one is refused with what has changed.",
        "edits": "What to change in a plan, also while it runs.",
        "max_parallel": "How many tasks may run at once.",
        "on_conflict": "What becomes of tasks that write the same files: one after the other, in copies, or refused.",
        "diagram": "Whether the answer holds the plan as a Mermaid flowchart.",
    },
    "plan_dag.tasks": {
        "id": "Its name in the plan.",
        "deps": "The tasks whose results it needs, by id.",
        "agent": "Who does it; without one the router chooses.",
        "model": "Which model works; without one the agent's, or one that fits.",
        "worker": "Who carries it out: your subagents, the server by API or Claude Code, a command, or a person.",
        "effort": "How large it is; forecasts go by it.",
        "priority": "Which of several ready tasks begins first.",
        "reads": "Paths that it reads and others write: it waits for them.",
        "constraints": "What it must keep to.",
        "output": "What it is to deliver.",
        "inputs": "Values for an agent that declares a form.",
        "timeout_s": "Seconds that one attempt may take.",
        "attempts": "How often it may be tried.",
    },
    "plan_dag.edits": {
        "op": "What to do with the task; `prove` takes the proof that was proposed.",
        "id": "Which task, by id.",
        "task": "The new task, or the fields of it that change.",
    },
    "dispatch": {"worker": "Who does tasks that name nobody."},
    "report": {"run_id": "The run, or the beginning of its id, or latest.", "results": "A result for each attempt."},
    "report.results": {
        "task_id": "The task, as its assignment names it.",
        "attempt": "The attempt, as its assignment names it; an older one is fenced off.",
        "status": "How it ended; without it, it succeeded.",
        "output": "The answer as data, where the task asks for that.",
        "error": "Why it failed.",
        "retryable": "Whether another attempt could end differently.",
    },
    "get_trace": {
        "view": "Which side of the run.",
        "cursor": "Goes on behind this cursor of the page before.",
    },
    "steer_run": {
        "run_id": "The run, or the beginning of its id, or latest.",
        "action": "What to do.",
        "reason": "Why; it is kept in the trace.",
    },
    "message_agents": {
        "run_id": "The run, or the beginning of its id, or latest.",
        "action": "Read the notes for a recipient, or send one.",
        "sender": "Who writes: a task id, an agent or orchestrator.",
        "kind": "What the note is.",
        "text": "The note itself.",
    },
}
"""What each argument means, by tool, and by the list whose items have it."""
