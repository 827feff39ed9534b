"""What becomes of a plan's checked tasks: who does them, what is reviewed, when they run, and what is to be said."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dispatch_mcp import errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.model import problems
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.planning import (
    agent_choice,
    forecast,
    gated_work,
    plan_advice,
    plan_checks,
    plan_edits,
    proof_proposals,
    review_rules,
)
from dispatch_mcp.process import allowlist
from dispatch_mcp.review import reviewer_selection
from dispatch_mcp.routing import confidence
from dispatch_mcp.runs import prompt_lint

BANDS = confidence.Bands()
NO_CEILINGS = model.Limits()
NO_COMMANDS = allowlist.AllowList()


PATTERN: Final = "pattern "
"""How the reason of an added task begins that a pattern has."""


@dataclass(frozen=True, slots=True)
class PlanningRules:
    """What the configuration decides for every call; `workspace` is an absolute path, the lease is in seconds.

    `ceilings` are the most that a run may be given, `price` is what forecasts and reports are priced by, `allow_list`
    what the server may start, and `how_to_allow` what the user writes for a command that it may not. `reviews` says
    what is reviewed, and `review_rounds` how often a review of it may judge.
    """

    workspace: str
    max_parallel: int = 5
    lease_s: float = 1800.0
    depth: int = 0
    depth_limit: int = 2
    bands: confidence.Bands = BANDS
    review_policy: review_rules.Policy = "standard"
    reviews: review_rules.Scope = "end"
    review_rounds: int = 3
    ceilings: model.Limits = NO_CEILINGS
    price: forecast.Price = forecast.no_price
    allow_list: allowlist.AllowList = NO_COMMANDS
    how_to_allow: Callable[[Sequence[str], Sequence[Sequence[str]]], str] = lambda _argv, _beside: ""

    @property
    def has_reviews(self) -> bool:
        """Whether work is reviewed here, so that what a review has blocked stays so."""
        return self.reviews != "none" and self.review_policy != "off"


class PlanProposal(NamedTuple):
    """A stored plan, its schedule, and what was decided for each task that did not say: agent, model, confidence.

    `changes` says what an edit did (`replan.changes`); the schedule of an edited plan is of what has not ended.
    `proofs` are acceptance that its tasks could be given. `additions` are the tasks that nobody sent, each with its
    reason; `goals` are those that were made of parts, in the words that they were sent in.
    """

    plan: model.Plan
    prepared: plan_checks.ScheduledPlan
    decided: Mapping[str, Mapping[str, model.Json]]
    changes: Mapping[str, model.Json] = {}
    proofs: proof_proposals.Proposals = proof_proposals.Proposals()
    additions: Mapping[str, str] = {}
    goals: Mapping[str, str] = {}


class CheckedPlan(NamedTuple):
    """A plan in which nothing is wrong, without secrets: its frame, its tasks, what is to be said of them.

    `choice` says who may do its tasks, and `questions` are those of them that a model shall choose for.
    """

    frame: model.Plan
    tasks: Sequence[model.Task]
    notes: Sequence[problems.Notice]
    choice: agent_choice.AgentChoice
    questions: Sequence[agent_choice.Question] = ()


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides about a plan beside its tasks: who may do them, what tests them, what has been, what is there.

    `near_files` are notices of declared files that other names are near to. `blocks` are the run and the review that
    have blocked a change of a task's files before, by task, and `gates` the decisions that a person has refused or not
    made before the same work elsewhere.
    """

    rules: PlanningRules
    agents: catalog.Catalog
    picks: agent_choice.Choices
    runners: Sequence[proof_proposals.Runner]
    past: forecast.Past
    inner_folders: Collection[str]
    near_files: Sequence[problems.Notice]
    blocks: Mapping[str, tuple[str, str]]
    gates: Mapping[str, gated_work.EarlierGate]

    def proposal(self, candidate: CheckedPlan, standing: plan_edits.TaskProgress) -> PlanProposal:
        """Returns the plan of checked tasks: who does them, what is reviewed, when they run and what is to be said.

        It computes for long: only threads call it. Raises PlanRejected with the write conflicts that nobody may settle.
        """
        rules, picks, frame = self.rules, self.picks, candidate.frame
        reviewers = reviewer_selection.names(self.agents)
        gated_tasks = gated_work.with_approval(candidate.tasks, self.gates, standing.fixed)
        judging = review_rules.with_reviewers(gated_tasks.tasks, reviewers, standing.fixed)
        by_words = {
            task.id
            for task, old in zip(judging, gated_tasks.tasks, strict=True)
            if task.reviews and not old.reviews and task.agent not in reviewers
        }
        assignment = candidate.choice.assign(judging, standing.fixed, picks.agents)
        with_reviews = review_rules.with_reviews(
            assignment.tasks, assignment.strategies, self._review_rules(standing.fixed, frame.tasks, by_words)
        )
        rest = plan_edits.rest(with_reviews.tasks, standing, frame.workspace)
        schedule = plan_checks.prepare(
            rest.tasks,
            max_parallel=frame.max_parallel,
            on_conflict=frame.on_conflict,
            durations=self.past.durations(rest.tasks),
            workspace=frame.workspace,
        )
        refuse(schedule.problems)
        tasks = rest.merged(with_reviews.tasks, schedule.tasks)
        new_additions = {**gated_tasks.additions, **with_reviews.added}
        additions = {**frame.additions, **new_additions}
        plan = frame.model_copy(
            update={
                "tasks": tasks,
                "added_edges": (*rest.edges, *schedule.added_edges),
                "additions": {task.id: additions[task.id] for task in tasks if task.id in additions},
                "routing_usage": picks.with_earlier(frame.routing_usage),
                "forecast": forecast.of_plan(schedule, frame.max_parallel, self.past, rules.price).answer(),
            }
        )
        notices = [
            *candidate.notes,
            *self.near_files,
            *gated_tasks.notices,
            *assignment.notices,
            *with_reviews.notices,
            *review_rules.blocked_notices(self.blocks, tasks, is_off=not rules.has_reviews),
            *prompt_lint.lint_tasks(candidate.tasks),
            *proof_proposals.refused_commands(rest.tasks, rules.allow_list, rules.how_to_allow),
            *plan_advice.of_inner_folders(candidate.tasks, self.inner_folders, frame.workspace),
        ]
        return PlanProposal(
            plan,
            schedule.with_notices(notices),
            assignment.choices,
            proofs=proof_proposals.propose(rest.tasks, self.runners, rules.allow_list),
            additions=plan.additions if plan.version == 1 else new_additions,
        )

    def _review_rules(
        self, pinned_ids: Collection[str], earlier: Sequence[model.Task], by_words: Collection[str]
    ) -> review_rules.ReviewRules:
        rules = self.rules
        return review_rules.ReviewRules(
            rules.review_policy,
            rules.reviews,
            rules.review_rounds,
            functools.partial(agent_choice.reviewer, self.agents),
            functools.partial(agent_choice.council, self.agents),
            advocate=reviewer_selection.pool(self.agents).advocate_name,
            final_ids=frozenset(pinned_ids),
            earlier=earlier,
            disputed_work=frozenset(self.blocks) if rules.has_reviews else frozenset(),
            by_words=by_words,
        )


def refuse(faults: Sequence[problems.Problem]) -> None:
    """Raises PlanRejected when there are problems."""
    if faults:
        raise errors.PlanRejected(
            f"The plan has {len(faults)} problem{'s' if len(faults) > 1 else ''}; nothing was stored.",
            hint=NextStep(StepKind.CORRECT_PLAN),
            problems=tuple(faults),
        )
