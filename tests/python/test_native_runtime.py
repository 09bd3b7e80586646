"""What the application notices when recording is not possible: one line in its log."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

import indelible
import journal
from indelible import IndelibleError, _context, _native, _runtime
from indelible.django import conf

ROOT = Path(__file__).parents[2]


class Clock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def configured(monkeypatch):
    """Configures the process's runtime for one test."""
    monkeypatch.setattr(_runtime, "_current", None)
    monkeypatch.setattr(_runtime, "_on_open", None)

    def configure(data_dir: Path, **settings) -> _runtime.Runtime:
        return _runtime.configure(_runtime.RuntimeSettings(service="runtime", data_dir=data_dir, **settings))

    yield configure
    _runtime.runtime().close()


@pytest.fixture
def without_native(monkeypatch):
    monkeypatch.setitem(sys.modules, "indelible._native", None)
    monkeypatch.delattr(indelible, "_native", raising=False)


def errors(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


def test_without_the_native_module_the_application_goes_on_and_says_so_once(configured, without_native, tmp_path, caplog):
    configured(tmp_path)
    for _ in range(3):
        assert indelible.record("app.start") == indelible.Recorded("lost")
    (message,) = errors(caplog)
    assert "native module cannot be imported" in message
    health = indelible.health()
    assert not health["ok"]
    assert health["unrecorded"] == 3


def test_an_import_that_works_again_is_noticed(configured, without_native, tmp_path, monkeypatch):
    clock = Clock()
    runtime = _runtime.Runtime(_runtime.RuntimeSettings(service="runtime", data_dir=tmp_path), clock=clock)
    assert runtime.native() is None
    monkeypatch.undo()
    assert runtime.native() is None
    clock.now += _runtime.RETRY_AFTER_S
    assert runtime.native() is not None


def test_a_data_dir_that_cannot_be_used_is_tried_again_later(tmp_path, caplog):
    clock = Clock()
    blocker = tmp_path / "data"
    blocker.write_text("in the way")
    runtime = _runtime.Runtime(_runtime.RuntimeSettings(service="runtime", data_dir=blocker), clock=clock)
    for _ in range(3):
        assert runtime.recorder() is None
    clock.now += _runtime.RETRY_AFTER_S
    assert runtime.recorder() is None
    (message,) = errors(caplog)
    assert str(blocker) in message

    blocker.unlink()
    assert runtime.recorder() is None
    clock.now += _runtime.RETRY_AFTER_S
    assert runtime.recorder() is not None
    assert runtime.health()["ok"]
    assert "recording again" in caplog.records[-1].getMessage()
    runtime.close()


def losses(data_dir: Path, service: str) -> list[int | None]:
    return [frame.lost for frame in journal.frames(data_dir, service) if frame.kind == journal.LOSS]


def test_what_a_fault_of_ours_cost_becomes_an_event_of_the_trail(configured, tmp_path):
    configured(tmp_path)
    runtime = _runtime.runtime()
    runtime.lose(2)
    indelible.record("app.start")
    runtime.lose()
    runtime.missed("a hook", RuntimeError("ours"))
    health = indelible.health()
    assert (health["lost"], health["unrecorded"], health["ok"]) == (4, 4, False)
    runtime.close()
    assert losses(tmp_path, "runtime") == [2, 2], "before the first event, and before the end"


def test_losses_are_told_when_a_journal_can_be_opened_and_at_the_latest_at_the_end(tmp_path):
    clock = Clock()
    blocker = tmp_path / "data"
    blocker.write_text("in the way")
    runtime = _runtime.Runtime(_runtime.RuntimeSettings(service="runtime", data_dir=blocker), clock=clock)
    assert runtime.recorder() is None
    runtime.lose(3)
    runtime.close()
    blocker.unlink()
    runtime.close()
    assert losses(blocker, "runtime") == [3], "nothing was recorded, and the trail is told"
    runtime.close()
    assert len(list((blocker / "journal" / "runtime").iterdir())) == 1, "once"


def test_a_child_of_a_fork_does_not_tell_its_parents_losses_again(configured, tmp_path):
    blocker = tmp_path / "data"
    blocker.write_text("in the way")
    runtime = configured(blocker)
    assert runtime.recorder() is None
    runtime.lose(3)
    blocker.unlink()
    child = os.fork()
    if child == 0:
        try:
            runtime.lose(1)
            runtime.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert losses(blocker, "runtime") == [1]
    runtime.close()
    assert sorted(map(str, losses(blocker, "runtime"))) == ["1", "3"]


def test_tests_may_ask_for_the_exception(tmp_path):
    blocker = tmp_path / "data"
    blocker.write_text("in the way")
    settings = _runtime.RuntimeSettings(service="runtime", data_dir=blocker, on_error="raise")
    with pytest.raises(IndelibleError, match="data"):
        _runtime.Runtime(settings).recorder()


def test_the_settings_know_the_detectors_that_the_native_module_has():
    assert _native.Redactor(detectors=conf.DETECTORS).text("4111 1111 1111 1111") == "[masked]"
    with pytest.raises(ValueError, match="unknown detector") as raised:
        _native.Redactor(detectors=["nothing"])
    assert all(detector in str(raised.value) for detector in conf.DETECTORS)


def test_a_wrong_detector_stops_recording_instead_of_masking_less(configured, tmp_path, caplog):
    configured(tmp_path, detectors=("cardz",))
    assert indelible.record("app.start").status == "lost"
    assert "cardz" in errors(caplog)[0]


class SlowImport(MetaPathFinder, Loader):
    """Finds the native module, and hands it over when somebody lets it."""

    def __init__(self):
        self.began, self.goes_on = threading.Event(), threading.Event()

    def find_spec(self, fullname, path, target=None):
        return ModuleSpec(fullname, self) if fullname == "indelible._native" else None

    def create_module(self, spec):
        self.began.set()
        assert self.goes_on.wait(30)
        return _native

    def exec_module(self, module):
        pass


def test_a_thread_that_comes_while_another_imports_loses_nothing(tmp_path, monkeypatch):
    """The first two requests of a fresh worker, on a machine with much to do: the second one opened nothing for five seconds."""
    slow, found = SlowImport(), []
    runtime = _runtime.Runtime(_runtime.RuntimeSettings(service="runtime", data_dir=tmp_path))
    monkeypatch.setattr(sys, "meta_path", [slow, *sys.meta_path])
    monkeypatch.delitem(sys.modules, "indelible._native")
    monkeypatch.delattr(indelible, "_native")
    monkeypatch.setattr(_native, "__spec__", _native.__spec__)
    threads = [threading.Thread(target=lambda: found.append(runtime.recorder())) for _ in range(2)]
    threads[0].start()
    assert slow.began.wait(30)
    native = threading.Thread(target=lambda: found.append(runtime.native()))
    native.start()
    # It would be back at once with nothing.
    native.join(0.5)
    threads[1].start()
    slow.goes_on.set()
    for thread in (*threads, native):
        thread.join(30)
    assert len(found) == 3
    assert None not in found
    runtime.close()


def test_switched_off_it_records_nothing_and_says_nothing(configured, tmp_path, caplog):
    configured(tmp_path, enabled=False)
    assert indelible.record("app.start").status == "lost"
    assert not errors(caplog)
    assert not list(tmp_path.iterdir())


def test_a_fault_is_logged_once_a_minute_for_one_place(tmp_path, caplog):
    clock = Clock()
    runtime = _runtime.Runtime(_runtime.RuntimeSettings(service="runtime", data_dir=tmp_path), clock=clock)
    for place in ("here", "here", "there"):
        runtime.fault(place, ValueError("x"))
    assert len(errors(caplog)) == 2
    clock.now += _runtime.LOG_INTERVAL_S
    runtime.fault("here", ValueError("x"))
    assert len(errors(caplog)) == 3


def test_lost_events_are_said_once_a_minute_and_counted(configured, tmp_path, caplog):
    runtime = configured(tmp_path, on_failure="best_effort", limits={"journal_bytes": 1000})
    for _ in range(3):
        assert indelible.record("app.start", meta={"x": "y" * 2000}).status == "lost"
    transaction = runtime.recorder().transaction("default")
    event = runtime.recorder().event(_context.current_context(), "action", "app.start", meta={"x": "y" * 2000})
    transaction.hold(event)
    transaction.prepare().committed()
    (message,) = errors(caplog)
    assert "limit is 1000" in message
    assert indelible.health()["lost"] == 4
    assert not indelible.health()["ok"]


def test_the_hook_for_the_first_event_runs_once_and_cannot_do_harm(configured, tmp_path, caplog):
    calls = []

    def hook() -> None:
        calls.append(1)
        raise RuntimeError("no agent")

    configured(tmp_path)
    _runtime.set_on_open(hook)
    for _ in range(2):
        assert indelible.record("app.start").status == "at"
    assert calls == [1]
    assert len(errors(caplog)) == 1


def test_health_shows_the_journal(configured, tmp_path):
    configured(tmp_path)
    indelible.record("app.start")
    health = indelible.health()
    assert health["ok"]
    assert (health["sequence"], health["lost"], health["unrecorded"]) == (1, 0, 0)
    assert health["data_dir"] == str(tmp_path)


def test_a_process_that_ends_in_order_says_so_in_its_journal(tmp_path):
    run('import indelible; indelible.record("app.start")', INDELIBLE_DATA_DIR=tmp_path, INDELIBLE_SERVICE="script")
    assert [frame.kind for frame in journal.frames(tmp_path, "script")] == [journal.EVENT, journal.CLOSE]
    (body,) = journal.events(tmp_path, "script")
    assert body["actor"] == {"type": "system", "id": "-c"}
    assert body["source"]["process_kind"] == "command"


def test_every_part_carries_the_same_version():
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared is not None
    assert declared[1] == indelible.__version__ == _native.__version__


def test_the_environment_alone_is_enough(tmp_path):
    run(
        'import indelible; assert indelible.record("app.start").status == "at"',
        INDELIBLE_DATA_DIR=tmp_path,
        INDELIBLE_SERVICE="billing",
        INDELIBLE_ENVIRONMENT="test",
        INDELIBLE_VERSION="1.2",
        INDELIBLE_DURABILITY="synced",
    )
    source = journal.events(tmp_path, "billing")[0]["source"]
    assert (source["environment"], source["version"]) == ("test", "1.2")


def test_a_wrong_word_in_the_environment_names_its_choices():
    with pytest.raises(IndelibleError, match="INDELIBLE_DURABILITY='eternal' is none of: buffered, synced"):
        _runtime.settings_from_environment({"INDELIBLE_DURABILITY": "eternal"})


def test_a_local_data_dir_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _runtime.settings_from_environment({}).data_dir == Path("/var/lib/indelible")
    (tmp_path / ".indelible").mkdir()
    assert _runtime.settings_from_environment({}).data_dir == tmp_path / ".indelible"


@pytest.mark.parametrize(
    ("program", "service"), [("/srv/Nightly Sync.py", "nightlysync"), ("", "python"), ("-c", "c"), ("__main__.py", "main__")]
)
def test_the_service_is_named_after_the_program(monkeypatch, program, service):
    monkeypatch.setattr(sys, "argv", [program])
    assert _runtime.settings_from_environment({}).service == service


def run(program: str, **environ: object) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), **{name: str(value) for name, value in environ.items()}}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
