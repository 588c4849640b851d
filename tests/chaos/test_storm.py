"""A relay is restarted under many clients: all are back within its spread, and it answers meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.storm import storm


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_clients_of_a_relay_that_was_drained_are_back_within_its_spread(tmp_path: Path) -> None:
    found = await storm(tmp_path, 600, spread=2.0)
    assert len(found.back) == 600
    # Those whose time came before the relay was up go on by back-off.
    assert max(found.back) < 2.0 + found.up + 15.0
    assert max(found.back) - min(found.back) > 0.5, "they do not all come at once"
    assert found.answers, "the relay answered meanwhile"


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_clients_of_a_relay_that_was_killed_come_back_by_themselves(tmp_path: Path) -> None:
    found = await storm(tmp_path, 300, kill=True)
    assert len(found.back) == 300
    assert max(found.back) - min(found.back) > 0.2, "they do not all come at once"
