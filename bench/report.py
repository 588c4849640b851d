"""."""

from pathlib import Path
from typing import Any


def draw(results: dict[str, Any], stem: Path) -> list[Path]:
    return []
