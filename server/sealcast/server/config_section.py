"""What the sections of the configuration are made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Section", "option"]


def option(default: Any, doc: str, *, unit: str = "", **bounds: Any) -> Any:
    """Declare an option: default, meaning, unit and bounds."""
    return Field(default, description=doc, json_schema_extra={"unit": unit}, **bounds)


class Section(BaseModel):
    """A table of options."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
