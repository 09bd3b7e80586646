"""A site with a user model of its own (``AUTH_USER_MODEL``): signing in, writing and leaving name it as they would name Django's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import journal
from servers import HERE
from swapped.site import PASSWORD

UUID = "0192f3a4-5b6c-7d8e-9f01-23456789abcd"


@pytest.fixture(params=[("ByAddress", UUID), ("ByBadge", "B-7/ä 1")], ids=["UUID", "text"])
def visited(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str, list[dict[str, Any]]]:
    """Model, key, and what was recorded, in its order."""
    model, key = request.param
    paths = os.pathsep.join([str(HERE), str(HERE.parents[1] / "python")])
    env = {**os.environ, "PYTHONPATH": paths, "INDELIBLE_DATA_DIR": str(tmp_path / "data")}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        [sys.executable, "-m", "swapped.site", model, key], cwd=HERE, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return model, key, journal.events(tmp_path / "data", "swapped")


def test_a_user_with_a_key_of_another_kind_is_named_by_it(visited: tuple[str, str, list[dict[str, Any]]]) -> None:
    _, key, events = visited
    write, request = (next(event for event in events if event["action"] == action) for action in ("ward.create", "request.post"))
    for event in (write, request):
        assert (event["actor"]["type"], event["actor"]["id"]) == ("user", key)
    assert write["request"]["id"] == request["request"]["id"]
    assert {change["field"]: change["new"] for change in write["changes"]}["name"] == key


def test_what_happens_to_its_account_is_recorded_without_its_password(visited: tuple[str, str, list[dict[str, Any]]]) -> None:
    model, key, events = visited
    auth = [event for event in events if event["kind"] == "auth"]
    assert [event["action"] for event in auth if event["action"].startswith("auth.log")] == [
        "auth.login_failed",
        "auth.login",
        "auth.logout",
    ]
    failed, login, logout = (event for event in auth if event["action"].startswith("auth.log"))
    assert failed["outcome"] in {"denied", "failure"}
    assert (login["actor"]["id"], logout["actor"]["id"]) == (key, key)
    changes = [event for event in events if event.get("resource", {}).get("type") == f"swapped.{model}"]
    assert [event["action"].split(".")[1] for event in changes][:1] == ["create"]
    assert changes[-1]["action"].endswith(".delete")
    assert {event["resource"]["id"] for event in changes} == {key}
    text = json.dumps(events)
    assert PASSWORD not in text
    assert "hunter3" not in text
    assert "md5$" not in text
