"""Who may look: a link opens once, and without a session there are no records."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Any

import pytest

from .conftest import Site


class Answer:
    def __init__(self, status: int, headers: Any, body: str) -> None:
        self.status, self.headers, self.body = status, headers, body


def get(url: str, **headers: str) -> Answer:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
            return Answer(response.status, response.headers, response.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read().decode())


def cookie_of(answer: Answer) -> str:
    return answer.headers["Set-Cookie"].split(";")[0]


def test_a_link_works_once(site: Site) -> None:
    link = site.link()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/open/[0-9a-f]{64}", link)
    first, second = get(link), get(link)
    assert (first.status, second.status) == (200, 403)
    assert "Set-Cookie" not in second.headers
    assert "indelible link" in second.body


def test_the_cookie_is_for_this_agent_alone_and_no_script_sees_it(site: Site) -> None:
    cookie = get(site.link()).headers["Set-Cookie"]
    port = site.base.rsplit(":", 1)[1]
    assert re.fullmatch(rf"indelible-{port}=[0-9a-f]{{64}}; Path=/; HttpOnly; SameSite=Strict", cookie)


def test_without_a_session_there_are_no_records(site: Site, addresses: dict[str, str]) -> None:
    for address in addresses.values():
        path, _, query = address.partition("?")
        for suffix in ("", ".json"):
            answer = get(f"{site.base}{path}{suffix}?{query}")
            assert answer.status == 401, address
            assert "patient" not in answer.body.lower(), address
    assert get(f"{site.base}/events", Cookie="indelible-1=0").status == 401


def test_a_path_that_leads_nowhere_is_a_page_for_a_browser_with_a_session_only(site: Site) -> None:
    nowhere = f"{site.base}/nowhere"
    page = get(nowhere, Accept="text/html", Cookie=cookie_of(get(site.link())))
    assert page.status == 404
    assert "There is nothing at this path." in page.body
    assert "All events" in page.body
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for answer in (get(nowhere, Accept="text/html"), get(nowhere, Cookie=cookie_of(get(site.link())))):
        assert (answer.status, json.loads(answer.body)) == (404, {"error": "there is nothing at this path"})


def test_a_session_that_was_closed_is_gone(site: Site) -> None:
    cookie = cookie_of(get(site.link()))
    assert get(f"{site.base}/health", Cookie=cookie).status == 200
    request = urllib.request.Request(f"{site.base}/close", method="POST", headers={"Cookie": cookie, "Origin": site.base})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request)
    assert get(f"{site.base}/health", Cookie=cookie).status == 401


def test_a_page_of_another_port_can_start_nothing(site: Site) -> None:
    cookie = cookie_of(get(site.link()))
    for origin in ({}, {"Origin": "http://127.0.0.1:1"}):
        request = urllib.request.Request(f"{site.base}/checks", method="POST", headers={"Cookie": cookie, **origin})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request)


def test_every_look_is_in_the_trail_with_who_looked(site: Site) -> None:
    cookie = cookie_of(get(site.link()))
    query = "kind:auth+actor:%22Bo+Andersson%22"
    for address in (f"/events?q={query}", f"/events.csv?q={query}", "/objects/clinic.Patient/41", "/health"):
        assert get(site.base + address, Cookie=cookie).status == 200
    lines = site.indelible("search", "action:audit.read", "-n", "6", "-o", "ndjson").splitlines()
    events = [json.loads(line)["event"] for line in lines]
    # The search that was just made is among them, by the command.
    seen = [event for event in events if event["actor"].get("auth") == "link"][:4]
    assert [event["meta"]["command"] for event in seen] == ["health", "object", "events", "events"]
    assert seen[2]["meta"]["query"] == 'kind:auth actor:"Bo Andersson"'
    assert seen[2]["meta"]["count"] == 1
    assert len({event["actor"]["session"] for event in seen}) == 1


def test_answers_carry_the_policy_that_browsers_keep(site: Site, addresses: dict[str, str]) -> None:
    cookie = cookie_of(get(site.link()))
    for address in [*addresses.values(), "/open/none"]:
        headers = get(site.base + address, Cookie=cookie).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        if address != "/open/none":
            assert headers["Cache-Control"] == "no-store"
