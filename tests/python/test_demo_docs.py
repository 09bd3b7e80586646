"""The documents mention what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from indelible.django import conf

HOUSE = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = [HOUSE / "README.md", HOUSE / "ARCHITECTURE.md", HOUSE / "CHANGELOG.md", *sorted((HOUSE / "docs").glob("*.md"))]
# A path of this tree, in backticks; what stands in capitals is a placeholder, what the data directory holds is not ours.
PATH = re.compile(r"`((?:crates|python|docs|examples|bench|scripts|testdata|tests)/[\w./-]+)`")


@pytest.mark.defect("G-20", "A-29")
@pytest.mark.parametrize("key", [*conf.KEYS, *conf.LIMITS])
def test_every_setting_is_documented(key: str) -> None:
    assert f"`{key}`" in (HOUSE / "docs" / "settings.md").read_text()


@pytest.mark.defect("A-29", "G-20")
def test_no_setting_is_documented_that_is_not_there() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", (HOUSE / "docs" / "settings.md").read_text(), re.MULTILINE)
    assert set(documented) == {*conf.KEYS, *conf.LIMITS}


@pytest.mark.defect("A-29", "G-17")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_that_a_document_names_exists(document: Path) -> None:
    missing = [path for path in PATH.findall(document.read_text()) if not (HOUSE / path).exists()]
    assert missing == []


def test_every_make_target_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (HOUSE / "Makefile").read_text(), re.MULTILINE))
    named = {name for document in DOCUMENTS for name in re.findall(r"`make ([a-z-]+)", document.read_text())}
    assert named <= targets
