"""The table of attacks: complete, true to the code's names, and the one in the documentation."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sealcast.client import errors, events
from sealcast.client.failures import reason_of

from .table import ATTACKS, table

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "threat-model.md"
_OWN_REASONS = {"old_wrap_ignored", "wrong_envelope"}


def test_the_documentation_has_this_table() -> None:
    assert table() in PAGE.read_text("utf-8"), f"docs/threat-model.md needs:\n{table()}"


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_of_the_table_is_carried_out(name: str) -> None:
    trees = [ast.parse(path.read_text("utf-8")) for path in HERE.glob("test_*.py")]
    words = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert name in words


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_is_told_by_a_public_event_or_a_reason_of_its_own(name: str) -> None:
    attack = ATTACKS[name]
    refusals = {reason_of(getattr(errors, error)) for error in errors.__all__ if error[0].isupper()}
    for word in (*attack.shared, *attack.managed):
        assert word in refusals | _OWN_REASONS | set(events.__all__)
    assert attack.managed


def test_nothing_that_a_malicious_relay_is_known_to_do_is_left_out() -> None:
    assert set(ATTACKS) >= {
        *("flip", "cut", "duplicate", "replay", "reorder"),
        *("cross-stream", "cross-channel", "cross-app", "re-attribute", "old session"),
        *("ghost member", "old wrap", "delayed", "suppressed", "downgraded", "split roster"),
    }
