"""Weights of the features, fitted by scripts/fit_context.py on public commits (ADR 0015)."""

from __future__ import annotations

from collections.abc import Mapping

FILE: Mapping[str, float] = {
    "top1": 0.21,
    "top2": 0.63,
    "top5": 0.80,
    "hits": 0.57,
    "cov": -0.02,
    "titlecov": 0.90,
    "phrase": 1.23,
    "symdef": 1.15,
    "testlink": 0.84,
    "testcov": 0.07,
    "near": 0.69,
    "neartest": 0.20,
    "sibling": 0.47,
    "explicit": 0.18,
    "pbest": 0.03,
    "pfrac": 0.64,
    "pidf": 0.53,
    "pdir": 1.19,
    "ptick": -0.28,
    "entry": -0.28,
    "stub": -0.65,
    "vote": 1.55,
    "top1sq": 0.84,
    "rank": 0.54,
}
PART: Mapping[str, float] = {
    "s": 1.24,
    "s2": 0.53,
    "share": 1.00,
    "cov": 0.23,
    "titlecov": 0.89,
    "name": 1.24,
    "nameall": -0.44,
    "phrase": 0.94,
    "symdef": 0.86,
    "function": 0.23,
    "module": 0.42,
    "class": -0.65,
    "length": 4.50,
    "first": 0.38,
    "nohit": -0.04,
    "beside": 0.58,
    "around": 0.22,
    "few": 0.55,
    "file": 2.15,
    "filerank": 0.42,
}
