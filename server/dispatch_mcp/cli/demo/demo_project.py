"""The small shop that the demo brings along, and the edits that stand in for agents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

FEATURE: Final = "Sell gift cards: codes that check themselves, pages, and a cart that takes them"

FILES: Final[Mapping[str, str]] = {
    "README.md": "# A small shop\n\nThe tests of gift cards were written first; so far they fail.\n",
    ".gitignore": "__pycache__/\n",
    "shop/__init__.py": "",
    "shop/cart.py": '''\
"""A cart adds prices, in cents."""


def total(prices, codes=()):
    """Returns what is left to pay."""
    return sum(prices)
''',
    "shop/routes.py": '''\
"""Every page of the shop."""

PAGES = [
    "/",
    "/cart",
]
''',
    "tests/__init__.py": "",
    "tests/test_codes.py": """\
import unittest

from shop import codes


class Codes(unittest.TestCase):
    def test_a_typing_error_is_noticed(self):
        self.assertTrue(codes.is_valid("2500-7"))
        self.assertFalse(codes.is_valid("2500-8"))
""",
    "tests/test_cart.py": """\
import unittest

from shop import cart


class Cart(unittest.TestCase):
    def test_a_gift_card_pays_and_a_wrong_code_does_not(self):
        self.assertEqual(cart.total([4000], ["2500-7"]), 1500)
        self.assertEqual(cart.total([4000], ["2500-8"]), 4000)
""",
    "tests/test_routes.py": """\
import unittest

from shop import routes


class Routes(unittest.TestCase):
    def test_both_pages_are_there(self):
        self.assertLessEqual({"/gift-cards", "/redeem"}, set(routes.PAGES))
""",
}


class Edit(NamedTuple):
    """What a stand-in writes: `new` in place of `old` in a file, or as a whole new file where `old` is empty."""

    path: str
    old: str
    new: str


_CODES: Final = '''\
"""Codes of gift cards: the value in cents, and a check digit."""


def is_valid(code):
    """Tells whether the check digit fits."""
    value, _, check = code.partition("-")
    return sum(map(int, value)) % {modulus} == int(check)
'''

EDITS: Final[Mapping[str, tuple[Edit, ...]]] = {
    # One for each try: the first of `codes` is wrong on purpose, and its test says so.
    "codes": (
        Edit("shop/codes.py", "", _CODES.format(modulus=6)),
        Edit("shop/codes.py", "", _CODES.format(modulus=10)),
    ),
    "values": (
        Edit(
            "shop/values.py",
            "",
            '"""What gift cards are worth."""\n\n\ndef cents(code):\n'
            '    """Returns the value on the card."""\n    return int(code.partition("-")[0])\n',
        ),
    ),
    # Both write at the same place, so that the later one has to be made again on top of the other.
    "menu": (Edit("shop/routes.py", '    "/cart",\n', '    "/cart",\n    "/gift-cards",\n'),),
    "redeem": (Edit("shop/routes.py", '    "/cart",\n', '    "/cart",\n    "/redeem",\n'),),
    "cart": (
        Edit(
            "shop/cart.py",
            '\n\ndef total(prices, codes=()):\n    """Returns what is left to pay."""\n    return sum(prices)\n',
            "\nfrom shop import codes as gift_codes\nfrom shop import values\n\n\ndef total(prices, codes=()):\n"
            '    """Returns what is left to pay."""\n'
            "    cards = sum(values.cents(code) for code in codes if gift_codes.is_valid(code))\n"
            "    return max(0, sum(prices) - cards)\n",
        ),
    ),
}

_STAND_IN: Final = '''\
"""Stands in for an agent in the demo: writes what was written before for a task, after a while."""

import json, pathlib, sys, time

here, task, seconds = pathlib.Path(__file__).parent, sys.argv[1], float(sys.argv[2])
tries = here / (task + ".tries")
number = int(tries.read_text()) if tries.exists() else 0
time.sleep(seconds)
edits = json.loads((here / "edits.json").read_text())[task]
path, old, new = edits[min(number, len(edits) - 1)]
file = pathlib.Path(sys.argv[3]) / path
text = file.read_text() if file.exists() else ""
if old and old not in text:
    sys.exit(path + " is not as expected")
file.write_text(text.replace(old, new, 1) if old else new)
tries.write_text(str(number + 1))
print("wrote " + path)
'''


def programs() -> Mapping[str, str]:
    """Returns the files of the stand-in, by name: what it does, and what it writes for each task and try."""
    return {"stand_in.py": _STAND_IN, "edits.json": json.dumps(EDITS)}
