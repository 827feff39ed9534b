"""Versions of plans are read once while they are in use, and what is kept of them is bounded."""

from __future__ import annotations

from dispatch_mcp import model
from dispatch_mcp.store import codec, plan_shelf


def document(plan_id: str, version: int = 1) -> str:
    return codec.dump(model.Plan(id=plan_id, version=version, tasks=(model.Task(id="a", do="Write a"),)))


SIZE = len(document("p0"))


def shelf_of(*plan_ids: str, **bounds: int) -> plan_shelf.Shelf:
    shelf = plan_shelf.Shelf(**bounds)
    for plan_id in plan_ids:
        shelf.put((plan_id, 1), document(plan_id))
    return shelf


def test_a_plan_that_was_put_is_the_plan_that_is_got() -> None:
    shelf = plan_shelf.Shelf()
    plan = shelf.put(("p0", 1), document("p0"))
    assert plan.id == "p0"
    assert shelf.get(("p0", 1)) is plan
    assert shelf.get(("p0", 2)) is None


def test_the_plan_that_was_used_longest_ago_goes_first() -> None:
    shelf = shelf_of("p0", "p1", most_plans=2)
    assert shelf.get(("p0", 1))
    shelf.put(("p2", 1), document("p2"))
    assert shelf.get(("p1", 1)) is None
    assert shelf.get(("p0", 1))
    assert shelf.get(("p2", 1))


def test_what_is_kept_is_bounded_by_characters_too() -> None:
    shelf = shelf_of("p0", "p1", "p2", most_chars=2 * SIZE)
    assert [bool(shelf.get((name, 1))) for name in ("p0", "p1", "p2")] == [False, True, True]


def test_a_plan_that_is_put_twice_counts_once() -> None:
    shelf = shelf_of("p0", "p0", "p1", most_chars=2 * SIZE)
    assert [bool(shelf.get((name, 1))) for name in ("p0", "p1")] == [True, True]


def test_one_plan_is_kept_however_large_it_is() -> None:
    shelf = shelf_of("p0", "p1", most_chars=1)
    assert [bool(shelf.get((name, 1))) for name in ("p0", "p1")] == [False, True]


def test_the_newest_version_of_a_plan_that_is_kept_is_known_by_its_id_alone() -> None:
    shelf = shelf_of("p0")
    assert shelf.newest("p0") is shelf.get(("p0", 1))
    newer = shelf.put(("p0", 2), document("p0", version=2))
    assert shelf.newest("p0") is newer
    assert shelf.newest("p1") is None
