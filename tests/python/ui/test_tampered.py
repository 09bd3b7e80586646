"""A list that holds a tampered record: it shows none of it, says which record it is, and leads to the others."""

from __future__ import annotations

import contextlib
import html
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

from . import seed
from .conftest import BINARY, PATIENCE_S, Site, _link, until
from .test_access import cookie_of, get


@contextlib.contextmanager
def agent_on(data_dir: Path) -> Iterator[Site]:
    agent = subprocess.Popen([BINARY, "--data", str(data_dir), "serve", "--listen", "127.0.0.1:0"], stderr=subprocess.DEVNULL)
    try:
        site = Site(data_dir, "")
        site.base = until("the agent answers", lambda: _link(site)).split("/open/")[0]
        yield site
    finally:
        agent.terminate()
        agent.wait(PATIENCE_S)


def test_a_tampered_record_keeps_nobody_from_the_others(tmp_path: Path) -> None:
    seed.seed(tmp_path)
    with agent_on(tmp_path) as site:
        until("the seed is in the trail", lambda: site.indelible("search", "leaf:9", "-o", "ndjson"))
    (file,) = (tmp_path / "trail").glob("*.trail")
    with contextlib.closing(sqlite3.connect(file)) as trail, trail:
        changed = trail.execute("UPDATE record SET body = CAST(replace(body, '\"v\":1', '\"v\":2') AS BLOB) WHERE leaf_index = 5")
        assert changed.rowcount == 1
    with agent_on(tmp_path) as site:
        cookie = cookie_of(get(site.link()))
        page = get(f"{site.base}/events?q=leaf:0..9", Cookie=cookie)
        assert page.status == 500
        assert "A record that this query finds was tampered with" in page.body
        assert 'href="/events/5"' in page.body
        (others,) = re.findall(r'The others: <a class="mono" href="([^"]+)"', page.body)
        shown = get(site.base + html.unescape(others), Cookie=cookie)
        assert shown.status == 200
        assert 'href="/events/5"' not in shown.body
        record = get(f"{site.base}/events/5", Cookie=cookie)
        assert "TAMPERED at #5" in record.body
        assert "run <code>indelible verify</code>" in record.body
