"""Log lines: each knows its request, files per kind, lines as events, and a host's own configuration that nobody touches."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

import indelible
import indelible.logging
import indelible.structlog
from indelible import _context
from indelible.logging import API, AUDIT, LOGIN, EventHandler, JsonFormatter, PlainFormatter, RotatingFile, logging_config
from testproject.models import Doctor
from trails import Trail

SECRET = "hunter22secret"
HERE = Path(__file__).parent


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Path]:
    """The loggers as :func:`logging_config` configures them; afterwards as they were."""
    root = logging.getLogger()
    before = (root.level, list(root.handlers), list(root.filters))
    folder = tmp_path / "logs"
    logging.config.dictConfig(logging_config(folder, console=None, events="WARNING"))
    yield folder
    for handler in root.handlers:
        handler.close()
    root.setLevel(before[0])
    root.handlers[:], root.filters[:] = before[1], before[2]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("clinic")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.handlers.clear()
    logger.filters.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.defect("A-2", "A-5", "A-25", "A-26")
def test_each_kind_of_line_has_its_file_and_its_members(configured: Path, trail: Trail) -> None:
    model = {
        "model": "Author",
        "event_type": "CREATE",
        "instance_id": "1",
        "instance_repr": {"name": "Ada", "password": SECRET},
        "other": 1,
    }
    logging.getLogger("audit.model").log(AUDIT, "CREATE event by %s", "Author", extra=model)
    request = {"request_type": "internal", "request_repr": {"path": "/", "headers": {"Authorization": SECRET}}, "execution_time": 0.5}
    logging.getLogger("audit.request").log(API, "Audit Internal Request", extra=request)
    logging.getLogger("audit.login").log(LOGIN, "login", extra={"user_id": "7", "event": "login", "success": True, "error": ""})
    with indelible.context(actor="user:7"):
        logging.getLogger("clinic.views").info("saved %d", 3, extra={"batch": {4: {1}}})
    assert {path.name for path in configured.glob("*.log")} == {"app.log", "api.log", "audit.log", "login.log"}
    (audit,), (api,), (login,) = (lines(configured / f"{kind}.log") for kind in ("audit", "api", "login"))
    (app,) = (line for line in lines(configured / "app.log") if line["name"] == "clinic.views")
    assert (audit["level"], audit["name"], audit["log_type"]) == ("AUDIT", "audit.model", "audit")
    assert (audit["message"], audit["model"], audit["instance_id"], audit["extra"]) == (
        "CREATE event by Author",
        "Author",
        "1",
        {"other": 1},
    )
    assert audit["instance_repr"] == {"name": "Ada", "password": "[masked]"}
    assert (api["level"], api["log_type"], api["execution_time"]) == ("API", "api", 0.5)
    assert (login["level"], login["log_type"], login["success"], login["error"]) == ("LOGIN", "login", True, "")
    assert (app["log_type"], app["message"], app["actor_id"], app["func_name"]) == (
        "app",
        "saved 3",
        "7",
        "test_each_kind_of_line_has_its_file_and_its_members",
    )
    assert app["filename"] == "test_logging.py"
    assert datetime.fromisoformat(app["timestamp"].replace("Z", "+00:00")).utcoffset().total_seconds() == 0
    assert SECRET not in "".join(path.read_text() for path in configured.glob("*.log"))


@pytest.mark.parametrize(("kind", "log_type"), [("worker", "celeryworker"), ("beat", "celerybeat"), ("web", "app"), ("command", "app")])
def test_lines_of_workers_say_so_and_lose_nothing(kind: str, log_type: str, trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from indelible import _runtime

    runtime = _runtime.runtime()
    monkeypatch.setattr(runtime, "settings", dataclasses.replace(runtime.settings, process_kind=kind))
    record = logging.makeLogRecord({"name": "x", "levelno": AUDIT, "levelname": "AUDIT", "msg": "m", "model": "Author"})
    assert json.loads(JsonFormatter().format(record))["model"] == "Author"
    record = logging.makeLogRecord({"name": "x", "levelno": 20, "levelname": "INFO", "msg": "m"})
    assert json.loads(JsonFormatter().format(record))["log_type"] == log_type


def test_levels_have_names_and_no_logger_is_patched() -> None:
    assert [logging.getLevelName(level) for level in (AUDIT, API, LOGIN)] == ["AUDIT", "API", "LOGIN"]
    assert logging.getLevelName("LOGIN") == LOGIN
    assert not hasattr(logging.Logger, "audit")
    program = "import logging; logging.addLevelName(22, 'MINE'); import indelible.logging; print(logging.getLevelName(22))"
    env = {**os.environ, "PYTHONPATH": str(HERE.parents[1] / "python")}
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env).stdout == "MINE\n"


def test_every_line_of_a_request_has_its_id(database: str, trail: Trail, logger: logging.Logger, tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "own.log")
    handler.addFilter(indelible.logging.ContextFilter())
    handler.setFormatter(logging.Formatter("%(request_id)s|%(trace_id)s|%(actor_id)s|%(message)s"))
    logger.addHandler(handler)
    plain = logging.FileHandler(tmp_path / "plain.log")
    plain.setFormatter(PlainFormatter())
    logger.addHandler(plain)
    Client(headers={"x-request-id": "line-1", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}).get("/log/inside")
    logger.info("outside")
    handler.close()
    plain.close()
    inside, outside = (tmp_path / "own.log").read_text().splitlines()
    assert inside == f"line-1|{'a' * 32}||inside"
    assert outside.startswith("||")
    assert outside.endswith("|outside")
    inside, outside = (tmp_path / "plain.log").read_text().splitlines()
    assert " INFO     clinic [line-1] inside" in inside
    assert " INFO     clinic [-] outside" in outside


def test_lines_become_events(trail: Trail, logger: logging.Logger) -> None:
    logger.addHandler(EventHandler(logging.WARNING))
    with indelible.context(actor="user:7", tenant="t1"):
        logger.info("not recorded")
        logger.warning("low on %s", "beds", extra={"ward": 4, "api_key": SECRET, "odd": {1: {2}}})
        try:
            raise ValueError(f"password={SECRET}")
        except ValueError:
            logger.exception("refused: token=%s", SECRET)
        logger.log(LOGIN + 20, "between")
        # Handed to the handler itself: others raise for a line like this where tests run.
        line = {"name": "clinic", "levelno": 40, "levelname": "ERROR", "msg": "%d arguments that do not fit", "args": ("no", "numbers")}
        EventHandler().handle(logging.makeLogRecord(line))
    warned, failed, between, unfit = trail.events("log")
    assert (warned["action"], warned["outcome"], warned["actor"]["id"], warned["tenant"]) == ("log.warning", "success", "7", "t1")
    assert warned["resource"] == {"type": "logger", "id": "clinic"}
    assert warned["meta"]["message"] == "low on beds"
    assert (warned["meta"]["extra"]["ward"], warned["meta"]["extra"]["api_key"]) == (4, "[masked]")
    assert (warned["meta"]["file"], warned["meta"]["function"]) == (__file__, "test_lines_become_events")
    assert (failed["action"], failed["outcome"], failed["error"]["type"]) == ("log.error", "failure", "ValueError")
    assert "Traceback" in failed["meta"]["traceback"]
    assert between["outcome"] == "failure"
    assert unfit["meta"]["message"].startswith("%d arguments that do not fit")
    assert SECRET not in json.dumps([warned, failed, between, unfit])


@pytest.mark.defect("H14")
def test_a_line_is_bounded_however_large(trail: Trail, logger: logging.Logger) -> None:
    logger.addHandler(EventHandler())
    logger.error("x" * 1_000_000, extra={f"extra_{number}": "y" * 100_000 for number in range(200)})
    (event,) = trail.events("log")
    assert len(json.dumps(event)) < 300_000
    assert event["resource"]["id"] == "clinic"
    formatted = JsonFormatter().format(logging.makeLogRecord({"msg": "x" * 1_000_000, "extra_1": "y" * 1_000_000, "name": "big"}))
    assert len(formatted) < 20_000
    assert json.loads(formatted)["name"] == "big"


def test_recording_a_line_costs_no_query_and_records_nothing_else(
    database: str, trail: Trail, logger: logging.Logger, django_user_model: Any
) -> None:
    client = Client()
    client.force_login(django_user_model.objects.create_user("ana"))
    with CaptureQueriesContext(connection) as plain:
        client.get("/log/inside")
    for name in ("clinic", "django.db.backends"):
        logging.getLogger(name).addHandler(EventHandler())
    queries = logging.getLogger("django.db.backends")
    level = queries.level
    queries.setLevel(logging.DEBUG)
    try:
        trail.forget()
        with CaptureQueriesContext(connection) as handled:
            client.get("/log/inside")
            client.get("/log/user")
            Doctor.objects.count()
    finally:
        queries.setLevel(level)
        queries.handlers.clear()
    assert len(plain) == 0
    events = trail.events()
    inside = next(event for event in events if event["kind"] == "log")
    assert inside["actor"]["type"] == "unresolved"
    # Two queries for the user that the second view looks at, and one of our own.
    assert len(handled) == 3
    assert len([event for event in events if event["kind"] == "log" and event["resource"]["id"] == "django.db.backends"]) == 3


def test_rows_that_nobody_has_asked_for_are_not_asked_for_by_a_line(database: str, trail: Trail, logger: logging.Logger) -> None:
    Doctor.objects.create(name="Bob")
    trail.forget()
    logger.addHandler(EventHandler())
    rows = Doctor.objects.filter(name="Bob")
    with CaptureQueriesContext(connection) as queries:
        logger.error("not saved", extra={"rows": rows, "more": [rows]})
        JsonFormatter().format(logging.makeLogRecord({"msg": "", "name": "x", "rows": rows}))
    shown = {"type": "django.db.models.query.QuerySet", "text": "<not asked for>"}
    (event,) = trail.events("log")
    assert (event["meta"]["extra"], len(queries), rows._result_cache) == ({"rows": shown, "more": [shown]}, 0, None)


def test_our_own_lines_are_not_recorded_and_a_fault_goes_no_further(trail: Trail, logger: logging.Logger, monkeypatch: Any) -> None:
    handler = EventHandler()
    logger.addHandler(handler)
    ours = logging.getLogger("indelible")
    ours.addHandler(handler)
    try:
        ours.error("about ourselves")
        monkeypatch.setattr(_context, "known_facts", lambda: logger.error("logged while a line is recorded") or _context.process_facts())
        logger.error("outer")
    finally:
        ours.removeHandler(handler)
    assert [event["meta"]["message"] for event in trail.events("log")] == ["outer"]


class Broken:
    """Has no text to show."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def test_a_line_of_what_cannot_be_printed_is_recorded_and_raises_nothing(trail: Trail) -> None:
    # Of no family: pytest's handler raises what it meets.
    logger = logging.Logger("odd")
    logger.addHandler(EventHandler())
    logger.error(Broken())
    logger.error("%s is broken", Broken())
    logger.error("extra", extra={"odd": Broken()})
    logger.error("raised", exc_info=ValueError(Broken()))
    assert PlainFormatter().format(logging.makeLogRecord({"name": "odd", "msg": Broken()}))
    line = {"event": Broken(), "exc_info": ValueError(Broken())}
    assert indelible.structlog.RecordEvents()(None, "error", line) is line
    messages = [event["meta"]["message"] for event in trail.events("log")]
    assert messages == ["<unprintable> ()", "%s is broken <unprintable>", "extra", "raised", "<unprintable>"]


@pytest.mark.defect("A-24")
def test_a_full_journal_changes_nothing_for_whoever_logs(trail: Trail, logger: logging.Logger, monkeypatch: Any) -> None:
    from indelible import _runtime
    from indelible.django import apps, conf

    monkeypatch.setenv("INDELIBLE_ON_FAILURE", "required")
    monkeypatch.setenv("INDELIBLE_LIMITS", '{"journal_bytes": 1048576}')
    apps.configure(conf.reload())
    logger.addHandler(EventHandler())
    for _ in range(40):
        logger.error("x" * 8000, extra={"more": "y" * 100_000})
        if _runtime.runtime().health().get("lost"):
            break
    assert _runtime.runtime().health()["lost"] == 1
    assert not _runtime.runtime().health()["ok"]


@pytest.mark.defect("A-23")
def test_a_file_loses_nothing_when_processes_and_threads_roll_it_over(tmp_path: Path) -> None:
    path = tmp_path / "new" / "app.log"
    program = (
        "import logging, sys; from indelible.logging import RotatingFile\n"
        "handler = RotatingFile(sys.argv[1], maxBytes=500, backupCount=100)\n"
        "log = logging.getLogger('x'); log.addHandler(handler); log.setLevel(10)\n"
        "for number in range(300): log.info('%s line %d', sys.argv[2], number)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(HERE.parents[1] / "python")}
    others = [subprocess.Popen([sys.executable, "-c", program, str(path), name], env=env) for name in ("a", "b")]
    handler = RotatingFile(path, maxBytes=500, backupCount=100)
    log = logging.getLogger("rotating")
    log.propagate = False
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    threads = [threading.Thread(target=lambda name=name: [log.info("%s line %d", name, number) for number in range(300)]) for name in "cd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    child = os.fork()
    if child == 0:
        log.info("child line 0")
        os._exit(0)
    os.waitpid(child, 0)
    assert [process.wait(60) for process in others] == [0, 0]
    handler.close()
    log.handlers.clear()
    found = sorted(line for file in path.parent.glob("app.log*") for line in file.read_text().splitlines())
    assert found == sorted([f"{name} line {number}" for name in "abcd" for number in range(300)] + ["child line 0"])
    assert len(list(path.parent.glob("app.log.[0-9]*"))) > 10


def test_no_more_files_are_kept_than_asked_for(tmp_path: Path) -> None:
    handler = RotatingFile(tmp_path / "app.log", maxBytes=100, backupCount=2)
    for number in range(50):
        handler.emit(logging.makeLogRecord({"msg": f"line {number}"}))
    handler.close()
    assert {path.name for path in tmp_path.glob("app.log*")} == {"app.log", "app.log.1", "app.log.2", "app.log.lock"}
    assert (handler.maxBytes, RotatingFile(tmp_path / "x").maxBytes, RotatingFile(tmp_path / "x").backupCount) == (100, 10 << 20, 5)


def test_structlog_lines_know_their_request_and_become_events(trail: Trail) -> None:
    written: list[dict[str, Any]] = []

    def keep(logger: Any, method: str, event_dict: Any) -> Any:
        written.append(dict(event_dict))
        raise structlog.DropEvent

    chain = [indelible.structlog.add_context, indelible.structlog.RecordEvents("warning"), keep]
    log = structlog.wrap_logger(None, processors=chain, wrapper_class=structlog.BoundLogger).bind(ward=4)
    with indelible.context(actor="user:7"):
        log.info("quiet")
        log.warning("low on beds", api_key=SECRET, actor_id="mine")
        try:
            raise KeyError("bed")
        except KeyError:
            log.error("gone", exc_info=True)
    assert [line["event"] for line in written] == ["quiet", "low on beds", "gone"]
    assert (written[0]["actor_id"], written[1]["actor_id"]) == ("7", "mine")
    assert written[1]["api_key"] == SECRET, "the host's own lines are the host's own"
    low, gone = trail.events("log")
    assert (low["action"], low["meta"]["message"], low["meta"]["extra"]["ward"]) == ("log.warning", "low on beds", 4)
    assert low["meta"]["extra"]["api_key"] == "[masked]"
    assert (gone["outcome"], gone["error"]["type"]) == ("failure", "KeyError")
    assert SECRET not in json.dumps([low, gone])


@pytest.mark.defect("A-27")
def test_the_hosts_logging_and_structlog_stay_as_they_are() -> None:
    program = (
        "import logging, structlog, json\n"
        "structlog.configure(processors=[structlog.processors.JSONRenderer()])\n"
        "structlog.contextvars.bind_contextvars(mine=1)\n"
        "logging.basicConfig(level=35)\n"
        "def state():\n"
        "    root = logging.getLogger()\n"
        "    methods = sorted(vars(logging.Logger))\n"
        "    return [repr(structlog.get_config()), repr(structlog.contextvars.get_contextvars()), root.level, repr(root.handlers), methods, logging.getLoggerClass().__name__]\n"
        "before = state()\n"
        "import django; django.setup()\n"
        "import indelible.logging, indelible.structlog, indelible.celery, indelible.uvicorn, indelible.granian, indelible.gunicorn\n"
        "indelible.celery.connect()\n"
        "from django.test import Client; assert Client().get('/plain/').status_code == 200\n"
        "assert state() == before, (before, state())\n"
        "assert logging.getLogger('indelible').handlers == []\n"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "testproject.settings", "INDELIBLE_RECORD": "nowhere"}
    env["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE.parents[1] / "python")])
    done = subprocess.run([sys.executable, "-c", program], env=env, cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.defect("H1")
def test_nothing_of_the_trail_reaches_an_error_tracker(database: str, trail: Trail, monkeypatch: Any) -> None:
    import sentry_sdk
    from sentry_sdk.integrations.logging import LoggingIntegration

    from indelible import _runtime
    from indelible.django import apps, conf

    sent: list[str] = []

    class Tracker(sentry_sdk.transport.Transport):
        def capture_envelope(self, envelope: Any) -> None:
            sent.append(envelope.serialize().decode("utf-8", "replace"))

    monkeypatch.setenv("INDELIBLE_ON_ERROR", "degrade")
    apps.configure(conf.reload())
    tracker = Tracker()
    integration = LoggingIntegration(level=logging.DEBUG, event_level=logging.ERROR)
    client = sentry_sdk.Client(dsn="http://key@127.0.0.1/1", transport=tracker, integrations=[integration], default_integrations=False)
    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(client)
        with indelible.context(actor="user:7", reason="planted-reason"):
            doctor = Doctor.objects.create(name="planted-name")
            indelible.record("invoice.approve", resource=doctor, meta={"note": "planted-note"})
            event = {"note": "planted-frame"}
            try:
                raise ValueError("planted-error password=planted-password")
            except ValueError as error:
                _runtime.runtime().fault("a test", error)
            assert event
        logging.getLogger("clinic").error("the host's own line")
        client.flush()
        client.close()
    text = "".join(sent)
    assert "the host's own line" in text, "the tracker works"
    assert "a fault in a test" in text, "that something is wrong with us may be known"
    for planted in ("planted-reason", "planted-name", "planted-note", "planted-frame", "planted-password"):
        assert planted not in text
    assert {event["action"] for event in trail.events()} >= {"doctor.create", "invoice.approve"}
