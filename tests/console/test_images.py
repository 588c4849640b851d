"""The pictures in the documentation: one for each page and form, of the right size, and each one shown."""

from __future__ import annotations

import struct

import pytest

from .shots import FORMS, PLACE, names, pages


def test_there_is_a_picture_of_every_page_in_every_form_and_no_other() -> None:
    assert {path.name for path in PLACE.glob("console-*.png")} == names()


@pytest.mark.parametrize("name", sorted(names()))
def test_a_picture_has_the_size_of_its_form_and_something_on_it(name: str) -> None:
    data = (PLACE / name).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    form = FORMS[name.removesuffix(".png").rpartition("-")[2]]
    assert struct.unpack(">II", data[16:24]) == (form.width, form.height)
    assert len(data) > 4_000, "a page that is empty takes less"


def test_the_documentation_shows_every_page() -> None:
    text = (PLACE.parent / "console.md").read_text("utf-8")
    for page in pages():
        assert f"images/console-{page}-" in text
