"""What figures, names and headings of values come to at their edges."""

from __future__ import annotations

import math

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import bounds, short_ids
from dispatch_mcp.model.short_ids import compose
from dispatch_mcp.text import short_forms

NUMBER = "0123456789abcdef" * 2
FIGURES = st.dictionaries(
    st.sampled_from(sorted(bounds.USAGE)), st.none() | st.floats(-1e12, 1e14) | st.integers(-9, 10**14), max_size=6
)


@given(FIGURES)
def test_figures_within_bounds_stay_and_others_become_the_nearest_bound(figures: dict[str, float | None]) -> None:
    whole = {
        name: figure if figure is None or "tokens" not in name else int(figure) for name, figure in figures.items()
    }
    usage = model.Usage.within_bounds(whole)
    for name, most in bounds.USAGE.items():
        figure = whole.get(name)
        expected = model.Usage.model_fields[name].default if figure is None else min(max(figure, 0), most)
        assert getattr(usage, name) == expected
    assert model.Usage.within_bounds({name: getattr(usage, name) for name in bounds.USAGE}) == usage


def test_what_is_no_number_counts_as_nothing_and_what_is_infinite_as_the_most() -> None:
    usage = model.Usage.within_bounds({"cost_usd": math.nan, "seconds": math.inf})
    assert (usage.cost_usd, usage.seconds) == (0.0, bounds.MAX_SECONDS)


@pytest.mark.parametrize("name", sorted(bounds.CEILINGS))
@pytest.mark.parametrize("value", [True, False, math.nan, math.inf, -1, "1x", [], 10**20])
def test_no_ceiling_is_a_truth_value_or_beyond_what_anybody_can_mean(name: str, value: object) -> None:
    assert not isinstance(value, (bool, int, float)) or not bounds.CEILINGS[name].holds(value)
    with pytest.raises(pydantic.ValidationError):
        model.Limits.model_validate({name: value})


@pytest.mark.parametrize("name", sorted(bounds.CEILINGS))
def test_the_ends_of_a_ceiling_are_ceilings(name: str) -> None:
    bound = bounds.CEILINGS[name]
    for value in (bound.least, bound.most):
        assert bound.holds(value)
        assert getattr(model.Limits.model_validate({name: value}), name) == value
    assert not bound.holds(bound.most * 2)
    assert bound.holds(bound.least + 0.5) is not bound.whole


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout_s", 0),
        ("timeout_s", -1),
        ("timeout_s", math.inf),
        ("attempts", 0),
        ("attempts", 21),
        ("rounds", 0),
        ("rounds", 21),
        ("deps", ("",)),
        ("files", ("a", "")),
        ("isolation", "own"),
        ("effort", "XXL"),
        ("worker", "somebody"),
        ("unheard_of", 1),
    ],
)
def test_a_task_takes_no_value_that_it_could_not_be_carried_out_with(field: str, value: object) -> None:
    with pytest.raises(pydantic.ValidationError):
        model.Task.model_validate({"id": "t", "do": "do", field: value})


@pytest.mark.parametrize(("recipient", "fits"), [("", False), ("a", True), ("a" * 200, True), ("a" * 201, False)])
def test_a_note_is_for_somebody_of_a_name_that_fits_a_line(recipient: str, *, fits: bool) -> None:
    try:
        note = model.Note(to=recipient, text="mind the step")
    except pydantic.ValidationError:
        assert not fits
    else:
        assert fits
        assert note.kind == "information"


@pytest.mark.parametrize(
    ("title", "fallback", "name"),
    [
        ("Add a login page", "shop", f"add-login-page-{NUMBER}"),
        ("the of and", "shop", f"the-of-and-{NUMBER}"),
        ("日本語", "shop", f"shop-{NUMBER}"),
        ("", "", NUMBER),
        ("Über-größe prüfen", "", f"uber-grosse-prufen-{NUMBER}"),
        ("Internationalisation of everything", "", f"internationalisation-{NUMBER}"),
        ("x" * 50, "", f"{'x' * short_ids.MOST_SLUG}-{NUMBER}"),
        ("one two three four five", "", f"one-two-three-{NUMBER}"),
    ],
)
def test_an_id_has_the_telling_words_of_its_title_or_those_of_its_folder(title: str, fallback: str, name: str) -> None:
    assert compose(title, NUMBER, fallback) == name


@pytest.mark.parametrize("chosen", ["nightly", NUMBER[:31], NUMBER.upper(), f"{NUMBER}0", ""])
def test_an_id_that_somebody_has_chosen_stays_as_it_is(chosen: str) -> None:
    assert compose("Add a login page", chosen) == chosen


@pytest.mark.parametrize(
    ("handle", "is_whole", "is_id", "is_number"),
    [
        (f"add-login-{NUMBER}", True, True, False),
        (NUMBER, False, True, True),
        (NUMBER[:4], False, False, True),
        ("", False, False, False),
        (f"{NUMBER}0", False, False, False),
        (f"-{NUMBER}", False, False, False),
        (f"Add-{NUMBER}", False, False, False),
        (f"add--{NUMBER}", False, False, False),
        (f"add-{NUMBER}\n", False, False, False),
        (f"add-{NUMBER[:31]}", False, False, False),
    ],
)
def test_whole_ids_their_numbers_and_beginnings_are_told_apart(
    handle: str, *, is_whole: bool, is_id: bool, is_number: bool
) -> None:
    assert short_ids.is_whole(handle) is is_whole
    assert short_forms.is_id(handle) is is_id
    assert short_ids.is_number(handle) is is_number
