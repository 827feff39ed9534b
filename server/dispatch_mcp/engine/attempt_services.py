"""What attempts have beside their workers: who proves, where they work, who keeps artifacts, who gathers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import artifacts, briefing, plan_review_attempt
from dispatch_mcp.engine.earlier_runs import disputed_changes
from dispatch_mcp.model import ports


@dataclass(frozen=True, slots=True)
class AttemptServices:
    """What attempts have beside their workers; what is not there is done without.

    `verifier` collects receipts of what is claimed, `workspaces` gives attempts worktrees and merges what they change,
    `archive` keeps artifacts, `briefing` gathers what tasks should read, `evidence` shows reviews what was changed;
    `agents` are those who may stand in for each other. `disputes` notices changes of files that reviews have blocked.
    """

    verifier: ports.Verifier | None = None
    workspaces: ports.WorkspaceProvider | None = None
    archive: artifacts.Archive | None = None
    briefing: briefing.Briefing | None = None
    evidence: plan_review_attempt.ReviewEvidence | None = None
    agents: Callable[[], catalog.Catalog] = catalog.Catalog
    disputes: disputed_changes.DisputedChanges | None = None


BARE = AttemptServices()
