"""Which work of a plan is reviewed, and what a person decides first: tasks of the plan like all others.

Rule: docs/rules.md#confidence-bands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from dispatch_mcp import model
from dispatch_mcp.model import model_names
from dispatch_mcp.model.problems import Notice
from dispatch_mcp.planning import gated_work, plan_advice
from dispatch_mcp.review import answer_form, review_tasks
from dispatch_mcp.routing import confidence, suitability
from dispatch_mcp.text.reading import excerpts

Policy = Literal["standard", "strict", "off"]
"""When a person decides: `standard` about work that writes and whose route is a person's to judge, `strict` also about
tasks that only look or that nobody claims, `off` never, and then nothing is added but what `each` asks for.
"""

Scope = Literal["end", "each", "none"]
"""What is reviewed: `end` the change of the whole run, by a council, before it ends; `each` task by task."""

GATE: Final = "decision"
REVIEW: Final = "review"
COUNCIL: Final = "council"
"""The id of a decision of a person, how ids of reviews end, and the id of a council, with which its seats' begin."""

BLOCKED: Final = "blocked_before"
"""The code of the notice of work on files on which a review has blocked a change before."""

MAX_SUBJECTS: Final = 8
"""Tasks whose work one shared review judges under `each`."""

MAX_NAMED: Final = 20
"""Tasks that the goal of a review names; all of them are shown to it."""

ATTEMPTS: Final = 3
"""Attempts of a review in a round: two answers, and one that trouble of a provider may take."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A plan's tasks with what the strategies ask for, in an order that keeps dependencies first."""

    tasks: Sequence[model.Task]
    notices: Sequence[Notice] = ()
    added: Mapping[str, str] = field(default_factory=dict[str, str])


def nobody(_task: model.Task) -> str:
    """Returns an empty string."""
    return ""


def no_council(_tasks: Sequence[model.Task]) -> Sequence[str]:
    """Returns no names."""
    return ()


@dataclass(frozen=True, slots=True)
class ReviewRules:
    """What the settings decide about reviews; `rounds` is how often each of them may judge.

    `reviewer` returns who should judge a task, empty for nobody in particular, and `council` who should judge all of
    some, nobody when there are no reviewers; `advocate` is who argues against what all of these pass. `final_ids` are
    the tasks of a live plan that may no longer change, and `earlier` is the version before: what wrote there and is not
    reviewed stays so, but for `disputed_work`: that on files on which a review has blocked a change before. What only
    reviews `by_words` judge, as their goals say so, is a council's to judge all the same.
    """

    policy: Policy = "standard"
    scope: Scope = "end"
    rounds: int = 3
    reviewer: Callable[[model.Task], str] = nobody
    council: Callable[[Sequence[model.Task]], Sequence[str]] = no_council
    advocate: str = ""
    final_ids: Collection[str] = ()
    earlier: Sequence[model.Task] = ()
    disputed_work: Collection[str] = ()
    by_words: Collection[str] = ()


STANDARD: Final = ReviewRules()


def with_reviews(
    tasks: Sequence[model.Task],
    strategies: Mapping[str, confidence.Strategy],
    rules: ReviewRules = STANDARD,
    *,
    taken: Collection[str] = (),
) -> Reviewed:
    """Returns the tasks with a review or a decision where the strategy of their route or the scope asks for one.

    Under `end` one council looks at all that writes: a review by each of its seats, and the task that joins them, for
    which nobody waits but the end of the run. Under `each` what others build on gets a review that everything behind it
    waits for, and shared reviews look at the rest. One decision comes before every task that writes and whose route is
    a person's to judge.
    `strategies` are by task id; ids in `taken` are not used again. `added` says why each new task is there.
    """
    names = _Names({task.id for task in tasks} | set(taken))
    for_person = _for_person(tasks, strategies, rules)
    before_others, beside = _subjects(tasks, strategies, rules)
    gate = names.free(GATE) if for_person else ""
    review_of = {task.id: names.free(f"{task.id}.{REVIEW}") for task in before_others}
    out: list[model.Task] = [_decision(gate, for_person)] if for_person else []
    behind_gate = {task.id for task in for_person}
    for task in tasks:
        deps = (
            *((gate,) if task.id in behind_gate else ()),
            *task.deps,
            *(review_of[dep] for dep in task.deps if dep in review_of and task.id not in rules.final_ids),
        )
        out.append(task if deps == task.deps else task.model_copy(update={"deps": deps}))
        if task.id in review_of:
            out.append(_review(review_of[task.id], [task], rules))
    together: dict[str, Sequence[model.Task]] = {}
    for start in range(0, len(beside), MAX_SUBJECTS):
        subjects = beside[start : start + MAX_SUBJECTS]
        together[names.free(REVIEW)] = subjects
    out += [_review(name, subjects, rules) for name, subjects in together.items()]
    out = _with_council(out, _end_subjects(tasks, rules), rules, names)
    return Reviewed(out, _notices(gate, for_person, review_of, together), _reasons(out, tasks))


def _for_person(
    tasks: Sequence[model.Task], strategies: Mapping[str, confidence.Strategy], rules: ReviewRules
) -> list[model.Task]:
    """Returns what a person decides about before it begins."""
    if rules.policy == "off":
        return []
    return [
        task
        for task in tasks
        if strategies.get(task.id) == "human" and (rules.policy == "strict" or declares_change(task))
    ]


def _unreviewed(
    tasks: Sequence[model.Task], rules: ReviewRules, changes: Callable[[model.Task], bool]
) -> list[model.Task]:
    """Returns the tasks that change something, that nobody reviews, and about which that is not decided already."""
    own_reviews = rules.by_words if rules.scope == "end" else ()
    settled_ids = {task_id for task in tasks if task.id not in own_reviews for task_id in task.reviews}
    agreed_ids = {task.id for task in rules.earlier if changes(task)}.difference(rules.disputed_work)
    settled_ids |= {*rules.final_ids, *agreed_ids}
    return [task for task in tasks if task.id not in settled_ids and changes(task)]


_REVIEWED: Final = "no edit takes that review out"
_UNREVIEWED: Final = "nothing in this plan reviews them"
_OFF: Final = (
    "the settings have reviews switched off, so this run ends as if they were passed: that has to be said with its "
    "results"
)


def blocked_notices(
    blocks: Mapping[str, tuple[str, str]], tasks: Sequence[model.Task], *, is_off: bool = False
) -> list[Notice]:
    """Returns what is said of work on files whose earlier change a review has blocked, by that review and its run.

    `blocks` are by task: the run, as people call it, and the review. What has no review in the plan is told of too.
    """
    reviewed_ids = {subject for task in tasks for subject in task.reviews}
    users: dict[tuple[str, str, bool], list[str]] = {}
    for task in tasks:
        if task.id in blocks:
            users.setdefault((*blocks[task.id], task.id in reviewed_ids), []).append(task.id)
    return [
        Notice(
            code=BLOCKED,
            tasks=tuple(task_ids),
            message=f"`{review}` of run {run} has blocked a change of their files: it stays so until a review passes "
            f"them or the user lets one go, and {_REVIEWED if is_reviewed else _OFF if is_off else _UNREVIEWED}.",
        )
        for (run, review, is_reviewed), task_ids in users.items()
    ]


def _end_subjects(tasks: Sequence[model.Task], rules: ReviewRules) -> list[model.Task]:
    """Returns the work that a council judges at the end: all that writes, however sure its routes are."""
    if rules.scope != "end" or rules.policy == "off":
        return []
    return _unreviewed(tasks, rules, lambda task: declares_change(task) or task.id in rules.disputed_work)


def _with_council(
    tasks: list[model.Task], subjects: Sequence[model.Task], rules: ReviewRules, names: _Names
) -> list[model.Task]:
    """Returns the tasks with a council that judges the subjects: one that has not begun takes them in."""
    if not subjects:
        return tasks
    growing = _open_council(tasks, rules)
    if growing:
        return [_grown(task, subjects) if task.id in growing else task for task in tasks]
    seats = rules.council(subjects)
    if not seats:
        return tasks
    council = names.free(COUNCIL)
    reviews = [
        _review(names.free(f"{council}.{seat.rsplit('/', 1)[-1]}"), subjects, rules).model_copy(
            update={"agent": seat, "constraints": review_tasks.CONSTRAINTS}
        )
        for seat in seats
    ]
    return [*tasks, *reviews, _joined(council, reviews, subjects, rules)]


def _joined(name: str, seats: Sequence[model.Task], subjects: Sequence[model.Task], rules: ReviewRules) -> model.Task:
    """Returns the task that makes one decision of the seats' verdicts; its agent argues against what all pass."""
    ids = tuple(seat.id for seat in seats)
    bare = _review(name, subjects, rules)
    update = {"agent": rules.advocate or None, "goal": review_tasks.ADVOCATE_GOAL, "deps": (*bare.deps, *ids)}
    return bare.model_copy(update={**update, "joins": ids, "constraints": review_tasks.CONSTRAINTS})


def _open_council(tasks: Sequence[model.Task], rules: ReviewRules) -> set[str]:
    """Returns the tasks of a council that planning has made and of which nothing has begun; nothing without one."""
    for task in tasks:
        group = {task.id, *task.joins}
        if task.joins and task.id.startswith(COUNCIL) and group.isdisjoint(rules.final_ids):
            return group
    return set()


def _is_of_council(task: model.Task) -> bool:
    return bool(task.joins) or (bool(task.reviews) and task.id.startswith(COUNCIL))


def _grown(task: model.Task, subjects: Sequence[model.Task]) -> model.Task:
    """Returns a task of a council that judges more work than before."""
    ids = [subject.id for subject in subjects]
    reads = dict.fromkeys([*task.reads, *(path for subject in subjects for path in subject.files)])
    reviews = (*task.reviews, *ids)
    fields = {"reviews": reviews, "deps": (*task.deps, *ids), "reads": tuple(reads)}
    return task.model_copy(update=fields if task.joins else {**fields, "goal": _question(reviews)})


def _question(subject_ids: Sequence[str]) -> str:
    names = ", ".join(f"`{task_id}`" for task_id in subject_ids[:MAX_NAMED])
    more = f" and {len(subject_ids) - MAX_NAMED} more" if len(subject_ids) > MAX_NAMED else ""
    return f"Review the work of {names}{more} against its goals: is it right, complete, tested and safe?"


def _subjects(
    tasks: Sequence[model.Task], strategies: Mapping[str, confidence.Strategy], rules: ReviewRules
) -> tuple[list[model.Task], list[model.Task]]:
    """Returns what is reviewed before anything builds on it, and what is reviewed beside the rest."""
    if rules.scope != "each":
        return [], []
    foundations = {dep for task in tasks for dep in task.deps if not task.reviews}
    subjects = [
        task
        for task in _unreviewed(tasks, rules, lambda task: writes(task) or task.id in rules.disputed_work)
        if strategies.get(task.id) != "direct" or task.id in rules.disputed_work
    ]
    return [task for task in subjects if task.id in foundations], [
        task for task in subjects if task.id not in foundations
    ]


def writes(task: model.Task) -> bool:
    """Returns whether a task changes something as far as anybody can tell: it says so, or does not say that it looks.

    What a command changes is decided by who allowed it, and a person's word, a review and a simulation change nothing.
    """
    return _is_agents_work(task) and (bool(task.files) or not plan_advice.only_looks(task))


def declares_change(task: model.Task) -> bool:
    """Returns whether a task says that it changes something: by the files that it names, or by its verb."""
    return _is_agents_work(task) and (bool(task.files) or plan_advice.says_to_write(task))


def may_touch_files(task: model.Task) -> bool:
    """Returns whether a task names files that it may change: an agent's, or a program's."""
    is_program = bool(task.command) or task.worker is model.WorkerKind.COMMAND
    return bool(task.files) and (declares_change(task) or (is_program and not task.reviews))


def _is_agents_work(task: model.Task) -> bool:
    return not (task.reviews or task.command or task.worker in _NO_AGENTS)


_NO_AGENTS: Final = (model.WorkerKind.HUMAN, model.WorkerKind.COMMAND, model.WorkerKind.SCRIPTED)


def with_reviewers(
    tasks: Sequence[model.Task], reviewers: Collection[str], final_ids: Collection[str] = ()
) -> list[model.Task]:
    """Returns the tasks, with those as reviews that plainly are, and that have work of others to judge.

    They judge the nearest work that they wait for. `reviewers` are the names of agents that review; tasks in
    `final_ids` may no longer change.
    """
    by_id = {task.id: task for task in tasks}

    def reviewing(task: model.Task) -> model.Task:
        if task.id in final_ids or task.files or task.command or not is_plain_review(task, reviewers):
            return task
        subjects = work_before(task, by_id, reviewers)
        deps = tuple(dict.fromkeys((*task.deps, *subjects)))
        return task.model_copy(update={"reviews": subjects, "deps": deps}) if subjects else task

    return [reviewing(task) for task in tasks]


def is_plain_review(task: model.Task, reviewers: Collection[str]) -> bool:
    """Returns whether a task that does not say what it reviews is a review all the same.

    Its agent is one of those that review, or its goal says so with its first words and asks for no change besides.
    """
    if task.reviews or task.worker is model.WorkerKind.HUMAN or review_tasks.assignment_of(task):
        return False
    if task.agent in reviewers:
        return True
    says_so = suitability.work(task.goal) == "reviews" or _begins_with_review(task.goal)
    return says_so and not (task.files or task.command or plan_advice.writes_besides(task))


def work_before(task: model.Task, tasks: Mapping[str, model.Task], reviewers: Collection[str]) -> tuple[str, ...]:
    """Returns the nearest work that a task waits for: through what only looks, asks or runs a program."""
    subjects: dict[str, None] = {}
    queue, visits = [*task.deps], {task.id}
    for name in queue:
        dep = tasks.get(name)
        if dep is None or name in visits:
            continue
        visits.add(name)
        if _is_work(dep, reviewers):
            subjects[name] = None
        else:
            queue += dep.deps
    return tuple(subjects)


_POLITE: Final = frozenset(["a", "an", "conduct", "do", "give", "make", "perform", "please", "run", "the"])
_KINDS: Final = frozenset(
    [
        "accessibility",
        "api",
        "architecture",
        "code",
        "design",
        "final",
        "peer",
        "performance",
        "quality",
        "security",
        "test",
    ]
)


def _begins_with_review(goal: str) -> bool:
    """Returns whether a goal begins by asking for a review of some kind: "Code review of …", "Do a final review"."""
    words = re.findall(r"[a-z]+", excerpts.OPENING.of(goal).lower())
    first = next((at for at, word in enumerate(words) if word not in _POLITE), len(words))
    return words[first : first + 1] != [] and words[first] in _KINDS and words[first + 1 : first + 2] in _REVIEWS


_REVIEWS: Final = (["review"], ["audit"])


def _is_work(task: model.Task, reviewers: Collection[str]) -> bool:
    return writes(task) and task.agent not in reviewers


@dataclass(slots=True)
class _Names:
    taken: set[str]

    def free(self, first: str) -> str:
        """Returns the wanted id, or the first free one with a number behind it, at most 64 characters long."""
        name = first if len(first) <= 64 else f"{first[:48]}.{REVIEW}"
        name = gated_work.free_id(name, self.taken, name[:58])
        self.taken.add(name)
        return name


def _decision(gate: str, subjects: Sequence[model.Task]) -> model.Task:
    names = ", ".join(task.id for task in subjects[:20]) + (
        f" and {len(subjects) - 20} more" if len(subjects) > 20 else ""
    )
    question = f"Decide whether these tasks go on as planned; no specialist is sure for them: {names}."
    return gated_work.decision_task(gate, question)


def _review(name: str, subjects: Sequence[model.Task], rules: ReviewRules) -> model.Task:
    return model.Task(
        id=name,
        do=_question([task.id for task in subjects]),
        deps=tuple(task.id for task in subjects),
        agent=next((name for task in subjects if (name := rules.reviewer(task))), None),
        model=model_names.REVIEW_MODEL,
        effort=model.Effort.S,
        reads=tuple(dict.fromkeys(path for task in subjects for path in task.files)),
        output=(answer_form.OUTPUT,),
        constraints=("Change nothing.",),
        attempts=ATTEMPTS,
        reviews=tuple(task.id for task in subjects),
        rounds=rules.rounds,
    )


def _notices(
    gate: str,
    for_person: Sequence[model.Task],
    review_of: Mapping[str, str],
    together: Mapping[str, Sequence[model.Task]],
) -> list[Notice]:
    notices: list[Notice] = []
    if for_person:
        message = f"`{gate}` waits for a person: name an agent for these tasks to plan them without it."
        notices.append(Notice(code="needs_decision", tasks=tuple(task.id for task in for_person), message=message))
    if review_of:
        message = "What depends on these waits for their reviews."
        notices.append(Notice(code="supervised", tasks=tuple(review_of), message=message))
    for name, subjects in together.items():
        message = f"`{name}` looks at these afterwards; nothing waits for it."
        notices.append(Notice(code="reviewed_after", tasks=tuple(task.id for task in subjects), message=message))
    return notices


def _reasons(out: Sequence[model.Task], before: Sequence[model.Task]) -> dict[str, str]:
    old_ids = {task.id for task in before}
    return {task.id: _reason(task) for task in out if task.id not in old_ids}


def _reason(task: model.Task) -> str:
    if task.worker is model.WorkerKind.HUMAN:
        return "a person decides: nobody is sure"
    return "reviews = end" if _is_of_council(task) else "reviews = each"
