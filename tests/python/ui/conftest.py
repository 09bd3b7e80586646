"""A real agent with a seeded trail, and a real Chromium that looks at its pages."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="browser tests run in the environment that has playwright")

from . import seed  # noqa: E402

ROOT = Path(__file__).parents[3]
BINARY = Path(os.environ.get("INDELIBLE_BINARY") or ROOT / "target" / "debug" / "indelible")
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
# Without a sandbox it runs as root, too; it is shown our own pages only.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_S = 30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these share one browser and one agent, so they run in one process."""
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.xdist_group("browser"))
            item.add_marker(pytest.mark.browser)


@dataclass
class Site:
    """The agent, and where its pages are."""

    data_dir: Path
    base: str
    # Whatever the browser complained about.
    complaints: list[str] = field(default_factory=list)

    def indelible(self, *arguments: str) -> str:
        done = subprocess.run([BINARY, "--data", str(self.data_dir), *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def link(self) -> str:
        return self.indelible("link").strip()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data_dir = tmp_path_factory.mktemp("trail")
    seed.seed(data_dir)
    agent = subprocess.Popen([BINARY, "--data", str(data_dir), "serve", "--listen", "127.0.0.1:0"], stderr=subprocess.DEVNULL)
    try:
        site = Site(data_dir, "")
        site.base = until("the agent answers", lambda: _link(site)).split("/open/")[0]
        # The transaction of an ended process gets its record when the process has been gone for a while.
        until("everything is in the trail", lambda: "in_doubt" in site.indelible("search", "outcome:unknown", "-o", "ndjson"))
        yield site
    finally:
        agent.terminate()
        agent.wait(PATIENCE_S)


def _link(site: Site) -> str:
    done = subprocess.run([BINARY, "--data", str(site.data_dir), "link"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def until(what: str, look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def session(site: Site, browser: Any) -> Any:
    """What a browser keeps after it opened a link."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(site.link())
    page.wait_for_url("**/events")
    state = context.storage_state()
    context.close()
    return state


Open = Callable[..., Any]


@pytest.fixture
def open_page(site: Site, browser: Any, session: Any) -> Iterator[Open]:
    """Opens pages with a session. What the browser complains about, of its security policy above all, fails the test."""
    contexts = []
    complaints: list[str] = []

    def open_page(**options: Any) -> Any:
        context = browser.new_context(storage_state=session, base_url=site.base, **options)
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.base)
        page = context.new_page()
        page.set_default_timeout(8_000)
        page.on("console", lambda message: complaints.append(message.text) if is_complaint(message) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(f"leaves: {request.url}") if not is_ours(request.url, site.base) else None)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def is_complaint(message: Any) -> bool:
    # That a query is at fault is a 400 with a page, which the browser mentions.
    return message.type in ("error", "warning") and "status of 400" not in message.text


def is_ours(url: str, base: str) -> bool:
    return url.startswith((base, "data:", "blob:"))


@pytest.fixture(scope="session")
def addresses(site: Site) -> dict[str, str]:
    """One address of every page."""
    import json

    def event(query: str) -> str:
        line = site.indelible("search", query, "-n", "1", "-o", "ndjson").splitlines()[0]
        return f"/events/{json.loads(line)['event']['id']}"

    return {
        "events": "/events",
        "everything": "/events?q=",
        "not understood": "/events?q=kind:change%20actr:ana",
        "no match": "/events?q=created:%3E-30d%20actor:nobody%20kind:change",
        "event with every change": event("action:patient.discharge"),
        "event with a statement": event("action:invoice.update"),
        "event with long values": event("action:measurement.create"),
        "event in doubt": event("action:stock.move"),
        "object": "/objects/clinic.Patient/42",
        "object without events": "/objects/clinic.Patient/none",
        "request": "/requests/req-discharge",
        "request without events": "/requests/none",
        "actor": "/actors/user/7",
        "health": "/health",
    }
