"""What is left out of the trail."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

from indelible.django.conf._given import Given, Invalid, Site


def record(given: Given, site: Site) -> str:
    """Where events go (``RECORD``): ``"journal"`` (default) or ``"nowhere"``.

    With ``"nowhere"`` every hook runs as ever, every event is made and masked, and then it is dropped: no file, no folder, no agent. For
    tests that are about something else. ``ENABLED`` ``False`` leaves out the hooks too.
    """
    return given.choice("journal", ("journal", "nowhere"))


def tasks(given: Given, site: Site) -> Literal[True, False, "starts"]:
    """Whether who asks for a Celery task travels with it, and the end of each attempt is recorded (``TASKS``, default ``True``).

    With ``"starts"`` its beginning is an event of its own, too.
    """
    return "starts" if given.value == "starts" else given.boolean(True)


def skip(given: Given, site: Site) -> Callable[[Any], Any] | None:
    """Dotted path of ``f(request)`` that answers true for a request that is not recorded (``SKIP``, default none).

    It is asked when the answer is complete, so it may look at the user. What the request changed is recorded all the same. When it
    raises, the request is recorded.
    """
    return given.function()


def ignore_actions(given: Given, site: Site) -> tuple[str, ...]:
    """Actions that are not recorded (``IGNORE_ACTIONS``, default ``[]``), as ``"draft.update"``, ``"draft.*"`` or ``"*.list"``.

    What is ignored leaves no trace, so name nothing here that somebody may ask for later.
    """
    value = given.names(())
    for pattern in value:
        if not re.fullmatch(r"(?:[a-z0-9_-]+|\*)(?:\.(?:[a-z0-9_-]+|\*))+", pattern):
            raise Invalid(f"{pattern!r} is not an action", "Write 'noun.verb', with '*' for a whole part: 'draft.*'.")
        if not pattern.strip("*."):
            raise Invalid(f"{pattern!r} would ignore everything", "Set ENABLED to False for that.")
    return value


def anonymous(given: Given, site: Site) -> bool:
    """Whether events of anonymous actors are recorded (``ANONYMOUS``, default ``True``).

    Failed logins and denials are recorded in any case: whoever is refused is anonymous more often than not.
    """
    return given.boolean(True)
