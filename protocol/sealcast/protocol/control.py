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


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The base of all controls; a subclass is one name of the protocol."""

    NAME: ClassVar[str]

    def to_body(self) -> dict[str, Any]:
        """Return the MessagePack body: the fields that are not None."""
        body = {}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if value is not None:
                body[item.name] = value
        return body

    @classmethod
    def from_body(cls: type[_C], body: Mapping[str, Any]) -> _C:
        """Check a body field by field; raises ValueError naming the field, never its value."""
        values = {}
        for item in dataclasses.fields(cls):
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
