"""How an option is declared: what ``config`` and its parts are made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Section", "option"]


def option(default: Any, doc: str, *, unit: str = "", **bounds: Any) -> Any:
    """Return the declaration of an option: its default, what it means, its unit, and what it may be."""
    return Field(default, description=doc, json_schema_extra={"unit": unit}, **bounds)


class Section(BaseModel):
    """A section of options: none may be misspelt, none changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
