"""Asks the formatters of the site about events on their way into the journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from indelible import _context, _runtime
from indelible._errors import IndelibleError
from indelible._finish import FAULTS
from indelible.django import _routes, _scope
from indelible.django.formatters import Event, Occasion, find

if TYPE_CHECKING:
    from indelible import _native
    from indelible.django._recording import Write

_OF_SQL: Final[Mapping[str | None, Event]] = {"INSERT": "create", "COPY": "create", "DELETE": "delete", "TRUNCATE": "delete"}
"""What SQL of the application's own did; what may do several things is an update."""
_READING: Final = ("SELECT", "WITH", "(SELECT", "EXPLAIN")


class WriteInFormatter(IndelibleError):
    """A formatter tried to write to the database."""


def described(write: Write, events: Iterable[_native.Event]) -> Iterator[_native.Event]:
    """The events of a write with description and attributes. A formatter that fails costs its event just these."""
    runtime, about = _runtime.runtime(), write.about()
    for place, event in enumerate(events):
        with _reading_only():
            _describe(runtime, event, about[place] if place < len(about) else None, write)
        yield event


def _describe(runtime: _runtime.Runtime, event: _native.Event, instance: Model | None, write: Write) -> None:
    redactor = runtime.redactor()
    assert redactor is not None, "an event was made, so there is one"
    where = f"the formatter of {write.plan.type}"
    try:
        occasion = _occasion(event, instance, write)
        formatter = find(type(instance) if instance is not None else write.plan.model, occasion.event, occasion.route)(occasion)
        members = _members(formatter)
        given = _json(event, "meta", {})
        event.add(redactor, meta={name: value for name, value in members.items() if name not in given})
    except FAULTS as error:
        event.add(redactor, notes=[f"description not made: {type(error).__qualname__}"])
        runtime.fault(where, error)


def _occasion(event: _native.Event, instance: Model | None, write: Write) -> Occasion:
    changes = _json(event, "changes", [])
    is_m2m = getattr(write, "link", None) is not None
    verb: Event = "m2m" if is_m2m else _OF_SQL.get(_json(event, "meta", {}).get("sql_verb"), write.verb)
    resource = event.resource
    return Occasion(
        model=type(instance) if instance is not None else write.plan.model,
        event=verb,
        instance=instance,
        key=None if resource is None else resource[1],
        changes=changes,
        route=_route(),
        actor=_context.current_facts().actor,
    )


def _members(formatter: Any) -> Mapping[str, Any]:
    description = formatter.get_description()
    if not isinstance(description, str):
        raise TypeError(f"get_description() answered {type(description).__name__}, not str")
    attributes = formatter.get_attributes() if hasattr(formatter, "get_attributes") else {}
    if not isinstance(attributes, Mapping):
        raise TypeError(f"get_attributes() answered {type(attributes).__name__}, not a mapping")
    return {**attributes, "description": description}


def _route() -> str | None:
    """Method and template of the request at hand, once its view is known."""
    scope = _scope.current.get()
    match = None if scope is None else scope.request.resolver_match
    if scope is None or match is None:
        return None
    return f"{scope.request.method}|{_routes.template(match.route)}"


def _json(event: _native.Event, part: str, otherwise: Any) -> Any:
    return next((json.loads(text) for name, text in event.parts() if name == part), otherwise)


@contextmanager
def _reading_only() -> Iterator[None]:
    """Refuses writes, and keeps a failed query from breaking the application's transaction."""
    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            stack.enter_context(connection.execute_wrapper(_read))
            stack.callback(_restore, connection, connection.needs_rollback)
        yield


def _restore(connection: BaseDatabaseWrapper, needs_rollback: bool) -> None:
    # Django marks the transaction for a rollback when `save()` fails in it; what fails here was refused before it was sent.
    connection.needs_rollback = needs_rollback


def _read(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    connection = context["connection"]
    if not str(sql).lstrip().upper().startswith(_READING):
        raise WriteInFormatter("a formatter describes an event; it must not write to the database")
    if connection.vendor != "postgresql" or (connection.get_autocommit() and not connection.in_atomic_block):
        return execute(sql, params, many, context)
    # PostgreSQL refuses everything after a failed query. The driver's own cursor: these statements are nobody else's business.
    with connection.connection.cursor() as cursor:
        cursor.execute("SAVEPOINT indelible_formatter")
        try:
            return execute(sql, params, many, context)
        except BaseException:
            cursor.execute("ROLLBACK TO SAVEPOINT indelible_formatter")
            raise
        finally:
            cursor.execute("RELEASE SAVEPOINT indelible_formatter")
