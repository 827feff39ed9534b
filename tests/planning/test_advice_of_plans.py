"""What users would otherwise find out while a plan runs, said when it is made."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.planning import plan_advice, plan_checks


def task(task_id: str, **fields: model.Json) -> model.Task:
    return model.Task.model_validate({"id": task_id, "do": "Explain it", **fields})


def notices(*tasks: model.Task, on_conflict: model.Conflict = "serialize") -> dict[str, tuple[str, ...]]:
    """Returns the tasks of each notice of a plan, by its code."""
    scheduled = plan_checks.prepare(tasks, max_parallel=5, on_conflict=on_conflict)
    return {notice.code: notice.tasks for notice in scheduled.notices}


def message(code: str, *tasks: model.Task) -> str:
    scheduled = plan_checks.prepare(tasks, max_parallel=5)
    return next(notice.message for notice in scheduled.notices if notice.code == code)


OTHERS = (task("x"), task("y"))


@pytest.mark.parametrize(
    ("goal", "writes"),
    [
        ("Add a cart", True),
        ("Please add a cart", True),
        ("Write tests for the cart", True),
        ("Refactor the cart, then review it", True),
        ("Review the cart and fix what you find", False),
        ("Explain how to add a cart", False),
        ("Analyze and optimise the queries", False),
        ("ADD a cart", True),
        ("The additive is readdressed", False),
        ("Cart", False),
        ("Look at it. " * 20 + "Add a cart", False),
        ("", False),
    ],
)
def test_a_task_whose_first_telling_verb_is_one_of_writing_should_declare_its_files(goal: str, *, writes: bool) -> None:
    silent = task("a").model_copy(update={"goal": goal})
    assert ("no_files_declared" in notices(silent, *OTHERS)) is writes
    assert "no_files_declared" not in notices(silent)
    declared = silent.model_copy(update={"files": ("a.py",)})
    by_command = silent.model_copy(update={"id": "b", "command": ("make", "cart")})
    assert "no_files_declared" not in notices(declared, by_command, *OTHERS)


@pytest.mark.parametrize(
    ("path", "hot"),
    [
        ("package.json", True),
        ("web/package.json", True),
        ("pyproject.toml", True),
        ("src/shop/__init__.py", True),
        ("poetry.lock", True),
        ("db/migrations/0001.sql", True),
        ("db/migrations", True),
        ("alembic/versions/a.py", True),
        ("go.sum", True),
        ("package.json.bak", False),
        ("my_package.json", False),
        ("src/lock.py", False),
        ("migrations.md", False),
        ("src/init.py", False),
        ("a.py", False),
    ],
)
def test_files_that_others_tend_to_change_too_are_pointed_out(path: str, *, hot: bool) -> None:
    tasks = (task("x", files=["x.py"]), task("a", files=["src/a.py", path]), task("y"))
    assert notices(*tasks).get("hot_file") == (("a",) if hot else None)
    assert "hot_file" not in notices(task("a", files=[path]))


def test_what_a_reader_may_see_half_written_is_pointed_out_with_its_path() -> None:
    writer, reader = task("write", files=["src"]), task("read", reads=["src/a.py"])
    assert notices(writer, reader, *OTHERS)["read_after_write_unordered"] == ("read",)
    assert message("read_after_write_unordered", writer, reader, *OTHERS) == (
        "`read` reads `src/a.py`, which `write` writes; add a dep if order matters."
    )
    for deps in ({"read": ("write",)}, {"write": ("read",)}):
        ordered = [one.model_copy(update={"deps": deps.get(one.id, ())}) for one in (writer, reader, *OTHERS)]
        assert "read_after_write_unordered" not in notices(*ordered)


@pytest.mark.parametrize(("count", "more"), [(1, ""), (3, ""), (4, " (and 1 more)"), (30, " (and 27 more)")])
def test_of_many_such_pairs_three_are_told_and_the_rest_counted(count: int, more: str) -> None:
    writers = [task(f"w{number}", files=[f"f{number}"]) for number in range(count)]
    readers = [task(f"r{number}", reads=[f"f{number}"]) for number in range(count)]
    text = message("read_after_write_unordered", *writers, *readers)
    assert text.count(" reads ") == min(count, 3)
    assert text.endswith(f" writes{more}; add a dep if order matters.")


def test_a_plan_about_which_there_is_nothing_to_say_gets_no_advice() -> None:
    assert notices(task("a", files=["a.py"]), task("b", reads=["a.py"], deps=["a"]), task("c", deps=["a"])) == {}


def test_globs_that_were_taken_for_folders_are_said_to_be() -> None:
    many = [task(f"t{number}", files=[f"p{number}/*.py"]) for number in range(150)]
    assert "too_many_globs" in notices(*many)
    assert "too_many_globs" not in notices(*many[:50])


def test_a_pair_that_reads_from_each_other_is_told_from_both_sides() -> None:
    one, other = task("a", files=["a"], reads=["b"]), task("b", files=["b"], reads=["a"])
    assert set(notices(one, other, *OTHERS)["read_after_write_unordered"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("tasks", "code"),
    [
        ([task("a")], "trivial_plan"),
        ([task("a"), task("b")], "trivial_plan"),
        ([task("a"), task("b", deps=["a"])], "trivial_plan"),
        ([task("a"), task("b", deps=["a"]), task("c", deps=["b"])], "single_chain"),
        ([task("a"), task("b", deps=["a"]), task("c", deps=["a"])], ""),
        ([task("a", files=["f"]), task("b", files=["f"]), task("c", files=["f"])], "single_chain"),
    ],
)
def test_a_plan_that_gains_nothing_from_being_one_is_told_so(tasks: list[model.Task], code: str) -> None:
    shape = set(notices(*tasks)) & {"trivial_plan", "single_chain"}
    assert shape == ({code} if code else set())


def test_large_tasks_and_repeated_dependencies_are_named() -> None:
    tasks = (task("a", effort="XL"), task("b", deps=["a", "a"]), task("c", deps=["a", "b"]), task("d", effort="L"))
    found = notices(*tasks)
    assert found["oversized"] == ("a",)
    assert found["duplicate_dependency"] == ("b",)


@pytest.mark.parametrize("count", [20, 21, 45])
def test_a_notice_names_twenty_tasks_and_counts_all(count: int) -> None:
    tasks = [task(f"t{number}", effort="XL") for number in range(count)]
    notice = next(notice for notice in plan_advice.of_tasks(tasks) if notice.code == "oversized")
    assert notice.tasks == tuple(f"t{number}" for number in range(min(count, 20)))
    assert notice.message.endswith(f" ({count} tasks)") is (count > 20)


@settings(max_examples=50)
@given(st.permutations(["w", "r", "x", "y"]), st.booleans())
def test_advice_does_not_hang_on_the_order_in_which_tasks_were_written(order: list[str], ordered: bool) -> None:  # noqa: FBT001
    named = {
        "w": task("w", files=["pyproject.toml"]),
        "r": task("r", reads=["pyproject.toml"], deps=["w"] if ordered else []),
        "x": task("x", effort="XL"),
        "y": task("y", do="Add a page"),
    }
    expected = {"hot_file": ("w",), "oversized": ("x",), "no_files_declared": ("y",)}
    if not ordered:
        expected["read_after_write_unordered"] = ("r",)
    assert notices(*(named[task_id] for task_id in order)) == expected


@pytest.mark.parametrize(
    ("files", "acceptance", "hollow"),
    [
        (["src/new/"], ["file:src/new/"], True),
        (["./src/new/", "README.md"], ["file:src/new/", "file:README.md"], True),
        (["src/new/"], ["file:src/new/", "file:src/new/a.py"], False),
        (["src/new/", "src/new/a.py"], ["file:src/new/"], False),
        (["src/new/"], ["file:src/new/", "glob:src/new/*.py"], False),
        (["src/new/"], ["diff"], False),
        (["src/new/"], [], False),
        ([], ["file:src/new/"], False),
    ],
)
def test_a_task_that_only_makes_a_folder_is_told_that_git_keeps_no_empty_one(
    files: list[str], acceptance: list[str], *, hollow: bool
) -> None:
    task = model.Task(id="a", do="Make it", files=tuple(files), acceptance=tuple(acceptance))
    assert ("empty_folder" in notices(task, *OTHERS)) is hollow
