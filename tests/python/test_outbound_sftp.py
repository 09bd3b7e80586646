"""Transfers over SFTP, against a real server: only to a server that is known, and each with what was transferred."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

import indelible
import journal
from indelible import _context, _record, _runtime
from indelible.sftp import AuditedSFTPClient
from outbound_servers import PASSWORD, USERNAME, SftpServer, sftp_server

pytestmark = pytest.mark.usefixtures("runtime")

CONTENT = b"name;value\nana;7\n" * 5000


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_runtime.Runtime]:
    monkeypatch.setattr(_runtime, "_current", None)
    monkeypatch.setattr(_record, "_hold_on", None)
    monkeypatch.setattr(_context, "_provider", None)
    yield _runtime.configure(_runtime.RuntimeSettings(service="outbound", data_dir=tmp_path / "data", on_error="raise"))
    _runtime.runtime().close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpServer]:
    root = tmp_path / "remote"
    (root / "inbox").mkdir(parents=True)
    with sftp_server(root) as server:
        yield server


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    return lambda: journal.events(tmp_path / "data", "outbound")


def connected(server: SftpServer, **options: Any) -> AuditedSFTPClient:
    options = {"password": PASSWORD, "host_key": server.host_key_line, "timeout_s": 10, **options}
    return AuditedSFTPClient("127.0.0.1", server.port, username=USERNAME, **options)


@pytest.mark.scenario(35)
@pytest.mark.defect("A-22")
def test_an_upload_is_recorded_with_what_was_sent(server, recorded, tmp_path):
    local = tmp_path / "labs.csv"
    local.write_bytes(CONTENT)
    with connected(server) as sftp:
        assert sftp.upload(local, "/inbox/labs.csv") == len(CONTENT)
    assert (server.root / "inbox/labs.csv").read_bytes() == CONTENT
    greeting, event = recorded()
    assert (greeting["action"], greeting["outcome"]) == ("sftp.connect", "success")
    assert greeting["meta"]["host_key"] == server.host_key.fingerprint
    assert (event["kind"], event["action"], event["outcome"]) == ("outbound", "sftp.upload", "success")
    assert event["resource"] == {"type": "sftp", "id": f"sftp://127.0.0.1:{server.port}", "label": "127.0.0.1"}
    assert event["meta"].pop("duration_us") > 0
    assert event["meta"] == {
        "username": USERNAME,
        "remote_path": "/inbox/labs.csv",
        "filename": "labs.csv",
        "bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    assert "error" not in event
    assert PASSWORD not in str(recorded())


@pytest.mark.scenario(35)
@pytest.mark.defect("A-22")
def test_a_download_brings_the_file_and_its_digest(server, recorded, tmp_path):
    (server.root / "inbox/labs.csv").write_bytes(CONTENT)
    target = io.BytesIO()
    with connected(server) as sftp:
        assert sftp.download("/inbox/labs.csv", tmp_path / "copy.csv") == len(CONTENT)
        sftp.download("/inbox/labs.csv", target)
    assert (tmp_path / "copy.csv").read_bytes() == target.getvalue() == CONTENT
    assert [(event["action"], event["meta"]["sha256"]) for event in recorded()[1:]] == [
        ("sftp.download", hashlib.sha256(CONTENT).hexdigest())
    ] * 2


@pytest.mark.scenario(35)
@pytest.mark.defect("A-22")
def test_whether_a_path_exists_and_can_be_written_to(server, recorded):
    with connected(server) as sftp:
        assert sftp.upload(io.BytesIO(b"x"), "/inbox/new.csv") == 1
        answers = [sftp.exists("/inbox"), sftp.exists("/inbox/new.csv"), sftp.exists("/nowhere")]
        assert answers == [True, True, False]
        valid = [sftp.is_valid_path(path) for path in ("/inbox", "/inbox/later.csv", "/nowhere/later.csv", "/inbox/new.csv/later")]
        assert valid == [True, True, False, False]
    assert {event["outcome"] for event in recorded()} == {"success"}
    assert [event["meta"]["exists"] for event in recorded()[2:5]] == answers


@pytest.mark.scenario(35)
@pytest.mark.defect("A-22")
def test_a_failed_transfer_reaches_the_caller_and_leaves_nothing_here(server, recorded, tmp_path):
    with connected(server) as sftp:
        with pytest.raises(FileNotFoundError):
            sftp.download("/inbox/missing.csv", tmp_path / "copy.csv")
        with pytest.raises(FileNotFoundError):
            sftp.upload(io.BytesIO(CONTENT), "/nowhere/labs.csv")
    assert not (tmp_path / "copy.csv").exists()
    assert [(event["action"], event["outcome"], event["error"]["type"]) for event in recorded()[1:]] == [
        ("sftp.download", "failure", "FileNotFoundError"),
        ("sftp.upload", "failure", "FileNotFoundError"),
    ]


@pytest.mark.scenario(35)
@pytest.mark.defect("A-22", "H11")
def test_a_server_whose_key_is_not_known_is_refused(server, recorded, tmp_path):
    empty = tmp_path / "known_hosts"
    empty.touch()
    with pytest.raises(paramiko.SSHException, match="not found in known_hosts"):
        connected(server, host_key=None, known_hosts=empty).connect()
    (event,) = recorded()
    assert (event["action"], event["outcome"], event["error"]["type"]) == ("sftp.connect", "failure", "SSHException")


@pytest.mark.scenario(35)
@pytest.mark.defect("A-22", "H11")
@pytest.mark.parametrize("policy", [None, paramiko.AutoAddPolicy()])
def test_a_server_whose_key_has_changed_is_refused_under_every_policy(server, recorded, policy):
    client = connected(server, unknown_host=policy)
    client.connect()
    client.close()
    server.host_key = paramiko.ECDSAKey.generate()
    with pytest.raises(paramiko.BadHostKeyException):
        client.upload(io.BytesIO(b"x"), "/inbox/labs.csv")
    assert [(event["action"], event["outcome"]) for event in recorded()] == [("sftp.connect", "success"), ("sftp.connect", "failure")]
    assert not (server.root / "inbox/labs.csv").exists()


def test_a_known_hosts_file_names_the_server(server, tmp_path):
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{server.port} {server.host_key_line}\n")
    with connected(server, host_key=None, known_hosts=known_hosts) as sftp:
        assert sftp.exists("/inbox")


@pytest.mark.parametrize("line", ["", "no key", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-none AAAA"])
def test_a_host_key_that_is_none_is_a_mistake(server, line):
    with pytest.raises(ValueError, match="ssh-ed25519"):
        connected(server, host_key=line)


def test_a_wrong_password_reaches_the_caller_and_stays_out_of_the_trail(server, recorded):
    with pytest.raises(paramiko.AuthenticationException):
        connected(server, password="wrong-hunter2").connect()
    (event,) = recorded()
    assert (event["outcome"], event["error"]["type"]) == ("failure", "AuthenticationException")
    assert "wrong-hunter2" not in str(event)


def test_a_refused_connection_reaches_the_caller(server, recorded):
    server.close()
    try:
        with pytest.raises(OSError, match="connect"):
            connected(server).connect()
    finally:
        server.close = lambda: None
    assert recorded()[0]["outcome"] == "failure"


def test_an_upload_that_may_not_be_recorded_is_not_made(server, tmp_path):
    with connected(server) as sftp:
        sftp.connect()
        _runtime.configure(
            _runtime.RuntimeSettings(
                service="outbound", data_dir=tmp_path / "data", on_failure="required", limits={"journal_bytes": 1, "segment_bytes": 1}
            )
        )
        with pytest.raises(indelible.IndelibleError):
            sftp.upload(io.BytesIO(b"x"), "/inbox/x")
    assert list((server.root / "inbox").iterdir()) == []


def test_level_none_records_nothing(server, recorded):
    with connected(server, level="none") as sftp:
        sftp.upload(io.BytesIO(b"x"), "/inbox/x")
    assert recorded() == []


@pytest.mark.defect("A-4")
@pytest.mark.scenario(38)
def test_without_paramiko_the_import_says_what_to_install():
    script = """
import sys
sys.modules["paramiko"] = None
try:
    import indelible.sftp
except ImportError as error:
    assert 'pip install "indelible[sftp]"' in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": "python"}, cwd=Path(__file__).parents[2])
