"""One next step of every kind, with all that its words may need."""

from __future__ import annotations

from dispatch_mcp.next_steps import LikeFailures, NextStep, StepKind

RUN = "1f0c" * 8
PLAN = "2a3b" * 8
REVISION = "3c4d" * 10
EXAMPLES = tuple(
    NextStep(
        *(kind, RUN, ("api", "web"), 2),
        repeats=3,
        out_s=200.0,
        retries=("api", "web"),
        retry_s=40.0,
        ownerless=("api", "web"),
        needs=("api", "claude"),
        plan=PLAN,
        revision=REVISION,
        advice="The advice comes first.",
        alike=(LikeFailures(("api", "web", "docs"), 3, "The disk is full.", "Make room."),),
        proven=1,
        unproven=3,
        total=4,
        has_changes=has_changes,
        has_findings=has_findings,
    )
    for kind in StepKind
    for has_changes in (False, True)
    for has_findings in (False, True)
)
BARE = tuple(NextStep(kind) for kind in StepKind)
TOOLS = ("route_task", "plan_dag", "review_council", "get_trace", "steer_run", "message_agents")
