"""Weights of the features, fitted by scripts/fit_context.py on public commits (ADR 0015)."""

from __future__ import annotations

from collections.abc import Mapping

FILE: Mapping[str, float] = {
    "top1": 2.36,
    "top2": 0.85,
    "top5": 1.2,
    "cov": 0.75,
    "titlecov": 1.14,
    "phrase": 1.45,
    "symdef": 0.34,
    "testlink": 1.12,
    "near": 1.13,
    "entry": -0.18,
    "explicit": 0.34,
    "pbest": 0.47,
    "pfrac": 1.0,
    "ptick": 0.56,
    "vote": 1.58,
}
PART: Mapping[str, float] = {
    "s": 1.62,
    "share": 1.83,
    "cov": 1.12,
    "name": 0.65,
    "phrase": 0.94,
    "symdef": 0.79,
    "function": 0.29,
    "module": 0.19,
    "class": -0.47,
    "length": 2.45,
    "first": 0.76,
    "file": 2.8,
    "filerank": 0.34,
}
