"""``indelible.context``: who, where and why, in nested blocks, threads and tasks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import types

import pytest

import indelible
import journal
from indelible import _context, _runtime

pytestmark = pytest.mark.usefixtures("runtime")


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    monkeypatch.setattr(_runtime, "_current", None)
    monkeypatch.setattr(_context, "_provider", None)
    yield _runtime.configure(_runtime.RuntimeSettings(service="context", data_dir=tmp_path))
    _runtime.runtime().close()


@pytest.fixture
def last(tmp_path):
    """Records something and gives its body."""

    def record() -> dict:
        assert indelible.record("thing.do").status == "at"
        return journal.events(tmp_path, "context")[-1]

    return record


class User:
    pk = 7
    is_authenticated = True
    email = "ana@example.org"

    def get_username(self) -> str:
        return "ana"


class Anonymous:
    pk = None
    is_authenticated = False


@pytest.mark.parametrize(
    ("actor", "written"),
    [
        (User(), {"type": "user", "id": "7", "label": "ana"}),
        (Anonymous(), {"type": "anonymous"}),
        ("system:nightly", {"type": "system", "id": "nightly"}),
        ("service:billing", {"type": "service", "id": "billing"}),
        ("nightly", {"type": "system", "id": "nightly"}),
        ("urn:job:7", {"type": "system", "id": "urn:job:7"}),
        ({"id": 7}, {"type": "user", "id": "7"}),
        ({"type": "service", "id": "x", "roles": ["a"]}, {"type": "service", "id": "x", "roles": ["a"]}),
    ],
)
def test_an_actor_comes_in_several_forms(last, actor, written):
    with indelible.context(actor=actor):
        assert last()["actor"] == written


@pytest.mark.defect("H8")
def test_only_the_asked_fields_of_a_user_are_read(tmp_path, last):
    _runtime.configure(_runtime.RuntimeSettings(service="context", data_dir=tmp_path, actor_fields=("id",)))
    with indelible.context(actor=User()):
        assert last()["actor"] == {"type": "user", "id": "7"}


def test_a_user_that_cannot_be_loaded_is_unresolved_and_says_so(last, caplog):
    class Lazy:
        @property
        def is_authenticated(self) -> bool:
            raise RuntimeError("database is away")

    with indelible.context(actor=Lazy()):
        body = last()
    assert body["actor"] == {"type": "unresolved"}
    assert body["notes"] == ["actor not resolved: RuntimeError"]
    assert len(caplog.records) == 1


@pytest.mark.defect("F-5")
def test_outside_of_everything_the_program_acts(last, monkeypatch):
    monkeypatch.setattr(_context, "_process_facts", None)
    monkeypatch.setattr("sys.argv", ["/srv/manage.py", "import_rates", "--fast"])
    assert last()["actor"] == {"type": "system", "id": "import_rates"}


def test_inner_blocks_win_and_what_they_leave_out_stays(last):
    with indelible.context(actor="system:outer", reason="outer", tenant="t1", meta={"a": 1, "b": 1}):
        with indelible.context(reason="inner", meta={"b": 2}):
            body = last()
        assert last()["reason"] == "outer"
    assert (body["actor"]["id"], body["reason"], body["tenant"], body["meta"]) == ("outer", "inner", "t1", {"a": 1, "b": 2})
    assert "reason" not in last()


def test_what_the_event_says_itself_wins(tmp_path):
    with indelible.context(reason="context", meta={"a": 1, "b": 1}):
        indelible.record("thing.do", reason="own", meta={"b": 2})
    body = journal.events(tmp_path, "context")[-1]
    assert (body["reason"], body["meta"]) == ("own", {"a": 1, "b": 2})


def test_an_exception_ends_the_block(last):
    with pytest.raises(RuntimeError), indelible.context(reason="inside"):
        raise RuntimeError
    assert "reason" not in last()


def test_it_is_also_a_decorator_and_can_be_used_again(last):
    @indelible.context(reason="job")
    def job() -> dict:
        return last()

    assert job()["reason"] == "job"
    assert job()["reason"] == "job"


def test_the_provider_knows_the_request_and_blocks_win_over_it(last):
    facts = _context.Facts(actor={"type": "user", "id": 1}, request_id="r-1", meta={"a": 1})
    _context.set_provider(lambda: facts)
    body = last()
    assert (body["actor"]["id"], body["request"], body["meta"]) == ("1", {"id": "r-1"}, {"a": 1})
    with indelible.context(actor="system:impersonator", meta={"b": 2}):
        body = last()
    assert (body["actor"]["id"], body["request"], body["meta"]) == ("impersonator", {"id": "r-1"}, {"a": 1, "b": 2})


def test_facts_that_changed_are_seen_inside_a_block(last):
    holder = types.SimpleNamespace(facts=_context.Facts(actor={"type": "unresolved"}))
    _context.set_provider(lambda: holder.facts)
    with indelible.context(reason="r"):
        assert last()["actor"] == {"type": "unresolved"}
        holder.facts = _context.Facts(actor={"type": "user", "id": 3})
        assert last()["actor"] == {"type": "user", "id": "3"}


def test_facts_are_encoded_once_and_again_for_another_runtime(tmp_path):
    facts = _context.Facts(actor={"type": "user", "id": 1})
    first = _runtime.runtime()
    assert facts.context(first) is facts.context(first)
    encoded = facts.context(first)
    second = _runtime.configure(_runtime.RuntimeSettings(service="context", data_dir=tmp_path, mask_fields=("x",)))
    assert facts.context(second) is not encoded


def test_a_thread_has_it_only_through_a_copied_context():
    seen: dict[str, object] = {}

    def look(name: str) -> None:
        seen[name] = _context.current_facts().reason

    with indelible.context(reason="parent"):
        copied = contextvars.copy_context()
        threads = [
            threading.Thread(target=look, args=("bare",)),
            threading.Thread(target=copied.run, args=(look, "copied")),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == {"bare": None, "copied": "parent"}


def test_tasks_do_not_see_each_others_blocks():
    async def work(reason: str) -> str | None:
        with indelible.context(reason=reason):
            await asyncio.sleep(0)
            return _context.current_facts().reason

    async def both() -> list[str | None]:
        return await asyncio.gather(work("a"), work("b"))

    assert asyncio.run(both()) == ["a", "b"]
