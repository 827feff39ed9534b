from __future__ import annotations

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import work_order
from dispatch_mcp.runs import prompt_builder, prompt_lint

GOOD = {
    "id": "register",
    "do": "New users can register through POST /api/users; all tests pass",
    "constraints": ["Hash passwords with bcrypt"],
    "reads": ["src/auth/login.ts"],
    "output": ["src/routes/users.ts", "Unit tests in tests/users.test.ts"],
}


def codes(**changes: object) -> list[str]:
    task = model.Task.model_validate(GOOD | changes)
    work = work_order.WorkOrder("r1", task, 1, model.WorkerKind.HOST, workspace="/project")
    return [problem.code for problem in prompt_lint.lint(prompt_builder.build(work, nonce="k7f3q9x2m4").sections)]


def test_the_worked_example_has_no_problem() -> None:
    assert codes() == []


def test_every_problem_is_named_at_once_in_the_order_of_the_sections() -> None:
    assert codes(do="Improve the code", constraints=[], reads=[], output=[]) == [
        "goal_unmeasurable",
        "limits_missing",
        "context_missing",
        "deliverables_missing",
    ]


def test_what_an_output_lacks_is_named_with_its_section() -> None:
    prose = prompt_builder.Section("OUTPUT", (prompt_builder.Prose("as usual"),))
    vague = prompt_builder.Section("OUTPUT", (prompt_builder.Items(("stuff",)),))
    for section, code in ((prose, "deliverables_missing"), (vague, "deliverable_vague")):
        [problem] = [problem for problem in prompt_lint.lint([section]) if problem.code.startswith("deliverable")]
        assert (problem.code, problem.where) == (code, "OUTPUT")


def test_a_missing_section_is_named() -> None:
    problems = prompt_lint.lint(
        [prompt_builder.Section("GOAL", (prompt_builder.Prose("The tests in tests/api pass"),))]
    )
    assert [problem.where for problem in problems] == ["CONSTRAINTS", "CONTEXT", "OUTPUT"]
    assert all(problem.fix for problem in problems)


@pytest.mark.parametrize("goal", ["Improve performance", "Clean up the module", "Make login nicer", "Refactor auth"])
def test_a_goal_that_nobody_could_measure_is_named(goal: str) -> None:
    assert codes(do=goal) == ["goal_unmeasurable"]


@pytest.mark.parametrize(
    "goal",
    [
        "Improve p95 latency to 200 ms",
        "Handle empty carts so that checkout answers 400",
        "GET /health returns the version",
        "Find the root cause of the 401 answers",
        "`make test` is green",
    ],
)
def test_a_goal_with_a_measure_is_accepted(goal: str) -> None:
    assert codes(do=goal) == []


@pytest.mark.parametrize(
    "result",
    [
        *("success", "succeed", "succeeds", "pass", "passes", "passed", "works", "green", "fail", "fails"),
        *("return", "returns", "respond", "responds", "answer", "answers", "print", "prints", "matches"),
        *("exist", "exists", "no longer", "without", "until", "so that", "exactly", "every", "each"),
        *("all", "report", "list", "root cause", "which", "why"),
    ],
)
def test_a_word_for_a_result_measures_a_goal_wherever_it_stands(result: str) -> None:
    assert codes(do=f"Rename basket {result}") == []
    assert codes(do=f"Rename basket un{result}ing") == ["goal_unmeasurable"]


@pytest.mark.parametrize("word", ["pass", "passes", "until", "so that", "no longer", "root cause"])
@pytest.mark.parametrize(
    "weak",
    [
        *("improve", "enhance", "optimize", "optimise", "clean up", "cleanup", "handle", "look at"),
        *("look into", "better", "nicer"),
    ],
)
def test_a_goal_that_only_asks_for_better_is_measured_by_firm_words_alone(weak: str, word: str) -> None:
    assert codes(do=f"{weak} the basket, {word}") == []
    assert codes(do=f"{weak} the basket, every one of them") == ["goal_unmeasurable"]


@pytest.mark.parametrize(
    "words",
    [
        *("etc", "and so on", "stuff", "thing", "things", "something", "anything", "whatever"),
        *("as needed", "if necessary", "improvement", "improvements", "various", "tbd"),
    ],
)
def test_a_deliverable_in_words_that_name_nothing_is_vague(words: str) -> None:
    assert codes(output=[f"The tests, {words}"]) == ["deliverable_vague"]


def test_a_vague_deliverable_is_said_to_stand_in_the_output() -> None:
    task = model.Task.model_validate(GOOD | {"output": ["stuff"]})
    work = work_order.WorkOrder("r1", task, 1, model.WorkerKind.HOST, workspace="/project")
    [problem] = prompt_lint.lint(prompt_builder.build(work, nonce="k7f3q9x2m4").sections)
    assert (problem.where, problem.fix) == ("OUTPUT", "Name the path or the content.")


def test_a_plan_whose_goals_say_nothing_is_told_so() -> None:
    task = model.Task.model_validate(GOOD | {"do": "Fix"})
    (notice,) = prompt_lint.lint_tasks([task])
    assert notice.message == "register: no goal"


def test_acceptance_makes_any_goal_measurable() -> None:
    assert codes(do="Refactor auth", acceptance=["tests/auth passes unchanged"]) == []


@pytest.mark.parametrize("goal", ["", "  ", "Fix"])
def test_a_goal_that_says_nothing_is_named(goal: str) -> None:
    assert codes(do=goal) == ["goal_empty"]


@pytest.mark.parametrize("item", ["code", "some tests etc", "various improvements", "anything useful"])
def test_a_vague_deliverable_is_named_with_its_text(item: str) -> None:
    assert codes(output=[item]) == ["deliverable_vague"]


def test_files_that_may_be_changed_are_a_limit_and_a_context() -> None:
    assert codes(constraints=[], reads=[], files=["src/routes/users.ts"]) == []


def test_a_missing_goal_is_named() -> None:
    assert [problem.where for problem in prompt_lint.lint([])] == list(prompt_builder.SECTIONS)


def test_a_plan_is_told_in_one_notice_what_its_briefs_lack_and_whose() -> None:
    whole = {"constraints": ["Keep the API"], "output": ["src/login.py"]}
    tasks = [
        model.Task.model_validate({"id": "good", "do": "Return 401 for a wrong password", **whole}),
        model.Task.model_validate({"id": "vague", "do": "Improve the login page"}),
        model.Task.model_validate({"id": "shell", "do": "Test", "command": ["make", "test"]}),
    ]
    (notice,) = prompt_lint.lint_tasks(tasks)
    assert notice.code == "brief_gaps"
    assert notice.message == "vague: no measurable goal, no constraints, no output"
    (notice,) = prompt_lint.lint_tasks(tasks[1:] * 3)
    assert notice.message == "all: no measurable goal, no constraints, no output"
    assert prompt_lint.lint_tasks(tasks[:1]) == []


@pytest.mark.parametrize(
    ("whole", "vague", "whose"),
    [
        (1, 3, "all but whole-0"),
        (2, 3, "all but whole-0, whole-1"),
        (3, 3, "vague-0, vague-1 +1"),
        (1, 2, "vague-0, vague-1"),
        (0, 1, "vague-0"),
    ],
)
def test_tasks_with_the_same_gap_are_named_by_the_fewer_names(whole: int, vague: int, whose: str) -> None:
    fields = {"constraints": ["Keep the API"], "output": ["src/login.py"]}
    goals = {"whole": "Return 401 for a wrong password", "vague": "Improve the login page"}
    names = [("whole", n) for n in range(whole)] + [("vague", n) for n in range(vague)]
    tasks = [model.Task.model_validate({"id": f"{kind}-{n}", "do": goals[kind], **fields}) for kind, n in names]
    (notice,) = prompt_lint.lint_tasks(tasks)
    assert notice.message == f"{whose}: no measurable goal"
