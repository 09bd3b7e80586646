"""Access logs of real servers: lines without secrets, rotating files, and events for what no middleware of ours saw."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from servers import HERE, answers, environment, free_port, running, wait_until
from trails import Trail

SECRET = "hunter22secret"

pytestmark = pytest.mark.xdist_group("servers")


@contextmanager
def serving(trail: Trail, folder: Path, port: int, arguments: Sequence[str], **variables: str) -> Iterator[Any]:
    log = folder / "server.log"
    with running(["-m", *arguments], environment(trail.data_dir, **variables), log) as process:
        wait_until(lambda: answers(port) or process.poll() is not None, log.read_text)
        assert process.poll() is None, log.read_text()
        yield process


def get(port: int, target: str, headers: Mapping[str, str] | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", target, headers=dict(headers or {}))
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def visit(port: int) -> None:
    """One request that the middleware sees, one that it does not, and again one that it does."""
    for target, status in ((f"/page?token={SECRET}", 200), (f"/static/logo.png?token={SECRET}", 404), ("/page", 200)):
        assert get(port, target, {"Referer": f"http://x/?token={SECRET}", "X-Request-ID": "seen-1"}) == status


def check(events: list[dict[str, Any]], source: str) -> None:
    """Each request is recorded once: by the middleware, else by the server."""
    requests = [event for event in events if event["kind"] == "request"]
    found = sorted((event["request"]["path"], event["request"]["status"], event.get("meta", {}).get("source", "")) for event in requests)
    assert found == [("/page", 200, ""), ("/page", 200, ""), ("/static/logo.png", 404, source)]
    (unseen,) = (event for event in requests if event["request"]["path"] == "/static/logo.png")
    assert (unseen["action"], unseen["outcome"], unseen["actor"]["type"]) == ("request.get", "failure", "unresolved")
    assert unseen["request"]["client_ip"] == "127.0.0.1"
    assert unseen["request"]["query"] == "token=[masked]"
    assert SECRET not in json.dumps(events)


GUNICORN = {
    "sync": ["--workers", "1"],
    "gthread": ["--workers", "1", "--worker-class", "gthread", "--threads", "2"],
    "preload": ["--workers", "1", "--preload"],
}


@pytest.mark.defect("G-3", "G-7")
@pytest.mark.parametrize("kind", GUNICORN)
def test_gunicorn_records_what_the_middleware_does_not_see_and_keeps_a_rotating_file(trail: Trail, tmp_path: Path, kind: str) -> None:
    port = free_port()
    variables = {"GUNICORN_LOG_DIR": str(tmp_path / "logs"), "GUNICORN_BIND": f"127.0.0.1:{port}", "GUNICORN_LOG_MAX_BYTES": "100"}
    arguments = ["gunicorn", "-c", "python:indelible.gunicorn_conf", *GUNICORN[kind], "testproject.beside:wsgi"]
    with serving(trail, tmp_path, port, arguments, **variables):
        visit(port)
        wait_until((tmp_path / "logs" / "access.log.1").exists, "not rolled over")
    check(trail.events(), "gunicorn")
    files = list((tmp_path / "logs").glob("access.log*"))
    written = "".join(path.read_text() for path in files)
    assert written.count('127.0.0.1 - "GET /page HTTP/1.1" 200 ') == 2
    assert '"http://x/?token=[masked]"' in written
    assert SECRET not in written + (tmp_path / "server.log").read_text()


def test_gunicorn_records_without_an_access_log_too(trail: Trail, tmp_path: Path) -> None:
    port = free_port()
    arguments = ["gunicorn", "--logger-class", "indelible.gunicorn.Logger", "--bind", f"127.0.0.1:{port}", "testproject.beside:wsgi"]
    with serving(trail, tmp_path, port, arguments, GUNICORN_LOG_DIR=""):
        visit(port)
    check(trail.events(), "gunicorn")
    assert "GET /page" not in (tmp_path / "server.log").read_text()


def test_the_rules_for_requests_hold_for_those_that_the_server_tells(trail: Trail, tmp_path: Path) -> None:
    port = free_port()
    arguments = ["gunicorn", "--logger-class", "indelible.gunicorn.Logger", "--bind", f"127.0.0.1:{port}", "testproject.beside:wsgi"]
    rules = '{"level": "metadata", "rules": [{"path": "/static/*", "level": "none"}]}'
    with serving(trail, tmp_path, port, arguments, GUNICORN_LOG_DIR="", INDELIBLE_REQUESTS=rules):
        visit(port)
    assert [event["request"]["path"] for event in trail.events("request")] == ["/page", "/page"]


@pytest.mark.defect("G-3")
def test_a_worker_that_hangs_is_told_by_gunicorn_and_its_request_is_recorded(trail: Trail, tmp_path: Path) -> None:
    port = free_port()
    variables = {"GUNICORN_BIND": f"127.0.0.1:{port}", "GUNICORN_WORKERS": "1", "GUNICORN_TIMEOUT": "1", "INDELIBLE_SERVICE": "tests"}
    arguments = ["gunicorn", "-c", "python:indelible.gunicorn_conf", "testproject.beside:wsgi"]
    with serving(trail, tmp_path, port, arguments, **variables):
        with contextlib.suppress(OSError, http.client.HTTPException):
            assert get(port, "/hang") == 500
        wait_until(lambda: "WORKER TIMEOUT" in (tmp_path / "server.log").read_text(), "no timeout")
    events = trail.events()
    assert [(event["action"], event["outcome"]) for event in events if event["kind"] == "request"] == [("request.get", "aborted")]
    timeout = next(event for event in events if event["kind"] == "log" and "WORKER TIMEOUT" in event["meta"]["message"])
    assert (timeout["action"], timeout["resource"]["id"]) == ("log.critical", "gunicorn.error")


@pytest.mark.defect("G-3", "G-5")
@pytest.mark.parametrize("worker_class", ["sync", "gthread"])
def test_every_variable_of_the_configuration_works(trail: Trail, tmp_path: Path, worker_class: str) -> None:
    variables = {
        "GUNICORN_BIND": "127.0.0.1:8123",
        "GUNICORN_WORKERS": "3",
        "GUNICORN_WORKER_CLASS": worker_class,
        "GUNICORN_TIMEOUT": "77",
        "GUNICORN_MAX_REQUESTS": "55",
        "GUNICORN_MAX_REQUESTS_JITTER": "5",
        "GUNICORN_ACCESS_LOG": str(tmp_path / "access"),
        "GUNICORN_ERROR_LOG": str(tmp_path / "error"),
        "GUNICORN_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:indelible.gunicorn_conf", "--print-config", "testproject.beside:wsgi"]
    env = {**environment(trail.data_dir), **variables}
    shown = subprocess.run(command, env=env, cwd=HERE, capture_output=True, text=True, check=True).stdout
    settings = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in shown.splitlines())}
    assert settings["bind"] == "['127.0.0.1:8123']"
    expected = {
        "workers": "3",
        "worker_class": worker_class,
        "timeout": "77",
        "max_requests": "55",
        "max_requests_jitter": "5",
        "accesslog": str(tmp_path / "access"),
        "errorlog": str(tmp_path / "error"),
        "loglevel": "warning",
        "logger_class": "indelible.gunicorn.Logger",
    }
    assert {name: settings[name] for name in expected} == expected
    env["GUNICORN_WORKERS"] = "many"
    refused = subprocess.run(command, env=env, cwd=HERE, capture_output=True, text=True, check=False)
    assert "GUNICORN_WORKERS='many' is not a whole number" in refused.stderr + refused.stdout


def test_gunicorns_own_files_are_bounded_and_open_again_on_its_signal(trail: Trail, tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "access"
    variables = {"GUNICORN_BIND": f"127.0.0.1:{port}", "GUNICORN_ACCESS_LOG": str(path), "GUNICORN_WORKERS": "1", "GUNICORN_LOG_DIR": ""}
    arguments = ["gunicorn", "-c", "python:indelible.gunicorn_conf", "testproject.beside:wsgi"]
    with serving(trail, tmp_path, port, arguments, **variables) as process:
        get(port, "/page")
        wait_until(lambda: path.exists() and "/page" in path.read_text(), "no line")
        os.rename(path, tmp_path / "moved")
        process.send_signal(signal.SIGUSR1)
        wait_until(lambda: get(port, "/static/x") == 404 and path.exists() and "/static/x" in path.read_text(), "not opened again")


def log_config(module: str, tmp_path: Path, trail: Trail) -> str:
    """The configuration as the module prints it for the command line."""
    command = [sys.executable, "-m", module, str(tmp_path / "logs")]
    printed = subprocess.run(command, env=environment(trail.data_dir), cwd=HERE, capture_output=True, text=True, check=True).stdout
    (tmp_path / "log.json").write_text(printed)
    return str(tmp_path / "log.json")


def test_uvicorn_records_what_the_middleware_does_not_see(trail: Trail, tmp_path: Path) -> None:
    port, config = free_port(), log_config("indelible.uvicorn", tmp_path, trail)
    arguments = ["uvicorn", "--port", str(port), "--log-config", config, "testproject.beside:asgi"]
    with serving(trail, tmp_path, port, arguments):
        visit(port)
    check(trail.events(), "uvicorn")
    written = (tmp_path / "logs" / "access.log").read_text()
    assert [json.loads(line)["level"] for line in written.splitlines()] == ["INFO"] * 3
    assert "GET /static/logo.png?token=[masked] HTTP/1.1" in written
    assert SECRET not in written + (tmp_path / "server.log").read_text()


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_granian_records_what_the_middleware_does_not_see(trail: Trail, tmp_path: Path, interface: str) -> None:
    port, config = free_port(), log_config("indelible.granian", tmp_path, trail)
    options = ["--interface", interface, "--port", str(port), "--access-log", "--log-config", config]
    with serving(trail, tmp_path, port, ["granian", *options, f"testproject.beside:{interface}"]):
        visit(port)
        # Granian writes the line when the client has its answer already.
        log = tmp_path / "logs" / "access.log"
        wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 3, "no line")
    check(trail.events(), "granian")
    written = log.read_text()
    assert SECRET not in written + (tmp_path / "server.log").read_text()
