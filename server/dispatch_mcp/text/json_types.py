"""JSON as Python values."""

from __future__ import annotations

from typing import Any

Json = Any
"""A JSON value: None, bool, int, finite float, str, list or dict with str keys."""
