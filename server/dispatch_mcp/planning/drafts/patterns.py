"""The dispatch patterns, when each fits, and which model suits which work (docs/rules.md#dispatch-patterns)."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from dispatch_mcp import model

Execution = Literal["sequential", "parallel", "consult then implement", "phased"]


class PatternStep(NamedTuple):
    """One task of a pattern's skeleton. `role` says which specialist fits; `each` that there is one per area."""

    id: str
    role: str
    do: str
    deps: tuple[str, ...] = ()
    model: str = ""
    each: bool = False


class Pattern(NamedTuple):
    """One way to split work. `signs` are what a request shows when it fits.

    `needs` says which parts of the request a plan of it is built of, in their order, and `least` how many at least.
    """

    name: str
    title: str
    when: str
    execution: Execution
    example: str
    signs: tuple[str, ...]
    needs: str
    skeleton: tuple[PatternStep, ...]
    least: int = 1

    @property
    def prompt(self) -> str:
        """The name of the prompt template that carries the pattern out."""
        return f"pattern-{self.name}"


class MatrixRow(NamedTuple):
    """One row of the decision matrix."""

    scenario: str
    pattern: str
    execution: Execution


class ModelChoice(NamedTuple):
    """Which model a kind of work gets, and why."""

    work: str
    model: str
    reason: str


PATTERNS: Final[tuple[Pattern, ...]] = (
    Pattern(
        name="single",
        title="Single specialist",
        when="The whole task lies in one specialist's domain.",
        execution="sequential",
        example="Fix the bug in budget tracking",
        signs=("one domain", "no dependencies"),
        needs="the whole, as one part",
        skeleton=(PatternStep("work", "the domain's specialist", "Find the cause, fix it, and prove it with a test"),),
    ),
    Pattern(
        name="parallel-investigation",
        title="Parallel investigation",
        when="Facts from several domains are needed before anybody can decide.",
        execution="parallel",
        example="Calls to the ticket service are slow",
        signs=("several domains", "the cause is unknown", "nobody waits for anybody"),
        needs="one part for each thing to look into",
        skeleton=(
            PatternStep(
                "look", "one specialist per domain", "Investigate this domain and report findings", (), "sonnet", True
            ),
            PatternStep(
                "conclude", "the lead", "Put the findings together: the cause, the evidence, the next step", ("look",)
            ),
        ),
    ),
    Pattern(
        name="sequential-handoff",
        title="Sequential with handoff",
        when="What one task produces is what the next one needs.",
        execution="sequential",
        example="Add retries to the ticket client and log failures to the database",
        signs=("output of one is input of another",),
        needs="the steps, in their order",
        skeleton=(
            PatternStep("design", "the specialist who defines the contract", "Define the schema or interface"),
            PatternStep(
                "build", "the specialist who uses it", "Implement against the handed-over contract", ("design",)
            ),
        ),
    ),
    Pattern(
        name="consultation",
        title="Consultation",
        when="One specialist implements and needs another's knowledge, not another's work.",
        execution="consult then implement",
        example="Track the cost of ticket API calls the way the agent module does",
        signs=("a pattern of another domain is to be followed", "a short, focused question"),
        needs="the questions first, the work last",
        skeleton=(
            PatternStep(
                "ask", "the specialist who knows", "Answer the question with code and patterns to reuse", (), "haiku"
            ),
            PatternStep("build", "the specialist who implements", "Implement with the answer", ("ask",)),
        ),
        least=2,
    ),
    Pattern(
        name="parallel-implementation",
        title="Parallel implementation",
        when="The same kind of change is needed in several independent places.",
        execution="parallel",
        example="Refactor the middleware chain in both servers",
        signs=("same change", "separate files", "a shared interface"),
        needs="one part for each place",
        skeleton=(
            PatternStep("contract", "the lead", "Write down the interface that all of them share"),
            PatternStep("change", "one specialist per place", "Make the change in this place", ("contract",), "", True),
            PatternStep("compare", "a reviewer", "Check that every place follows the interface", ("change",), "sonnet"),
        ),
    ),
    Pattern(
        name="phased-rollout",
        title="Phased rollout",
        when="A large feature needs a base, then work on it in many places, then proof.",
        execution="phased",
        example="Add audit logging across the whole system",
        signs=("infrastructure first", "many integration points", "verification at the end"),
        needs="the base first, then one part for each area",
        skeleton=(
            PatternStep("base", "the infrastructure specialist", "Build what everything else rests on"),
            PatternStep(
                "integrate", "one specialist per area", "Integrate this area with the base", ("base",), "", True
            ),
            PatternStep(
                "verify", "the infrastructure specialist", "Verify all integrations together", ("integrate",), "sonnet"
            ),
        ),
    ),
)

DECISION_MATRIX: Final[tuple[MatrixRow, ...]] = (
    MatrixRow("Task in a single domain", "single", "sequential"),
    MatrixRow("Investigation across several domains", "parallel-investigation", "parallel"),
    MatrixRow("One task's output is another's input", "sequential-handoff", "sequential"),
    MatrixRow("Knowledge from another domain is needed", "consultation", "consult then implement"),
    MatrixRow("The same change in several places", "parallel-implementation", "parallel"),
    MatrixRow("Rollout of a large feature", "phased-rollout", "phased"),
)

MODEL_TABLE: Final[tuple[ModelChoice, ...]] = (
    ModelChoice("Complex implementation", "opus", "needs deep reasoning"),
    ModelChoice("Investigation and analysis", "sonnet", "balances speed and quality"),
    ModelChoice("Quick consultation", "haiku", "answers fast and to the point"),
    ModelChoice("Code review", "sonnet", "is good at matching patterns"),
)


class Shape(NamedTuple):
    """A graph that can be built: its name, which parts it takes in which order, and how many at least."""

    name: str
    parts: str
    least: int = 1


SHAPES: Final[tuple[Shape, ...]] = (
    *(Shape(pattern.name, pattern.needs, pattern.least) for pattern in PATTERNS),
    Shape("three-phases", "what to find out first, one part each, the work last", 2),
    Shape("api-first", "the interface first, then one part for each side that builds on it", 2),
    Shape("feedback-loop", "the work; a review until it passes and a person's word follow"),
)
"""The six patterns, and three orders of work (docs/rules.md#three-phases, #api-first, #feedback-loop)."""

_BETWEEN_WORDS = re.compile(r"[\W_]+")


def shape(name: str) -> Shape | None:
    """Returns what is meant by a name, however its words are joined, or None."""
    plain = _BETWEEN_WORDS.sub("-", name.strip().casefold())
    titles = {_BETWEEN_WORDS.sub("-", pattern.title.casefold()): pattern.name for pattern in PATTERNS}
    return next((each for each in SHAPES if each.name == titles.get(plain, plain)), None)


def find(name: str) -> Pattern | None:
    """Returns the pattern of that name, or None."""
    return next((pattern for pattern in PATTERNS if pattern.name == name), None)


def as_json(pattern: Pattern) -> dict[str, model.Json]:
    """Returns a pattern as a JSON object; its skeleton uses the names that `plan_dag` takes."""
    steps = [
        {
            "id": step.id,
            "do": step.do,
            "deps": list(step.deps),
            "role": step.role,
            **({"model": step.model} if step.model else {}),
            **({"each": True} if step.each else {}),
        }
        for step in pattern.skeleton
    ]
    fields = pattern._asdict() | {"signs": list(pattern.signs), "skeleton": steps}
    return {**fields, "prompt": pattern.prompt}


def decision_matrix() -> str:
    """Returns the decision matrix and the model table as Markdown."""
    titles = {pattern.name: pattern.title for pattern in PATTERNS}
    lines = ["# Which pattern", "", "| Scenario | Pattern | Execution | Prompt |", "|---|---|---|---|"]
    lines += [
        f"| {row.scenario} | {titles[row.pattern]} | {row.execution} | `pattern-{row.pattern}` |"
        for row in DECISION_MATRIX
    ]
    lines += ["", "# Which model", "", "| Work | Model | Because it |", "|---|---|---|"]
    lines += [f"| {row.work} | {row.model} | {row.reason} |" for row in MODEL_TABLE]
    return "\n".join(lines) + "\n"
