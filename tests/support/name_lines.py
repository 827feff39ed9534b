"""Reads a line of names that are written together back into the names."""

from __future__ import annotations


def read_back(text: str) -> list[str]:
    """Returns the names of a line: what stands beside a bracket belongs to each name in it."""
    names: list[str] = []
    depth = start = 0
    for at, sign in enumerate(f"{text} "):
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == " " and not depth:
            names.extend(_form_read(text[start:at]))
            start = at + 1
    return [name for name in names if name]


def _form_read(form: str) -> list[str]:
    before, bracket, _ = form.partition("(")
    if not bracket:
        return [form]
    inner, _, after = form.removeprefix(before + "(").rpartition(")")
    return [before + name + after for name in read_back(inner)]
