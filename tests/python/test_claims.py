"""Every acceptance scenario has tests in all its cells, and every defect of the packages that we replace has tests or a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

import claims
from surroundings import BOTH_DATABASES, BOTH_MODES

PAGE = claims.ROOT / "docs" / "from-other-packages.md"

OF_NO_DATABASE = {
    35: "a call to another service touches no database",
    36: "retention is the agent's; the trail is in no database of the site",
    38: "what needs nothing but Django is SQLite; PostgreSQL has test_a_new_site_on_postgresql_is_the_same",
}
OF_ONE_MODE = {
    20: "many requests at once on one event loop",
    26: "management commands are sync in Django",
    34: "Celery publishes in sync; how an async view does is scenario 25",
    36: "a command of the agent",
    37: "the admin is sync in Django",
    38: "an installation",
}


@pytest.fixture(scope="module")
def claimed() -> claims.Claims:
    return claims.read()


@pytest.fixture(scope="module")
def rows() -> dict[str, claims.Row]:
    return claims.listed(PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("scenario", sorted(claims.SCENARIOS))
def test_a_scenario_has_tests_on_both_databases_sync_and_async(claimed: claims.Claims, scenario: int) -> None:
    assert claimed.scenarios.get(scenario), f"no test is marked with scenario {scenario}"
    places = [claimed.surroundings[test] for test in claimed.scenarios[scenario] if test in claimed.surroundings]
    databases = frozenset().union(*(place.databases for place in places))
    modes = frozenset().union(*(place.modes for place in places))
    assert scenario in OF_NO_DATABASE or databases == BOTH_DATABASES, f"scenario {scenario} runs on {sorted(databases)} only"
    assert scenario in OF_ONE_MODE or modes == BOTH_MODES, f"scenario {scenario} runs {sorted(modes)} only"


@pytest.mark.parametrize("defect", sorted(claims.DEFECTS))
def test_a_defect_has_tests_or_a_reason(claimed: claims.Claims, rows: dict[str, claims.Row], defect: str) -> None:
    assert defect in rows, f"{PAGE.name} has no row for {defect}"
    row = rows[defect]
    assert row.tests or row.besides, f"{PAGE.name} names neither a test nor a reason for {defect}"
    missing = row.tests - claimed.tests
    assert not missing, f"{PAGE.name} names tests for {defect} that are not there: {sorted(missing)}"
    unmarked = row.tests - claimed.claimed_for(defect)
    assert not unmarked, f"{PAGE.name} names tests for {defect} that are not marked with it: {sorted(unmarked)}"


def test_a_test_that_claims_something_runs_and_asserts(claimed: claims.Claims) -> None:
    assert not claimed.empty


def test_no_mark_and_no_row_names_what_does_not_exist(claimed: claims.Claims, rows: dict[str, claims.Row]) -> None:
    assert claimed.scenarios.keys() <= claims.SCENARIOS
    assert claimed.defects.keys() <= claims.DEFECTS
    assert rows.keys() <= claims.DEFECTS


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tests" / "python").mkdir(parents=True)
    (tmp_path / "crates").mkdir()
    return tmp_path


def written(tree: Path, text: str) -> claims.Claims:
    """What is claimed where this is the only module of tests."""
    (tree / "tests" / "python" / "test_one.py").write_text(f"import pytest\n{text}")
    return claims.read(tree)


def test_marks_are_read_wherever_they_can_stand(tree: Path) -> None:
    rust = tree / "crates" / "one" / "tests"
    rust.mkdir(parents=True)
    (rust / "two.rs").write_text("// covers: scenario 36, G-18\n#[test]\nfn a_hold_holds() {}\n#[test]\nfn other() {}\n")
    read = written(
        tree,
        "pytestmark = [pytest.mark.scenario(1)]\n"
        "@pytest.mark.defect('A-1', 'S-2')\n"
        "def test_a(): ...\n"
        "@pytest.mark.scenario(2)\n"
        "class TestB:\n"
        "    @pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.defect('H3'))])\n"
        "    async def test_c(self): ...\n"
        "def helper(): ...\n",
    )
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
    assert read.claimed_for("G-18") == {"a_hold_holds"}
    assert read.tests == {"test_a", "test_c", "a_hold_holds", "other"}


@pytest.mark.parametrize(
    ("body", "is_empty"),
    [
        ("def test_a(): ...", True),
        ("def test_a(): indelible.record('x')", True),
        ("@pytest.mark.skip(reason='later')\ndef test_a(): assert 1", True),
        ("@pytest.mark.xfail\ndef test_a(): assert 1", True),
        ("def test_a(): assert 1", False),
        ("def test_a():\n    with pytest.raises(TypeError): ...", False),
        ("def checked(): assert 1\ndef test_a(): checked()", False),
    ],
)
def test_a_test_without_an_assertion_proves_nothing(tree: Path, body: str, is_empty: bool) -> None:
    read = written(tree, f"pytestmark = pytest.mark.scenario(1)\n{body}\n")
    assert bool(read.empty) is is_empty


@pytest.mark.parametrize(
    ("text", "databases", "modes"),
    [
        ("def test_a(): ...", set(), {"sync"}),
        ("@in_loop\nasync def test_a(database): ...", BOTH_DATABASES, {"async"}),
        ("@pytest.fixture\ndef ana(database): ...\ndef test_a(ana): ...", BOTH_DATABASES, {"sync"}),
        ("@pytest.fixture(params=['x', 'x async'])\ndef site(): ...\ndef test_a(site): ...", set(), BOTH_MODES),
        ("@pytest.mark.usefixtures('database')\nclass TestA:\n    def test_a(self): ...", BOTH_DATABASES, {"sync"}),
        ("@pytest.mark.parametrize('database', ['sqlite'], indirect=True)\ndef test_a(database): ...", {"sqlite"}, {"sync"}),
    ],
)
def test_where_a_test_runs_is_read_from_its_fixtures(tree: Path, text: str, databases: set[str], modes: set[str]) -> None:
    (place,) = written(tree, f"pytestmark = pytest.mark.scenario(1)\n{text}\n").surroundings.values()
    assert (place.databases, place.modes) == (databases, modes)


def test_a_page_lists_a_defect_in_a_row_of_its_own() -> None:
    page = "| | what | tests | besides |\n| A-29 | a script is missing | `test_x`, `tests/python/test_y.py::test_z`, `in_rust` | |\n| H1 | no | | a reason |\n"
    assert claims.listed(page) == {
        "A-29": claims.Row(frozenset({"test_x", "test_z", "in_rust"}), ""),
        "H1": claims.Row(frozenset(), "a reason"),
    }
