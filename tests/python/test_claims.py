"""Every acceptance scenario has a test, and every defect of the packages that we replace has one or a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

import claims

PAGE = claims.ROOT / "docs" / "from-other-packages.md"


@pytest.fixture(scope="module")
def claimed() -> claims.Claims:
    return claims.read()


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_every_scenario_has_a_test(claimed):
    missing = sorted(claims.SCENARIOS - claimed.scenarios.keys())
    assert not missing, f"no test is marked with scenario {', '.join(map(str, missing))}"


def test_every_defect_has_a_test_or_a_reason(claimed, page):
    missing = claims.DEFECTS - claimed.defects.keys() - claims.listed(page).keys()
    assert not missing, f"no test is marked with, and {PAGE.name} gives no reason for: {', '.join(sorted(missing, key=_by_number))}"


def test_no_mark_names_what_does_not_exist(claimed):
    unknown = {value: tests for value, tests in claimed.scenarios.items() if value not in claims.SCENARIOS}
    unknown |= {value: tests for value, tests in claimed.defects.items() if value not in claims.DEFECTS}
    assert not unknown, f"marks that nothing stands for: {unknown}"


def test_every_test_that_the_page_names_exists(claimed, page):
    files = {path.stem for path in (claims.ROOT / "tests" / "python").rglob("test_*.py")}
    missing = claims.tests_named(page) - claimed.tests - files
    assert not missing, f"{PAGE.name} names tests that are not there: {', '.join(sorted(missing))}"


def test_marks_are_read_wherever_they_can_stand(tmp_path: Path):
    tests = tmp_path / "tests" / "python"
    tests.mkdir(parents=True)
    (tests / "test_one.py").write_text(
        "import pytest\n"
        "pytestmark = [pytest.mark.scenario(1)]\n"
        "@pytest.mark.defect('A-1', 'S-2')\n"
        "def test_a(): ...\n"
        "@pytest.mark.scenario(2)\n"
        "class TestB:\n"
        "    @pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.defect('H3'))])\n"
        "    async def test_c(self): ...\n"
        "def helper(): ...\n"
    )
    rust = tmp_path / "crates" / "one" / "tests"
    rust.mkdir(parents=True)
    (rust / "two.rs").write_text("// covers: scenario 36, G-18\n#[test]\nfn a_hold_holds() {}\n#[test]\nfn other() {}\n")
    read = claims.read(tmp_path)
    assert dict(read.scenarios) == {
        1: ["tests/python/test_one.py::test_a", "tests/python/test_one.py::test_c"],
        2: ["tests/python/test_one.py::test_c"],
        36: ["crates/one/tests/two.rs::a_hold_holds"],
    }
    assert dict(read.defects) == {
        "A-1": ["tests/python/test_one.py::test_a"],
        "S-2": ["tests/python/test_one.py::test_a"],
        "H3": ["tests/python/test_one.py::test_c"],
        "G-18": ["crates/one/tests/two.rs::a_hold_holds"],
    }
    assert read.tests == {"test_a", "test_c", "a_hold_holds", "other"}


def test_a_page_lists_a_defect_where_its_row_gives_a_reason():
    page = "| defect | why |\n| --- | --- |\n| A-29 | a page of docs is tested |\n| A-28 | |\n| F-1, F-2 | no SDK; `test_x`, `tests/python/test_y.py::test_z` |\n"
    assert claims.listed(page).keys() == {"A-29", "F-1", "F-2"}
    assert claims.tests_named(page) == {"test_x", "test_z"}


def _by_number(defect: str) -> tuple[str, int]:
    package = defect.rstrip("0123456789")
    return package, int(defect.removeprefix(package))
