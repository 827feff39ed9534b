"""Which tasks write or read what others write."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp import model
from dispatch_mcp.planning import conflicts
from dispatch_mcp.text import path_globs

_PATHS = st.sampled_from(
    ["src", "src/a.py", "src/b.py", "src/deep/a.py", "docs", "docs/a.md", "a.py", "src/*.py", "**/*.md", "docs/**"]
)
_PLAIN = st.sampled_from(["src", "src/a.py", "src/b.py", "src/deep/a.py", "docs/a.md", "a.py", "."])


def _tasks(paths: st.SearchStrategy[str]) -> st.SearchStrategy[list[model.Task]]:
    one = st.builds(
        model.Task,
        id=st.just("t"),
        do=st.just("it"),
        files=st.lists(paths, max_size=3).map(tuple),
        reads=st.lists(paths, max_size=2).map(tuple),
        isolation=st.sampled_from(["shared", "shared", "worktree"]),
    )
    return st.lists(one, min_size=1, max_size=6)


def task(*files: str, reads: tuple[str, ...] = (), isolation: str = "shared") -> model.Task:
    fields = {"id": "t", "do": "it", "files": files, "reads": reads, "isolation": isolation}
    return model.Task.model_validate(fields)


def clashes(tasks: list[model.Task], mine: str, theirs: str, workspace: str = "") -> set[tuple[int, int]]:
    """Returns the pairs of tasks (one, other) of which a path touches one of the other, as holders finds them."""
    paths = conflicts.declared_paths(tasks, workspace)
    place = list(reversed(range(len(tasks))))
    masks = conflicts.holders(getattr(paths, mine), getattr(paths, theirs), paths.touching, place)
    return {(node, place[at]) for node, mask in masks.items() for at in conflicts.places(mask)}


def expected(tasks: list[model.Task], mine: str, theirs: str, workspace: str = "") -> set[tuple[int, int]]:
    """Says the same by comparing every path of every task with every path of every other."""

    def declared(node: int, kind: str) -> list[str]:
        task = tasks[node]
        paths = task.reads if kind == "reads" else task.files if task.isolation == "shared" else ()
        return [path_globs.normalise(path, workspace) for path in paths]

    return {
        (one, other)
        for one in range(len(tasks))
        for other in range(len(tasks))
        if one != other
        and any(path_globs.touch(left, right) for left in declared(one, mine) for right in declared(other, theirs))
    }


@settings(max_examples=examples(150))
@given(
    _tasks(_PATHS) | _tasks(_PLAIN), st.sampled_from([("writes", "writes"), ("reads", "writes"), ("writes", "reads")])
)
def test_two_tasks_clash_exactly_if_a_path_of_one_touches_a_path_of_the_other(
    tasks: list[model.Task], kinds: tuple[str, str]
) -> None:
    assert clashes(tasks, *kinds) == expected(tasks, *kinds)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("src/a.py", "src/a.py", True),
        ("src/a.py", "./src/a.py", True),
        ("src/a.py", "src//a.py", True),
        ("src/a.py", " src/a.py ", True),
        ("src/a.py", "/srv/shop/src/a.py", True),
        ("src", "/srv/shop/src/a.py", True),
        (".", "src/a.py", True),
        ("/srv/shop", "src/a.py", True),
        ("src\\a.py", "src/a.py", True),
        ("src/lib/../a.py", "src/a.py", True),
        ("src/{a,b}.py", "src/b.py", True),
        ("src/a.py", "src/b.py", False),
        ("src/a.py", "Src/a.py", False),
        ("src", "srcs/a.py", False),
        ("/srv/shop/a.py", "/srv/shopping/a.py", False),
        (".", "/etc/passwd", False),
        ("two words/a.py", "two words", True),
    ],
)
def test_a_path_is_the_same_however_it_is_spelled(first: str, second: str, *, together: bool) -> None:
    tasks = [task(first), task(second)]
    assert clashes(tasks, "writes", "writes", "/srv/shop") == ({(0, 1), (1, 0)} if together else set())


def test_work_in_a_worktree_of_its_own_writes_nothing_that_others_see_but_reads_what_they_write() -> None:
    tasks = [task("a.py", isolation="worktree", reads=("b.py",)), task("a.py"), task("b.py")]
    assert clashes(tasks, "writes", "writes") == set()
    assert clashes(tasks, "reads", "writes") == {(0, 2)}


def test_a_task_does_not_clash_with_itself() -> None:
    assert clashes([task("src", "src/a.py", "src/*.py")], "writes", "writes") == set()
    assert clashes([task("a.py", reads=("a.py",))], "reads", "writes") == set()


def test_tasks_that_declare_nothing_clash_with_nobody() -> None:
    assert clashes([task(), task(), task("a.py")], "writes", "writes") == set()
    assert clashes([], "writes", "writes") == set()


def test_writers_of_one_file_clash_whatever_else_they_read() -> None:
    tasks = [task("a.py"), task("a.py", reads=("b.py",)), task("c.py", reads=("d.py", "e.py"))]
    assert clashes(tasks, "writes", "writes") == {(0, 1), (1, 0)}


@pytest.mark.parametrize(
    ("mine", "theirs", "path"),
    [
        (["a.py"], ["a.py"], "a.py"),
        (["x.py", "src/a.py"], ["src"], "src/a.py"),
        (["src"], ["src/a.py"], "src"),
        (["", "a.py"], ["a.py"], "."),
        (["x.py"], ["a.py", "src", "src/a.py", ""], "x.py"),
        (["src/*.py"], ["src/a.py"], "src/*.py"),
    ],
)
def test_the_path_that_two_tasks_share_is_named_as_the_first_of_them_writes_it(
    mine: list[str], theirs: list[str], path: str
) -> None:
    known = ["", "a.py", "src", "src/*.py", "src/a.py", "x.py"]
    assert conflicts.overlaps(known, ["src/*.py"]).shared(mine, theirs) == path


def test_paths_that_touch_nothing_share_nothing() -> None:
    touching = conflicts.overlaps(["a.py", "b.py", "src"], [])
    assert touching.shared(["a.py"], ["b.py", "src"]) == ""
    assert touching.shared([], ["b.py"]) == ""


def test_so_many_globs_that_comparing_them_would_take_long_count_as_their_folders() -> None:
    names = [f"pkg{number % 10}/mod{number}*.py" for number in range(200)]
    tasks = [task(name) for name in names] + [task("pkg3/other.txt"), task("elsewhere/x.py")]
    paths = conflicts.declared_paths(tasks)
    assert not paths.exact
    assert paths.writes[3] == ("pkg3",)
    assert (200, 3) in clashes(tasks, "writes", "writes")
    assert not [pair for pair in clashes(tasks, "writes", "writes") if 201 in pair]
    assert conflicts.declared_paths(tasks[:20]).exact


@pytest.mark.parametrize("count", [140, 141])
def test_globs_are_compared_up_to_the_limit_and_no_further(count: int) -> None:
    tasks = [task(f"p{number}/*.py") for number in range(count)]
    assert conflicts.declared_paths(tasks).exact is (count * (count + 1) <= conflicts.GLOB_CHECKS)
