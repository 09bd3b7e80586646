"""Django's pool of connections: whoever a connection goes back from and comes out to next, each transaction is told as what it was."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import django
import pytest
from django.db import connection, connections, transaction

from clusters import default_database
from indelible import _runtime
from indelible.django.evidence import _destination, _journals, _outbox
from indelible.django.evidence._resolver import Resolver
from proofs import answer
from scenarios import backend, create, created, verdict
from servers import wait_until
from testproject.models import Doctor
from trails import Trail

T = TypeVar("T")

pytestmark = [
    pytest.mark.skipif(django.VERSION < (5, 1), reason="Django has pools since 5.1"),
    pytest.mark.usefixtures("database"),
    pytest.mark.parametrize("database", ["postgresql"], indirect=True),
]

PATIENCE_S = 30
"""For so long somebody waits for a connection of the pool."""


@contextmanager
def pool_of(size: int, timeout_s: float = PATIENCE_S) -> Iterator[None]:
    """The test's database as ``default`` behind a pool of so many connections."""
    pool = {"min_size": size, "max_size": size, "timeout": timeout_s}
    with default_database({**connections.settings["default"], "OPTIONS": {"pool": pool}}):
        try:
            yield
        finally:
            connection.close()
            connections["default"].close_pool()


@pytest.fixture
def pooled(trail: Trail) -> Iterator[Trail]:
    """The trail of a site whose threads share one connection."""
    with pool_of(1):
        yield trail


def elsewhere(act: Callable[[], T]) -> T:
    """Does something in a thread of its own, whose connection goes back to the pool."""

    def acting() -> T:
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(acting).result(2 * PATIENCE_S)


def abandoned(name: str) -> int:
    """The same, given back to the pool in the middle of the transaction, inside of a savepoint."""
    with transaction.atomic():
        create(name)
        with transaction.atomic():
            create(f"{name}inner")
            pid = backend()
            connection.close()
    return pid


def test_a_connection_that_comes_out_in_another_thread_is_that_threads_own(pooled: Trail, evidence: str) -> None:
    pids = {elsewhere(lambda name=name: created(name)) for name in ("first", "second", "third")}
    assert len(pids) == 1, "each had the same connection"
    assert set(verdict(pooled, evidence).committed) == {"first", "second", "third"}


def test_a_transaction_that_goes_back_to_the_pool_unfinished_is_claimed_by_nobody(pooled: Trail, evidence: str) -> None:
    pids = {elsewhere(lambda: abandoned("left")), elsewhere(lambda: created("after"))}
    assert len(pids) == 1, "each had the same connection"
    assert set(verdict(pooled, evidence).committed) == {"after"}


def test_a_thread_that_comes_back_for_a_connection_has_nothing_open(pooled: Trail, evidence: str) -> None:
    def twice() -> None:
        abandoned("left")
        create("again")
        connection.close()
        Doctor.objects.create(name="alone")

    elsewhere(twice)
    assert set(verdict(pooled, evidence).committed) == {"again", "alone"}


THREADS, OPERATIONS = 6, 15


def test_a_crowd_that_shares_two_connections_loses_nothing_and_claims_nothing(trail: Trail, evidence: str) -> None:
    gate = threading.Barrier(THREADS)

    def member(number: int) -> set[int]:
        chance, letters = random.Random(number), "abcdefghijklmnopqrstuvwxyz"
        gate.wait(PATIENCE_S)
        pids = set()
        for _ in range(OPERATIONS):
            name = "".join(chance.choices(letters, k=20))
            match chance.randrange(4):
                case 0:
                    pids.add(created(name))
                case 1:
                    pids.add(abandoned(name))
                case 2:
                    Doctor.objects.create(name=name)
                case 3:
                    with transaction.atomic():
                        create(name)
                        transaction.set_rollback(True)
            connection.close()
        return pids

    with pool_of(2):
        with ThreadPoolExecutor(THREADS) as executor:
            pids = set().union(*executor.map(member, range(THREADS), timeout=2 * PATIENCE_S))
        assert len(pids) <= 2
        said = verdict(trail, evidence)
    assert len(said.committed) > THREADS
    assert not said.in_doubt


def round_of_resolver() -> dict[str, str]:
    """What kept it from asking the database."""
    recorder = _runtime.recorder()
    assert recorder is not None
    done = Resolver(_journals.folder()).round(recorder, reconcile=True)
    assert done.knows
    return done.problems


def round_of_drainer() -> dict[str, str]:
    recorder = _destination.recorder_of_drainer()
    assert recorder is not None
    try:
        drainer = _outbox.Drainer(_destination.OwnJournal(_journals.folder(), recorder))
        return drainer.round().problems
    finally:
        recorder.close()


@pytest.fixture(params=[("marker", round_of_resolver), ("outbox", round_of_drainer)], ids=["resolver", "drainer"])
def our_round(request: pytest.FixtureRequest, trail: Trail, settings: Any) -> Callable[[], dict[str, str]]:
    """What we ask the database for beside the application, as far as an agent has given work for it."""
    evidence, act = request.param
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": evidence}
    create("before")
    _journals.folder().mkdir(parents=True, exist_ok=True)
    answer(_journals.folder(), {})
    return act


def test_our_own_questions_take_nothing_from_the_pool_and_leave_the_thread_in_it(our_round: Callable[[], dict[str, str]]) -> None:
    asked = threading.Event()

    def ask_and_write() -> int:
        assert our_round() == {}
        connection.close()
        asked.set()
        return created("after")

    with pool_of(1, timeout_s=5), ThreadPoolExecutor(1) as executor:
        with transaction.atomic():
            create("meanwhile")
            held = backend()
            other = executor.submit(elsewhere, ask_and_write)
            # It asks while the application has all there is.
            wait_until(lambda: asked.is_set() or other.done(), "it does not come back")
            assert asked.is_set(), other.exception()
        connection.close()
        assert other.result(PATIENCE_S) == held


def test_our_own_questions_make_no_pool(our_round: Callable[[], dict[str, str]]) -> None:
    # A process forked off later would share its connections with its parent, and what the application does in it would get our options.
    with pool_of(1):
        pools = connections["default"]._connection_pools
        assert elsewhere(our_round) == {}
        assert pools == {}
