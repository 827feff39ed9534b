"""Acceptance proposed to tasks that ask for no proof: from what the workspace shows, and only what is allowed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.planning import acceptance, plan_edits, proof_proposals
from dispatch_mcp.process import allowlist

NPM = json.dumps({"scripts": {"test": "vitest run"}})
NPM_DEFAULT = json.dumps({"scripts": {"test": 'echo "Error: no test specified" && exit 1'}})


def project(*names: str, **texts: str) -> proof_proposals.ProjectFiles:
    """Returns a project with these names, and files whose names are written with `_` for the dot."""
    files = {name.replace("_", "."): text for name, text in texts.items()}
    return proof_proposals.ProjectFiles(files, frozenset({*names, *files}))


def allowing(*commands: str) -> allowlist.AllowList:
    return allowlist.parse([command.split() for command in commands])


def task(*files: str, **fields: Any) -> model.Task:
    return model.Task(id=fields.pop("id", "t"), do="Do it", files=files, **fields)


def proposed(
    files: tuple[str, ...], shown: proof_proposals.ProjectFiles, *commands: str, **fields: Any
) -> tuple[str, ...]:
    runners = proof_proposals.runners_of(shown)
    return proof_proposals.proposal_for(task(*files, **fields), runners, allowing(*commands))[0]


PYTEST = project("tests/test_cart.py", pyproject_toml="[tool.pytest.ini_options]\n")
EVIDENCE: list[tuple[proof_proposals.ProjectFiles, str, str]] = [
    (PYTEST, "cart.py", "pytest -q"),
    (PYTEST, "cart.py", "uv run pytest"),
    (PYTEST, "cart.py", "python -m pytest -q"),
    (project("pytest.ini"), "cart.py", "pytest"),
    (project("conftest.py"), "src/cart.py", "pytest -q"),
    (project(setup_cfg="[options.extras_require]\ntest = pytest\n"), "cart.py", "pytest -q"),
    (project("tests/test_cart.py"), "cart.py", "python -m unittest"),
    (project("tests/test_cart.py"), "cart.py", "pytest -q"),
    (project("noxfile.py"), "cart.py", "nox"),
    (project(package_json=NPM), "src/cart.ts", "npm test"),
    (project("pnpm-lock.yaml", package_json=NPM), "src/cart.vue", "pnpm test"),
    (project("yarn.lock", package_json=NPM), "src/cart.js", "yarn test"),
    (project("bun.lock", package_json=NPM), "src/cart.js", "bun run test"),
    (project("go.mod"), "cart/cart.go", "go test ./..."),
    (project("Cargo.toml"), "src/cart.rs", "cargo test"),
    (project("pom.xml"), "src/main/Cart.java", "mvn -q test"),
    (project("build.gradle.kts"), "src/main/Cart.kt", "gradle test"),
    (project(".rspec"), "lib/cart.rb", "bundle exec rspec"),
    (project(Makefile="test: build\n\tpytest\n"), "anything.c", "make test"),
    (project(Makefile="all:\n\ncheck:\n\t./run\n"), "anything.c", "make check"),
]


@pytest.mark.parametrize(("shown", "file", "command"), EVIDENCE, ids=[command for _, _, command in EVIDENCE])
def test_what_runs_the_tests_of_a_project_is_proposed_where_the_user_allows_it(
    shown: proof_proposals.ProjectFiles, file: str, command: str
) -> None:
    assert proposed((file,), shown, command) == ("diff", f"command: {command}")
    assert proposed((file,), shown) == ("diff",)
    assert proposed((file,), project(), command) == ("diff",), "nothing in the workspace says that there are tests"


def test_tests_that_are_declared_must_change() -> None:
    assert proposed(("cart.py", "tests/test_cart.py"), PYTEST, "pytest -q") == ("diff:tests/", "command: pytest -q")
    assert proposed(("tests/test_a.py", "tests/test_b.py"), PYTEST)[0] == "diff:tests/"
    assert proposed(("src/cart_test.go",), project("go.mod"))[0] == "diff:src/cart_test.go"


@pytest.mark.parametrize("file", ["README.md", "docs/guide.rst", "docs/**", "LICENSE", "data/prices.csv"])
def test_what_no_test_looks_at_has_no_tests_run_for_it(file: str) -> None:
    assert proposed((file,), PYTEST, "pytest -q", "make test") == ("diff",)


def test_a_folder_may_hold_what_is_tested() -> None:
    assert proposed(("src/**",), PYTEST, "pytest -q") == ("diff", "command: pytest -q")
    assert proposed(("src/shop/",), project("go.mod"), "go test ./...") == ("diff", "command: go test ./...")


def test_another_language_is_not_tested_by_this_ones_runner() -> None:
    both = project("go.mod", "pytest.ini")
    assert proposed(("web/cart.ts",), both, "pytest -q", "go test ./...") == ("diff",)
    assert proposed(("cart.go",), both, "pytest -q", "go test ./...") == ("diff", "command: go test ./...")


def test_an_entry_of_the_users_own_is_taken_as_they_wrote_it() -> None:
    assert proposed(("cart.py",), PYTEST, "pytest -q -x tests") == ("diff", "command: pytest -q -x tests")
    assert proposed(("cart.py",), PYTEST, "pytest --lf **") == ("diff", "command: pytest --lf")
    assert proposed(("cart.py",), PYTEST, "ruff check **") == ("diff",)


def test_an_entry_for_single_files_is_filled_with_the_tests_of_the_task() -> None:
    assert proposed(("cart.py", "tests/test_cart.py"), PYTEST, "pytest -q tests/*") == (
        "diff:tests/",
        "command: pytest -q tests/test_cart.py",
    )
    assert proposed(("cart.py",), PYTEST, "pytest -q tests/*") == ("diff",)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"scripts": []}', '{"scripts": {"test": 5}}', NPM_DEFAULT, "[" * 9_999]
)
def test_a_package_without_tests_is_no_evidence(text: str) -> None:
    assert proposed(("src/cart.ts",), project(package_json=text), "npm test") == ("diff",)


def test_a_makefile_that_only_assigns_is_no_evidence() -> None:
    assert proposed(("a.c",), project(Makefile="test := x\n# test: no\n"), "make test") == ("diff",)


@pytest.mark.parametrize(
    "fields",
    [
        {"acceptance": ("diff",)},
        {"command": ("make",)},
        {"worker": "human"},
        {"worker": "command"},
        {"worker": "scripted"},
    ],
)
def test_who_asks_for_proof_or_needs_none_gets_no_proposal(fields: dict[str, Any]) -> None:
    assert proposed(("cart.py",), PYTEST, "pytest -q", **fields) == ()
    assert proposed((), PYTEST, "pytest -q") == ()


PATHS = st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5)


@given(PATHS, st.sampled_from([PYTEST, project("go.mod", Makefile="test:\n"), project(package_json=NPM)]))
def test_whatever_is_proposed_is_acceptance_that_the_server_checks(
    files: list[str], shown: proof_proposals.ProjectFiles
) -> None:
    for criterion in proposed(tuple(files), shown, "pytest **", "make test", "npm test", "pytest -q *"):
        reading = acceptance.read(criterion)
        assert isinstance(reading, acceptance.Criterion)
        assert reading.kind in ("diff", "command")


def answer(*tasks: model.Task, commands: tuple[str, ...] = ("pytest -q",)) -> dict[str, Any]:
    runners = proof_proposals.runners_of(PYTEST)
    return proof_proposals.answer(proof_proposals.propose(tasks, runners, allowing(*commands)))


def test_what_tasks_share_is_said_once() -> None:
    tasks = [task(f"src/{number}.py", id=f"t{number}") for number in range(50)]
    shown = answer(*tasks, task("README.md", id="readme"))
    assert shown == {"prove": {"*": ["diff", "command: pytest -q"], "readme": ["diff"]}}


def test_what_would_prove_more_is_named_where_it_is_not_allowed() -> None:
    assert answer(task("cart.py"), commands=()) == {"prove": {"*": ["diff"]}, "prove_if_allowed": "pytest -q"}


def test_a_plan_that_asks_for_proof_has_nothing_to_read() -> None:
    assert answer(task("cart.py", acceptance=("diff",)), task()) == {}


@pytest.mark.parametrize("commands", [(), ("pytest -q",)])
@pytest.mark.parametrize("count", [1, 2, 10, 100])
def test_a_proposal_costs_at_most_sixty_characters_a_task(count: int, commands: tuple[str, ...]) -> None:
    kinds = [("src/cart.py",), ("src/cart.py", "tests/test_cart.py"), ("README.md",)]
    tasks = [task(*kinds[number % 3], id=f"task-{number}") for number in range(count)]
    shown = json.dumps(answer(*tasks, commands=commands), separators=(",", ":"))
    assert len(shown) - len("{}") <= 60 * count


def refused(*tasks: model.Task, commands: tuple[str, ...] = ()) -> list[str]:
    notices = proof_proposals.refused_commands(
        tasks, allowing(*commands), lambda argv, beside: f"Allow {[*beside, argv]}."
    )
    return [f"{', '.join(notice.tasks)}: {notice.message}" for notice in notices]


def test_a_command_that_may_not_start_is_named_when_the_plan_is_made() -> None:
    tasks = [
        task(id="a", acceptance=("command: npm test", "diff:x", "words")),
        task(id="b", acceptance=("command: npm test", "command: pytest -q")),
        task(id="c", command=("make", "all")),
    ]
    assert refused(*tasks, commands=("pytest -q",)) == [
        "a, b: 'npm test' is not on the user's allow-list.",
        "c: 'make all' is not on the user's allow-list. Allow [('npm', 'test'), ('make', 'all')].",
    ]
    assert refused(*tasks, commands=("pytest -q", "npm test", "make **")) == []


def test_a_command_that_no_entry_can_allow_says_so_beside_those_that_one_line_allows() -> None:
    tasks = [
        task(id=key, command=command) for key, command in (("a", ("npm", "test")), ("b", ("./x",)), ("c", ("make",)))
    ]
    assert refused(*tasks) == [
        "a: 'npm test' is not on the user's allow-list.",
        "b: './x' is not on the user's allow-list. Allow [('./x',)].",
        "c: 'make' is not on the user's allow-list. Allow [('npm', 'test'), ('make',)].",
    ]


def test_of_many_commands_the_first_are_named_and_the_rest_counted() -> None:
    lines = refused(*[task(id=f"t{number}", command=("make", str(number))) for number in range(10)])
    assert len(lines) == proof_proposals.MOST_COMMANDS + 1
    assert lines[-1].endswith("7 more commands are not on it either.")


BOTH = ("diff", "command: pytest -q")


def by_file(subject: model.Task) -> tuple[str, ...]:
    return () if subject.acceptance or not subject.files else BOTH


def test_an_edit_takes_the_proposals_of_all_tasks_or_of_one() -> None:
    before = [task("a.py", id="a"), task("b.py", id="b", acceptance=("file:b.py",)), task(id="c")]
    every, faults = plan_edits.apply(before, [{"op": "prove", "id": "*"}], by_file)
    assert faults == []
    assert [one.acceptance for one in every] == [BOTH, ("file:b.py",), ()]
    single, faults = plan_edits.apply(before, [{"op": "prove", "id": "a"}], by_file)
    assert (faults, single) == ([], every)


@pytest.mark.parametrize("task_id", ["b", "c"])
def test_an_edit_that_finds_nothing_to_propose_says_so(task_id: str) -> None:
    before = [task("b.py", id="b", acceptance=("file:b.py",)), task(id="c")]
    for name in (task_id, "*"):
        after, [fault] = plan_edits.apply(before, [{"op": "prove", "id": name}], by_file)
        assert (after, fault.code, fault.where) == (before, "bad_edit", "edits[0].id")
        assert name in fault.message


def test_only_the_edit_for_proof_speaks_of_all_tasks() -> None:
    _, [fault] = plan_edits.apply([task("a.py", id="a")], [{"op": "skip", "id": "*"}], by_file)
    assert fault.code == "unknown_task"
