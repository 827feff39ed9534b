from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import errors
from dispatch_mcp.agents import templates

TEXT = """---
title: Greet
description: Greets somebody.
arguments:
  - name: who
    description: Whom to greet.
    required: true
  - name: why
    description: The reason.
---
Hello {{ who }}{% if why %}, because {{ why }}{% endif %}!
"""
GREET = templates.read_template(TEXT, "greet")


def with_body(body: str) -> str:
    return TEXT[: TEXT.index("Hello")] + body


def test_front_matter_declares_title_description_and_arguments() -> None:
    assert (GREET.name, GREET.title, GREET.description) == ("greet", "Greet", "Greets somebody.")
    assert [(argument.name, argument.required) for argument in GREET.arguments] == [("who", True), ("why", False)]
    assert "---" not in GREET.body


def test_an_argument_that_is_not_required_may_be_left_out() -> None:
    assert templates.render(GREET, {"who": "Ada"}) == "Hello Ada!\n"
    assert templates.render(GREET, {"who": "Ada", "why": "x"}) == "Hello Ada, because x!\n"


@pytest.mark.promise("S13")
@given(st.text(min_size=1).filter(str.strip))
def test_a_value_is_never_rendered_again(value: str) -> None:
    bomb = f"{{{{7*7}}}}{{% raw %}}{value}"
    assert templates.render(GREET, {"who": "x", "why": bomb}) == f"Hello x, because {bomb}!\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, r"\['who'\] missing"),
        ({"who": "  "}, r"\['who'\] missing"),
        ({"who": "x", "whom": "y"}, r"\['whom'\] unknown"),
        ({"whom": "y"}, r"\['who'\] missing and \['whom'\] unknown"),
    ],
)
def test_wrong_arguments_are_all_named(arguments: dict[str, str], said: str) -> None:
    with pytest.raises(errors.InputError, match=said) as refused:
        templates.render(GREET, arguments)
    assert refused.value.hint == "Its arguments are who, why."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello", "does not begin with front matter"),
        ("---\ntitle: x\n", "does not begin with front matter"),
        ("---\ntitle: [\n---\n", "broken"),
        ("---\ntitle: x\n---\n", "description"),
        ("---\n- a\n---\n", "broken"),
        (TEXT.replace("name: who", "name: Who Me"), "pattern"),
        (TEXT.replace("title: Greet", "title: Greet\nauthor: me"), "author"),
        (with_body("Hello {{ whom }}"), r"\['whom'\] without declaring"),
        (with_body("Hello {{ who"), "broken"),
        (with_body("{% include 'other' %}"), "includes"),
        (with_body("{% import 'other' as o %}"), "includes"),
        (with_body("{% extends who %}"), "includes"),
        ("---\nx: &a [*a]\n---\n", "broken"),
        ("---\nx: !!python/object/apply:os.system [id]\n---\n", "broken"),
    ],
)
def test_a_broken_template_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(errors.ConfigError, match=said):
        templates.read_template(text, "t")


@pytest.mark.promise("S13")
@pytest.mark.parametrize(
    "body",
    [
        "{{ who.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ who|attr('__class__') }}",
        "{{ [].append(1) }}",
        "{{ '{0.__class__}'.format(who) }}",
        "{% for i in range(10000000) %}x{% endfor %}",
        "{{ who.missing.deeper }}",
        "{{ 1 // 0 }}",
        "{{ who + 1 }}",
        "{{ 'x' * 300000 }}",
    ],
)
def test_the_sandbox_refuses_what_a_prompt_does_not_need(body: str) -> None:
    try:
        text = templates.render(templates.read_template(with_body(body), "t"), {"who": "Ada"})
    except errors.InputError:
        return
    assert "class" not in text


def test_a_misspelt_field_fails_instead_of_vanishing() -> None:
    template = templates.read_template(with_body("{{ who.name }}"), "t")
    with pytest.raises(errors.InputError, match="no attribute 'name'"):
        templates.render(template, {"who": "Ada"})
