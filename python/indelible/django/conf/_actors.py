"""Who did it, and what is stored of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from indelible.django.conf._given import Given, Invalid, Site, did_you_mean, words

_KNOWN: Final = ("id", "label", "name", "email")
_RESERVED: Final = frozenset({"type", "auth", "session", "on_behalf_of", "roles"})
_NEVER: Final = frozenset({"birthdate", "birthday", "bornon", "dateofbirth", "dob", "gender", "sex"})


def resolve_actor(given: Given, site: Site) -> str:
    """When the user is loaded by us (``RESOLVE_ACTOR``, default ``"auto"``).

    ``"auto"`` looks at what the application has resolved and loads the user itself only for unsafe methods and for requests that
    recorded something; ``"always"`` for every request, at the price of its queries.
    """
    return given.choice("auto", ("auto", "always"))


def actor(given: Given, site: Site) -> Callable[[Any], Any] | None:
    """Dotted path of ``f(request)`` that names the actor (``ACTOR``, default none).

    It returns a user, a mapping with ``type`` and ``id``, a string, or ``None`` to leave it to us.
    """
    return given.function()


def actor_fields(given: Given, site: Site) -> tuple[str, ...]:
    """What is stored of a user (``ACTOR_FIELDS``, default ``["id", "label"]``): ``id``, ``label``, ``name``, ``email`` and further attributes.

    ``label`` is the user name, unless that is an e-mail address; ``name`` and ``email`` are added to the label only when asked for here.
    Anything else is an attribute of the user, or a path such as ``"department.code"``, stored under that name; following a relation costs the
    query that the application would make. Sex and date of birth are refused.
    """
    value = given.names(("id", "label"))
    for name in value:
        if name in _KNOWN:
            continue
        parts = name.split(".")
        if not all(part.isidentifier() and not part.startswith("_") for part in parts):
            raise Invalid(f"{name!r} is not an attribute of a user", "Write 'department' or 'department.code'.")
        if name in _RESERVED:
            raise Invalid(f"{name!r} is a member of every actor and is filled by us")
        if any(part.replace("_", "").lower() in _NEVER for part in parts):
            raise Invalid(f"{name!r} is never recorded of an actor", "Sex and date of birth say nothing about who did it.")
        if (hint := did_you_mean(name, _KNOWN, alike=0.85)) is not None:
            raise Invalid(f"{name!r} is not one of {words(_KNOWN)}", hint)
    return value
