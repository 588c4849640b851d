"""What every control has: a name, a side that may send it, and fields that are checked on the way in."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

__all__ = ["Control", "Side"]


class Side(enum.Enum):
    """Who sent it."""

    CLIENT = "client"
    SERVER = "server"


_C = TypeVar("_C", bound="Control")


_known: dict[str, tuple[dataclasses.Field[Any], ...]] = {}


def _fields(control: type[Control]) -> tuple[dataclasses.Field[Any], ...]:
    """Return a control's fields; looking through its dataclass takes longer than all the rest."""
    fields = _known.get(control.NAME)
    if fields is None:
        fields = _known[control.NAME] = dataclasses.fields(control)
    return fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The base of all controls; a subclass is one name of the protocol."""

    NAME: ClassVar[str]

    def to_body(self) -> dict[str, Any]:
        """Return the MessagePack body: the fields that are not None."""
        values = ((item.name, getattr(self, item.name)) for item in _fields(type(self)))
        return {name: value for name, value in values if value is not None}

    @classmethod
    def from_body(cls: type[_C], body: Mapping[str, Any]) -> _C:
        """Check a body field by field; raises ValueError naming the field, never its value."""
        values = {}
        for item in _fields(cls):
            value = body.get(item.name)
            if value is None:
                if item.default is dataclasses.MISSING:
                    raise ValueError(f"{item.name} is missing")
                continue
            try:
                values[item.name] = item.metadata["check"](value)
            except ValueError:
                raise ValueError(f"{item.name} has a wrong type or size") from None
        return cls(**values)
