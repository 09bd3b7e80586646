"""Nothing secret is stored: two hundred planted secrets go every way into the trail, and none is found in any file.

Each channel sends all secrets at the highest level. Then every byte of the data directory is searched, before and after the agent has
taken it in, and with it what the agent prints, what search shows of the records and what a sink made of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import logging
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import paramiko
import pytest
import requests
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import BaseCommand, call_command
from django.test import Client, override_settings

import indelible
from indelible import _runtime
from indelible.django import apps, conf
from indelible.http import AuditedSession
from indelible.logging import EventHandler
from indelible.sftp import AuditedSFTPClient
from outbound_servers import PASSWORD, USERNAME, HttpServer, SftpServer, http_server, sftp_server
from planted import EACH, Secret, secrets
from testproject import tasks
from testproject.models import Condition, Doctor, Patient
from trails import BINARY

PLANTED = secrets()

pytestmark = [
    pytest.mark.parametrize("database", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("database"),
]

SETTINGS: dict[str, Any] = {
    "SERVICE": "planted",
    "AGENT": "external",
    "ON_ERROR": "raise",
    "REQUESTS": {"level": "request_response"},
    "OUTBOUND": {"level": "request_response"},
}

LEAVES_PER_FILE = 64
"""So few that all but the last file of the trail are sealed: their bodies stand in compressed blocks, which search unpacks to show them."""

CONFIG = """
[[sink]]
name = "archive"
type = "files"
"""


class Site:
    """A site that records everything, and what it left behind."""

    def __init__(self, data_dir: Path, server: HttpServer, files: SftpServer) -> None:
        self.data_dir = data_dir
        self.server = server
        self.files = files
        self.client = Client(raise_request_exception=False)

    def leaks(self, planted: list[Secret]) -> dict[str, list[str]]:
        """Which secrets stand where: ``{file: [shape, …]}``. Files of the journal are searched before the agent takes them."""
        _runtime.runtime().close()
        traces = {trace: secret for secret in planted for trace in secret.traces()}
        patterns = self.data_dir.parent / "patterns"
        patterns.write_bytes(b"\n".join(sorted(traces)))
        found = self._search(patterns, traces)
        (self.data_dir / "config.toml").write_text(CONFIG)
        self._indelible("serve", "--until-idle", "0", "--leaves-per-file", str(LEAVES_PER_FILE), into="serve")
        self._indelible("search", "-kind:audit", "--limit", "1000000", "-o", "ndjson", into="search")
        assert (self.data_dir / "sinks" / "archive").is_dir(), "the sink has made its file"
        return found | self._search(patterns, traces)

    def sealed_files(self) -> int:
        """How many files of the trail hold their bodies in blocks."""
        count = 0
        for file in (self.data_dir / "trail").glob("*.trail"):
            with contextlib.closing(sqlite3.connect(file)) as opened, contextlib.suppress(sqlite3.OperationalError):
                count += opened.execute("SELECT count(*) FROM block").fetchone()[0] > 0
        return count

    def events(self) -> list[dict[str, Any]]:
        """What search showed of the records."""
        return [json.loads(line)["event"] for line in (self.data_dir / "search.out").read_text().splitlines()]

    def _search(self, patterns: Path, traces: dict[bytes, Secret]) -> dict[str, list[str]]:
        # Thousands of patterns in one pass; `grep -a` takes every file for text.
        done = subprocess.run(
            ["grep", "-r", "-a", "-o", "-F", "-f", patterns, "."], cwd=self.data_dir, capture_output=True, check=False, env={"LC_ALL": "C"}
        )
        assert done.returncode in (0, 1), done.stderr
        found: dict[str, list[str]] = {}
        for line in done.stdout.splitlines():
            name, _, trace = line.partition(b":")
            found.setdefault(name.decode(), []).append(traces[trace].shape)
        return {name: sorted(set(shapes)) for name, shapes in found.items()}

    def _indelible(self, *arguments: str, into: str) -> None:
        done = subprocess.run([BINARY, "--data", self.data_dir, *arguments], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        (self.data_dir / f"{into}.out").write_bytes(done.stdout)
        (self.data_dir / f"{into}.err").write_bytes(done.stderr)


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with http_server() as server:
        yield server


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    root = tmp_path_factory.mktemp("remote")
    (root / "inbox").mkdir()
    with sftp_server(root) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: HttpServer, files: SftpServer) -> Iterator[Site]:
    monkeypatch.setenv("INDELIBLE_DATA_DIR", str(tmp_path / "data"))
    with override_settings(INDELIBLE=SETTINGS, ROOT_URLCONF="testproject.views_planted"):
        apps.configure(conf.reload())
        yield Site(tmp_path / "data", server, files)
        _runtime.runtime().close()
    apps.configure(conf.reload())


# The channels. Each sends one secret the way that its name says.


def request_headers(site: Site, secret: Secret) -> None:
    stored = secret.stored.replace("\n", " ").encode("ascii", "replace").decode()
    site.client.get(
        "/echo", headers={secret.name or "X-Note": stored, "Authorization": f"Bearer {stored}", "Referer": f"/?{_query(secret)}"}
    )


def cookies(site: Site, secret: Secret) -> None:
    site.client.cookies["sessionid"] = secret.stored.replace("\n", " ").replace(";", "")
    site.client.get("/echo")
    site.client.cookies.clear()


def response_headers(site: Site, secret: Secret) -> None:
    stored = secret.stored.replace("\n", " ").encode("ascii", "replace").decode()
    site.client.get("/echo", headers={"X-Planted": json.dumps([secret.name or "X-Note", stored])})
    site.client.cookies.clear()


def json_bodies(site: Site, secret: Secret) -> None:
    nested = {"rows": [{secret.key: secret.stored, "plain": 1}], "name": secret.key, "value": secret.stored}
    site.client.post("/echo", nested, content_type="application/json")
    site.client.patch("/echo", {"payload": json.dumps(nested)}, content_type="application/vnd.api+json")


def broken_json_bodies(site: Site, secret: Secret) -> None:
    site.client.post("/echo", json.dumps({secret.key: secret.stored})[:-1], content_type="application/json")


def forms(site: Site, secret: Secret) -> None:
    site.client.post("/echo", urlencode({secret.key: secret.stored, "plain": "1"}), content_type="application/x-www-form-urlencoded")


def multipart_forms(site: Site, secret: Secret) -> None:
    site.client.post("/echo", {secret.key: secret.stored, "file": SimpleUploadedFile("a.txt", secret.in_prose().encode())})


def text_bodies(site: Site, secret: Secret) -> None:
    site.client.post("/echo", secret.in_prose(), content_type="text/plain")


def pages(site: Site, secret: Secret) -> None:
    field = f'<input type="hidden" name="{secret.key}" value="{secret.stored}">'
    site.client.post("/echo", f"<form>{field}<p>{secret.in_prose()}</p></form>", content_type="text/html; charset=utf-8")


def query_strings(site: Site, secret: Secret) -> None:
    site.client.get(f"/echo?page=2&{_query(secret)}")


def paths(site: Site, secret: Secret) -> None:
    segment = quote(secret.stored.replace("/", "-").replace("\n", " "), safe="")
    site.client.get(f"/reset/{segment}/done")
    if secret.name is None:
        site.client.get(f"/files/{quote(secret.text)}")


def exceptions(site: Site, secret: Secret) -> None:
    site.client.get("/fail", {"complaint": secret.in_prose()})

    @indelible.audited("ward.close")
    def close() -> None:
        raise RuntimeError(f"cannot close: {secret.in_prose()}")

    with pytest.raises(RuntimeError):
        close()


def errors_of_the_database(site: Site, secret: Secret) -> None:
    for told in (f"Key ({secret.key})=({secret.stored}) already exists.", f"Failing row contains (7, {secret.stored}, null)."):
        site.client.get("/fail", {"complaint": f"null value\nDETAIL:  {told}"})


def model_changes(site: Site, secret: Secret) -> None:
    patient = Patient.objects.create(name=secret.in_prose(), ssn=secret.value, details={"rows": [{secret.key: secret.stored}]})
    patient.details = {secret.key: secret.stored, "seen": True}
    patient.name = f"again {secret.in_prose()}"
    patient.save()
    Patient.objects.filter(pk=patient.pk).update(ssn=secret.value, name=secret.in_prose())
    Patient.objects.bulk_create([Patient(name=secret.in_prose(), details={secret.key: secret.stored})])
    patient.delete()


def relations(site: Site, secret: Secret) -> None:
    patient = Patient.objects.create(name="ana")
    patient.conditions.add(Condition.objects.create(code=secret.in_prose()[:60] if secret.name else secret.text))


def meta_and_reasons(site: Site, secret: Secret) -> None:
    indelible.record(
        "ward.close",
        resource={"type": "ward", "id": "7", "label": secret.in_prose()},
        reason=secret.in_prose(),
        meta={secret.key: secret.stored, "rows": [{secret.key: [secret.stored]}], "said": secret.in_prose()},
        changes=[{"field": secret.key, "old": secret.stored, "new": secret.in_prose()}],
    )
    with indelible.context(reason=secret.in_prose(), meta={secret.key: secret.stored}):
        Doctor.objects.create(name="ana")


def outbound_calls(site: Site, secret: Secret) -> None:
    stored = secret.stored.replace("\n", " ").encode("ascii", "replace").decode()
    with AuditedSession() as session:
        session.headers[secret.name or "X-Note"] = stored
        session.cookies.set("sessionid", quote(stored))
        session.post(f"{site.server.url}/orders?{_query(secret)}", json={secret.key: secret.stored}, timeout=10)
        session.post(f"{site.server.url}/orders", data={secret.key: secret.stored}, timeout=10)
        session.post(f"{site.server.url}/orders", data=secret.in_prose().encode(), headers={"Content-Type": "text/plain"}, timeout=10)
        with pytest.raises(requests.exceptions.RequestException):
            session.get(f"http://ana:{quote(secret.value, safe='')}@127.0.0.1:1/orders?{_query(secret)}", timeout=10)


def log_lines(site: Site, secret: Secret) -> None:
    logger = logging.Logger("ward")
    logger.addHandler(EventHandler())
    logger.error("cannot close: %s", secret.in_prose(), extra={secret.key: secret.stored, "rows": [{secret.key: secret.stored}]})
    try:
        raise RuntimeError(secret.in_prose())
    except RuntimeError:
        logger.exception("closed")


def command_arguments(site: Site, secret: Secret) -> None:
    option = f"--{secret.name or 'note'}"
    command = _Command()
    for arguments in ([f"{option}={secret.stored}"], [option, secret.stored]):
        command.option = option
        command.run_from_argv(["manage.py", "close_ward", secret.text if secret.name is None else "7", *arguments])
    call_command(_Command(option), "7", stored=secret.stored)


class _Command(BaseCommand):
    """A management command with an option of the name of the secret."""

    def __init__(self, option: str = "--note") -> None:
        super().__init__()
        self.option = option

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("ward")
        parser.add_argument(self.option, dest="stored")

    def handle(self, *args: Any, **options: Any) -> None:
        pass


def celery_arguments(site: Site, secret: Secret) -> None:
    tasks.note.apply(args=[secret.in_prose()])
    tasks.note.apply(kwargs={"text": secret.in_prose()}, headers={secret.key: secret.stored})
    tasks.fail.apply(kwargs={"message": secret.in_prose()})


def sftp_transfers(site: Site, secret: Secret) -> None:
    path = f"/inbox/{secret.name}={secret.value}" if secret.name else f"/inbox/{secret.text}"
    with AuditedSFTPClient(
        "127.0.0.1", site.files.port, username=USERNAME, password=PASSWORD, host_key=site.files.host_key_line, timeout_s=30
    ) as sftp:
        sftp.upload(io.BytesIO(secret.in_prose().encode()), "/inbox/note.txt")
        sftp.exists(path)
        with pytest.raises(FileNotFoundError):
            sftp.download(f"{path}/not there", io.BytesIO())
    if secret.shape == "password":
        with pytest.raises(paramiko.AuthenticationException):
            AuditedSFTPClient(
                "127.0.0.1", site.files.port, username=USERNAME, password=secret.value, host_key=site.files.host_key_line, timeout_s=30
            ).connect()


CHANNELS: tuple[Callable[[Site, Secret], None], ...] = (
    request_headers,
    cookies,
    response_headers,
    json_bodies,
    broken_json_bodies,
    forms,
    multipart_forms,
    text_bodies,
    pages,
    query_strings,
    paths,
    exceptions,
    errors_of_the_database,
    model_changes,
    relations,
    meta_and_reasons,
    outbound_calls,
    log_lines,
    command_arguments,
    celery_arguments,
    sftp_transfers,
)


def _query(secret: Secret) -> str:
    return urlencode({secret.key: secret.stored})


@pytest.mark.scenario(14)
@pytest.mark.defect("A-7", "F-6", "G-6", "G-7", "S-7")
@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.__name__)
def test_no_secret_reaches_any_file(site, channel, capfd, caplog):
    caplog.set_level(logging.DEBUG, logger="indelible")
    for secret in PLANTED:
        channel(site, secret)
    printed = "".join(capfd.readouterr()) + "".join(record.getMessage() for record in caplog.records if record.name.startswith("indelible"))
    leaks = site.leaks(PLANTED)
    assert not leaks, json.dumps(leaks, indent=1)
    assert not [secret.shape for secret in PLANTED for trace in secret.traces() if trace.decode("latin-1") in printed]
    assert len(site.events()) >= len(PLANTED), "each of them was recorded, without what is secret"
    assert site.sealed_files() >= 1, "they stand in sealed blocks"


@pytest.mark.parametrize(
    "channel", [channel for channel in CHANNELS if channel not in (cookies, errors_of_the_database)], ids=lambda channel: channel.__name__
)
def test_a_seeded_leak_is_found(site, channel):
    """With the detectors switched off and under names that nobody masks, the same secrets do leak, and the search above finds them.

    Not so in cookies and in what a database says of rows: of those nothing is stored at all.
    """
    apps.configure(conf.load(_Settings({**SETTINGS, "MASK": {"values": []}}), {"INDELIBLE_DATA_DIR": str(site.data_dir)}, testing=True))
    seeded = [dataclasses.replace(secret, name="X-Shelf" if secret.name else None) for secret in PLANTED[::EACH]]
    for secret in seeded:
        channel(site, secret)
    shapes = {shape for found in site.leaks(seeded).values() for shape in found}
    assert shapes & {secret.shape for secret in seeded}


@dataclasses.dataclass
class _Settings:
    INDELIBLE: dict[str, Any]
    ROOT_URLCONF: str = "planted.urls"
