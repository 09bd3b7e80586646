"""A thousand rows of mixed age under rules, floors and a legal hold: what the command says, erases, keeps and records."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from indelible import _native
from trails import BINARY

DAY_US = 86_400_000_000
ROWS = 1000
LEAVES_PER_FILE = 300
REDACTOR = _native.Redactor()
CONTEXT = _native.Context(REDACTOR, actor={"type": "user", "id": "7"})
RULES = """
[[retention]]
name = "visits"
match = "action:visit.update"
days = 30

[[retention]]
name = "records-of-patients"
match = "type:clinic.Patient"
class = "hipaa"
days = 2190
"""


class Site:
    """A data directory and the command on it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        data_dir.mkdir()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the command; whether it succeeds is for the caller to say."""
        command = [str(BINARY), "--data", str(self.data_dir), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL)

    def done(self, *arguments: str) -> str:
        """Runs the command, which succeeds."""
        result = self.run(*arguments)
        assert result.returncode == 0, f"{arguments}: exit {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout

    def configure(self, text: str) -> None:
        (self.data_dir / "config.toml").write_text(text)

    def ingest(self) -> None:
        self.done("serve", "--listen", "127.0.0.1:0", "--until-idle", "0", "--leaves-per-file", str(LEAVES_PER_FILE))

    def plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = json.loads(self.done("retention", "plan", "-o", "json"))
        return plan

    def events(self, query: str) -> list[dict[str, Any]]:
        found = self.done("search", query, "--asc", "--limit", "1000000", "-o", "ndjson")
        return [json.loads(line) for line in found.splitlines()]

    def purges(self, step: str) -> list[dict[str, Any]]:
        purges = [line["event"] for line in self.events("action:audit.purge")]
        return [purge for purge in purges if purge["meta"]["step"] == step]

    def bytes_of_trail(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted((self.data_dir / "trail").iterdir()))


def record(site: Site, rows: list[tuple[str, str, str, int]]) -> None:
    """Records rows of (action, type, id, age in days) as one process that ends in order."""
    recorder = _native.Recorder(REDACTOR, data_dir=site.data_dir, service="clinic")
    now_us = time.time_ns() // 1000
    for action, row_type, row_id, age_days in rows:
        event = recorder.event(
            CONTEXT,
            "change",
            action,
            resource={"type": row_type, "id": row_id},
            meta={"secret": f"secret-of-{row_type}-{row_id}-"},
            occurred_at_us=now_us - age_days * DAY_US - 60_000_000,
        )
        recorder.record(event)
    recorder.close()


def directory_hash(folder: Path) -> str:
    """Names, sizes, times and bytes of everything in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns} {status.st_mode}".encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "data")


@pytest.fixture
def mixed(site: Site) -> Site:
    """1,000 visits: each second one 90 days old, the others 3; one old one is under a legal hold, and a patient is 400 days old.

    The newest 200 lie in the file that is still open.
    """
    site.configure(RULES)
    visits = [("visit.update", "clinic.Visit", str(number), 90 if number % 2 else 3) for number in range(ROWS)]
    for rows in [*visits[:800], ("patient.update", "clinic.Patient", "1", 400)], visits[800:]:
        record(site, rows)
        site.ingest()
    site.done("retention", "hold", "add", "case-7", "--resource", "clinic.Visit/77", "--reason", "court order 12")
    return site


@pytest.fixture
def agent(mixed: Site) -> Iterator[Callable[[], None]]:
    """Starts an agent on the directory; it ends with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        command = [str(BINARY), "--data", str(mixed.data_dir), "serve", "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running.append(process)
        announced = mixed.data_dir / "agent.json"
        deadline = time.monotonic() + 30
        while not (announced.exists() and json.loads(announced.read_text() or "{}").get("pid") == process.pid):
            assert process.poll() is None, "the agent has ended"
            assert time.monotonic() < deadline, "the agent does not announce itself"
            time.sleep(0.02)

    yield start
    for process in running:
        process.terminate()
        process.wait(timeout=30)


def expect_what_is_left(site: Site, runs: int) -> None:
    """Only what was to go is gone, the trail says so, and verifies."""
    left = {line["event"]["resource"]["id"] for line in site.events("action:visit.update")}
    assert left == {str(number) for number in range(ROWS) if number % 2 == 0} | {"77"}
    assert [line["event"]["resource"]["id"] for line in site.events("action:patient.update")] == ["1"]
    assert len(site.events("is:erased")) == ROWS // 2 - 1
    assert "erased" not in site.run("verify").stdout
    site.done("verify", "--deep")
    begun, ended = site.purges("begin"), site.purges("done")
    assert len(begun) == len(ended)
    assert len({purge["meta"]["run"] for purge in begun}) == runs
    assert sum(purge["meta"]["count"] for purge in begun) == sum(purge["meta"]["erased"] for purge in ended) == ROWS // 2 - 1


@pytest.mark.scenario(36)
@pytest.mark.defect("G-18", "H4", "H5")
def test_a_dry_run_counts_and_changes_nothing_and_a_run_erases_in_batches_only_what_may_go(mixed: Site) -> None:
    before = directory_hash(mixed.data_dir)
    plan = mixed.plan()
    assert directory_hash(mixed.data_dir) == before, "a plan changes nothing"
    visits, patients = plan["rules"]
    assert (visits["eligible"], visits["held"], visits["name"]) == (ROWS // 2 - 1, 1, "visits")
    assert visits["bytes"] > 100 * (ROWS // 2 - 1)
    assert visits["oldest"] < time.strftime("%Y-%m-%d")
    assert 0 < visits["unsealed"] < visits["eligible"], "some of it lies in the file that is still open"
    assert (patients["eligible"], patients["floor_days"]) == (0, 2190)
    assert plan["holds"] == [{"name": "case-7", "query": "resource:clinic.Visit/77", "held": 1}]

    refused = mixed.run("retention", "run")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert directory_hash(mixed.data_dir) == before, "a run that nobody confirmed changes nothing"

    run = json.loads(mixed.done("retention", "run", "--yes", "--batch", "60", "--reason", "yearly review", "-o", "json"))
    assert run["erased"] == ROWS // 2 - 1
    assert run["batches"] >= 9
    expect_what_is_left(mixed, runs=1)
    first = mixed.purges("begin")[0]
    assert first["actor"]["id"] == f"uid:{os.getuid()}"
    assert first["reason"] == "yearly review"
    rule = first["meta"]["rules"][0]
    assert first["meta"]["count"] == rule["count"] == 60
    assert (rule["name"], rule["days"]) == ("visits", 30)

    after = mixed.plan()
    assert [rule["eligible"] for rule in after["rules"]] == [0, 0]
    assert after["unfinished"] == 0
    again = mixed.bytes_of_trail()
    mixed.done("retention", "run", "--yes")
    assert mixed.bytes_of_trail() == again, "nothing is left to do, and nothing is written"


@pytest.mark.scenario(36)
@pytest.mark.defect("G-18", "H4", "H5")
def test_a_running_agent_erases_beside_its_work_and_its_sinks_go_on(mixed: Site, agent: Callable[[], None]) -> None:
    sink = '[[sink]]\nname = "all"\ntype = "files"\nfile_bytes_max = 100000000\n'
    mixed.configure(RULES + sink)
    agent()
    lines = mixed.data_dir / "sinks/all/files"
    deadline = time.monotonic() + 60

    def delivered() -> int:
        return sum(text.count(b'"action":"visit.update"') for text in (path.read_bytes() for path in lines.glob("*")))

    while delivered() < ROWS:
        assert time.monotonic() < deadline, "the sink does not deliver"
        time.sleep(0.05)
    before = mixed.bytes_of_trail()
    mixed.plan()
    assert mixed.bytes_of_trail() == before
    run = json.loads(mixed.done("retention", "run", "--yes", "--batch", "200", "-o", "json"))
    assert run["erased"] == ROWS // 2 - 1
    record(mixed, [("visit.close", "clinic.Visit", "5", 0)])
    while not any(b"visit.close" in path.read_bytes() for path in lines.glob("*")):
        assert time.monotonic() < deadline, "the sink does not go on after a purge"
        time.sleep(0.05)
    assert delivered() == ROWS, "nothing is delivered twice"
    expect_what_is_left(mixed, runs=1)


@pytest.mark.defect("H4")
def test_a_floor_is_not_undercut_and_the_longest_rule_holds(site: Site) -> None:
    site.configure('[[retention]]\nname = "phi"\nmatch = "type:clinic.Patient"\nclass = "hipaa"\ndays = 365\n')
    refused = site.run("config", "check")
    assert refused.returncode == 2
    assert "`phi` keeps 365 days, which is below the floor of the class `hipaa`, 2190 days" in refused.stderr
    site.configure('[[retention]]\nname = "own"\nfloor_days = 90\ndays = 30\n')
    assert "below the floor of `floor_days`, 90 days" in site.run("config", "check").stderr
    site.configure('[[retention]]\nname = "typo"\nmatch = "actr:ana"\n')
    assert "did you mean `actor:`" in site.run("config", "check").stderr

    site.configure(RULES + '[[retention]]\nname = "all"\ndays = 1\n')
    record(site, [("patient.update", "clinic.Patient", "1", 400), ("patient.update", "clinic.Patient", "2", 3000)])
    record(site, [("visit.update", "clinic.Visit", "1", 20), ("visit.list", "clinic.Visit", "1", 20)])
    site.ingest()
    by_rule = {rule["name"]: rule for rule in site.plan()["rules"]}
    assert {name: rule["eligible"] for name, rule in by_rule.items()} == {"visits": 0, "records-of-patients": 1, "all": 1}
    assert by_rule["all"]["kept_by_others"] == 2
    site.done("retention", "run", "--yes")
    assert [line["event"]["resource"]["id"] for line in site.events("action:patient.update")] == ["1"]
    assert len(site.events("action:visit.update")) == 1
    assert not site.events("action:visit.list")
    site.done("verify", "--deep")


def test_without_rules_nothing_expires(site: Site) -> None:
    record(site, [("visit.update", "clinic.Visit", "1", 36_000)])
    site.ingest()
    before = directory_hash(site.data_dir)
    assert site.plan()["rules"] == []
    site.done("retention", "run", "--yes")
    assert directory_hash(site.data_dir) == before


def test_an_erased_event_is_shown_as_erased_and_stays_provable(mixed: Site) -> None:
    mixed.done("retention", "run", "--yes")
    erased = mixed.events("is:erased")[0]
    assert erased["event"] is None
    assert erased["erased"] is True
    shown = json.loads(mixed.done("show", str(erased["leaf"]), "-o", "json"))
    begin = mixed.purges("begin")[0]
    assert shown["erased_by"]["purge"] == begin["id"]
    assert shown["erased_by"]["rules"] == ["visits"]
    assert shown["body_matches"] is None
    assert shown["leaf_hash_matches"] is True
    assert shown["salt"] == ""
    assert f"erased by visits, at {begin['recorded_at']}" in mixed.done("show", str(erased["leaf"]), "-o", "table")
    receipt = mixed.data_dir.parent / "receipt"
    receipt.write_text(mixed.done("show", str(erased["leaf"]), "--proof"))
    assert "its body is not shown" in mixed.done("verify", "--proof", str(receipt), "-o", "table")
    mixed.done("verify", f"{erased['leaf']}..{erased['leaf'] + 3}")
    assert mixed.run("search", "resource:clinic.Visit/1", "-e").returncode == 3, "nobody finds it by what it said"


@pytest.mark.defect("H4")
def test_a_hold_keeps_until_it_is_released_and_both_are_events(mixed: Site) -> None:
    assert mixed.run("retention", "hold", "add", "case-7", "--actor", "7", "--reason", "again").returncode == 2
    listed = json.loads(mixed.done("retention", "hold", "list", "-o", "ndjson"))
    assert (listed["name"], listed["query"], listed["reason"], listed["listed"]) == (
        "case-7",
        "resource:clinic.Visit/77",
        "court order 12",
        1,
    )
    mixed.done("retention", "run", "--yes")
    assert len(mixed.events("resource:clinic.Visit/77")) == 1
    mixed.done("retention", "hold", "release", "case-7", "--reason", "case closed")
    assert mixed.run("retention", "hold", "release", "case-7", "--reason", "twice").returncode == 2
    assert mixed.done("retention", "hold", "list", "-o", "ndjson") == ""
    mixed.done("retention", "run", "--yes")
    assert mixed.events("resource:clinic.Visit/77") == []
    mixed.done("verify", "--deep")
    holds = [line["event"] for line in mixed.events("action:audit.hold")]
    assert [(hold["meta"]["command"], hold["reason"]) for hold in holds] == [("add", "court order 12"), ("release", "case closed")]
    assert all(hold["actor"]["id"] == f"uid:{os.getuid()}" for hold in holds)


def test_an_agent_with_another_configuration_erases_nothing(mixed: Site, agent: Callable[[], None]) -> None:
    agent()
    mixed.configure(RULES.replace("days = 30", "days = 2"))
    before = len(mixed.events("action:visit.update"))
    refused = mixed.run("retention", "run", "--yes")
    assert refused.returncode == 75
    assert "restart the agent" in refused.stderr
    assert len(mixed.events("action:visit.update")) == before


def test_doctor_tells_of_what_is_overdue_and_of_what_was_interrupted(mixed: Site) -> None:
    def checks() -> dict[str, str]:
        return {check["id"]: check["verdict"] for check in json.loads(mixed.run("doctor", "-o", "json").stdout)}

    assert checks()["retention.overdue"] == "warn"
    environment = {**os.environ, "INDELIBLE_FAILPOINT": "purge.after_begin"}
    command = [str(BINARY), "--data", str(mixed.data_dir), "retention", "run", "--yes"]
    subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120)
    assert checks()["retention.unfinished"] == "warn", "a debug build has been killed at its failpoint"
    mixed.done("retention", "run", "--yes")
    assert {name: verdict for name, verdict in checks().items() if name.startswith("retention.")} == {
        "retention.space": "ok",
        "retention.unfinished": "ok",
        "retention.overdue": "ok",
    }
