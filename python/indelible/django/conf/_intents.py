"""What people say about what they do, and which of it is recorded."""

from __future__ import annotations

import re

from indelible.django.conf._given import Given, Invalid, Site


def reason_header(given: Given, site: Site) -> str:
    """The request header whose text becomes the ``reason`` of every event of the request (``REASON_HEADER``, default ``"X-Audit-Reason"``).

    Empty: no header is looked at. At most 1,000 characters are kept.
    """
    value = given.text("X-Audit-Reason")
    if not re.fullmatch(r"[A-Za-z0-9-]{0,64}", value):
        raise Invalid(f"{value!r} is not the name of a header", "Use letters, digits and '-', as in 'X-Audit-Reason'.")
    return value


def reason_field(given: Given, site: Site) -> str:
    """The form field, or member of a DRF body, that is the ``reason`` where the header is missing (``REASON_FIELD``, default ``""``: none).

    A form is looked at once the application has read it; a body is never read for its sake.
    """
    return given.text("")


def reason_required(given: Given, site: Site) -> tuple[str, ...]:
    """Actions that are refused without a reason (``REASON_REQUIRED``, default ``[]``): ``["patient.delete", "patient.discharge"]``.

    ``noun.create``, ``noun.update`` and ``noun.delete`` of a model are refused before the statement is sent; an action of your own before
    the block that declares it. ``class Audit: reason_required`` says the same at the model.
    """
    return given.names(())


def reads(given: Given, site: Site) -> str:
    """Whose reading is recorded (``READS``): ``"declared"`` (default) of models and views that say ``reads = True``, ``"all"`` or ``"none"``.

    Reading means the detail and list pages of Django's admin and the ``retrieve`` and ``list`` of DRF's viewsets.
    """
    return given.choice("declared", ("declared", "all", "none"))


def auth(given: Given, site: Site) -> bool:
    """Whether logins, logouts and failed logins are recorded, and changes of rights as kind ``auth`` (``AUTH``, default ``True``)."""
    return given.boolean(True)


def commands(given: Given, site: Site) -> bool:
    """Whether management commands are recorded (``COMMANDS``, default ``True``); servers, shells and test runners never are."""
    return given.boolean(True)
