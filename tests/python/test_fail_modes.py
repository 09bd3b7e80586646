"""What happens to whom when nothing can be recorded: each mode of ``ON_FAILURE``, by kind and by model, and the 503 of a refusal."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import DatabaseError, connection, connections, transaction
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

import indelible
import journal
from indelible import IndelibleError, _modes, _runtime
from indelible.django import conf
from trails import Trail

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.urls(__name__)]

DEADLINE_S = 20.0
FULL: Mapping[str, int] = {"journal_bytes": 1}
BY_CLASS = {"default": "best_effort", "change": "standard", "auth.Group": "required", "read": "required"}


def write(request: Any) -> HttpResponse:
    """A write that commits by itself."""
    Group.objects.create(name="ward")
    return HttpResponse("written")


@transaction.atomic
def write_in_transaction(request: Any) -> HttpResponse:
    """Two writes and their COMMIT."""
    User.objects.create_user("ana")
    Group.objects.create(name="ward")
    return HttpResponse("written")


def read(request: Any) -> HttpResponse:
    """A read that is recorded before its answer leaves."""
    indelible.record("ward.view", resource="ward/7", kind="read")
    return HttpResponse("read")


class Api(APIView):
    """The same write behind DRF's exception handler."""

    authentication_classes = ()

    def post(self, request: Any) -> Response:
        with transaction.atomic():
            Group.objects.create(name="ward")
        return Response("written")


def idle(request: Any) -> HttpResponse:
    """Does nothing."""
    return HttpResponse("idle")


def writes_late(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A middleware of the site that writes when the view has answered."""

    def middleware(request: Any) -> Any:
        response = get_response(request)
        Group.objects.create(name="late")
        return response

    return middleware


urlpatterns = [
    path("write", write),
    path("transaction", write_in_transaction),
    path("read", read),
    path("api", Api.as_view()),
    path("idle", idle),
]


def blocked(tmp_path: Path) -> Path:
    """A data directory that cannot be opened, for any user."""
    file = tmp_path / "in the way"
    file.write_text("not a folder")
    return file


@pytest.fixture(params=["the journal is full", "the data directory cannot be opened"])
def broken(request: pytest.FixtureRequest, trail: Trail, tmp_path: Path) -> Callable[[Any], None]:
    """Makes recording impossible, with the given modes."""

    def configure(modes: Any) -> None:
        settings = dataclasses.replace(_runtime.runtime().settings, on_error="degrade", on_failure=_modes.checked(modes))
        if request.param == "the journal is full":
            settings = dataclasses.replace(settings, limits={**settings.limits, **FULL})
        else:
            settings = dataclasses.replace(settings, data_dir=blocked(tmp_path))
        _runtime.configure(settings)

    return configure


def lost() -> int:
    """Events that the trail will be told of as lost."""
    health = indelible.health()
    return int(health.get("lost", health["unrecorded"]))


def alone() -> None:
    Group.objects.create(name="lobby")


def together() -> None:
    with transaction.atomic():
        User.objects.create_user("ana")
        Group.objects.create(name="ward")


@pytest.mark.parametrize(
    ("modes", "refused", "bound_s"),
    [
        ("required", True, 5.0),
        ("standard", False, 2.0),
        ("best_effort", False, 2.0),
        ({"default": "best_effort", "change": "required"}, True, 5.0),
        ({"default": "required", "change": "standard"}, False, 2.0),
        # A model counts before its kind, and the strictest of a transaction before all others in it.
        ({"change": "best_effort", "auth.Group": "required"}, True, 5.0),
        ({"change": "required", "auth.Group": "best_effort", "auth.User": "standard"}, False, 2.0),
    ],
    ids=str,
)
def test_a_write_that_cannot_be_recorded_is_refused_or_counted_as_its_class_says(
    broken: Callable[[Any], None], modes: Any, refused: bool, bound_s: float
) -> None:
    broken(modes)
    for act in (alone, together):
        began = time.monotonic()
        if refused:
            with pytest.raises(DatabaseError) as raised:
                act()
            assert isinstance(raised.value, IndelibleError)
        else:
            act()
        assert time.monotonic() - began < bound_s
    assert Group.objects.count() == (0 if refused else 2)
    assert User.objects.count() == (0 if refused else 1), "all or nothing"
    assert lost() > 0
    assert not indelible.health()["ok"]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_block_that_cannot_be_recorded_is_refused_as_well(broken: Callable[[Any], None]) -> None:
    broken("required")
    for scope in (nullcontext, transaction.atomic):
        with pytest.raises(DatabaseError) as raised, scope(), connection.cursor() as cursor:
            cursor.execute("DO $$ BEGIN INSERT INTO auth_group (name) VALUES ('block'); END $$")
        assert isinstance(raised.value, IndelibleError)
    assert Group.objects.count() == 0


def test_one_mode_for_each_class_also_of_what_is_recorded_at_once(broken: Callable[[Any], None]) -> None:
    broken(BY_CLASS)
    with pytest.raises(IndelibleError):
        indelible.record("ward.view", resource="ward/7", kind="read")
    with pytest.raises(IndelibleError):
        indelible.record("group.close", resource="auth.Group/7", held=False)
    assert indelible.record("ward.close", resource="ward/7", held=False).status == "lost"
    assert lost() == 3


@pytest.mark.parametrize("place", ["/write", "/transaction", "/read", "/api"])
def test_a_request_that_was_refused_is_answered_503_and_nothing_of_it_is_done(
    broken: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    broken(BY_CLASS)
    for atomic, post in ((True, Client().post), (False, in_event_loop)):
        monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", atomic)
        response = post(place)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        assert b"could not be recorded" in response.content
        assert response.headers["X-Request-ID"]
    assert (Group.objects.count(), User.objects.count()) == (0, 0)


def in_event_loop(place: str) -> Any:
    """What the same site answers under ASGI."""

    async def post() -> Any:
        return await asyncio.wait_for(AsyncClient().post(place), DEADLINE_S)

    return asyncio.run(post())


def test_a_refusal_in_a_middleware_is_a_503_too(broken: Callable[[Any], None], settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.writes_late"]
    broken(BY_CLASS)
    response = Client(raise_request_exception=False).get("/idle")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert Group.objects.count() == 0


def test_a_site_whose_other_errors_are_500_keeps_them(broken: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch) -> None:
    broken(BY_CLASS)
    monkeypatch.setattr(Group.objects, "create", lambda **_: 1 / 0)
    assert Client(raise_request_exception=False).post("/write").status_code == 500


def test_without_recording_nothing_is_refused(trail: Trail) -> None:
    _runtime.configure(dataclasses.replace(_runtime.runtime().settings, enabled=False, on_failure="required"))
    together()
    assert Group.objects.count() == 1
    assert indelible.record("ward.view", kind="read").status == "lost"


def test_when_there_is_room_again_recording_goes_on_and_tells_what_was_refused(trail: Trail) -> None:
    settings = _runtime.runtime().settings
    limits = {**settings.limits, "journal_bytes": 40_000, "segment_bytes": 10_000}
    _runtime.configure(dataclasses.replace(settings, on_failure=_modes.checked(BY_CLASS), limits=limits))
    for number in range(1000):
        try:
            Group.objects.create(name=f"{number}-{'x' * 100}")
        except DatabaseError:
            break
    else:
        pytest.fail("the journal takes no more than 40,000 bytes")
    assert Client().post("/write").status_code == 503
    stream = next((trail.data_dir / "journal" / "tests").glob("*-*"))
    for segment in sorted(stream.glob("*.journal"))[:-1]:
        segment.unlink()
    deadline = time.monotonic() + DEADLINE_S
    while Client().post("/write").status_code == 503 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Group.objects.filter(name="ward").count() == 1
    _runtime.runtime().close()
    told = [frame.lost or 0 for frame in journal.frames(trail.data_dir, "tests") if frame.kind == journal.LOSS]
    assert sum(told) >= 3, "two refused writes, and the request that was"


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ("requried", "'requried' is not one of 'required', 'standard', 'best_effort'", "Did you mean 'required'?"),
        ({"change": "always"}, "'change': 'always' is not one of", None),
        ({"chnage": "required"}, "'chnage' is neither a kind of events", "Did you mean 'change'?"),
        ({"Patient": "required"}, "'Patient' is neither a kind of events", "Write a kind of events, app_label.Model, or 'default'."),
        (7, "must be a dict with string keys, not int", None),
    ],
    ids=str,
)
def test_a_mistake_in_the_modes_is_told_and_the_default_stands_in(settings: Any, given: Any, message: str, hint: str | None) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "ON_FAILURE": given}
    loaded = conf.load(settings, {}, testing=True)
    assert loaded.on_failure == "standard"
    (problem,) = [problem for problem in loaded.problems if problem.key == "ON_FAILURE"]
    assert message in problem.message
    assert problem.hint == hint


def test_the_environment_has_a_word_or_json(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, modes in (("required", "required"), ('{"read": "required"}', {"default": "standard", "read": "required"})):
        environ = {"INDELIBLE_ON_FAILURE": text}
        assert conf.load(settings, environ, testing=True).on_failure == modes
        assert _runtime.settings_from_environment(environ).on_failure == modes
    for text in ("shrug", '{"reed": "required"}', "{"):
        with pytest.raises(IndelibleError, match="INDELIBLE_ON_FAILURE"):
            _runtime.settings_from_environment({"INDELIBLE_ON_FAILURE": text})
