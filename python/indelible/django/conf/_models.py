"""Which models are recorded, and what is masked everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from indelible.django.conf._given import Given, Invalid, Site, did_you_mean, kind, known_keys, names, words
from indelible.django.conf._schema import Mask

DETECTORS: Final = ("card", "jwt", "bearer", "basic", "private_key", "url_password", "api_token", "password_hash")


def models(given: Given, site: Site) -> str | Mapping[str, Mapping[str, Any]]:
    """Which models are recorded (``MODELS``): ``"all"`` (default) or ``{"app.Model": {options of class Audit}}``.

    ``"all"`` leaves out sessions, migrations, content types and rows of ``auth.Permission``. A dict names the models and, as in
    ``class Audit``, what is masked or ignored.
    """
    if given.missing or given.value == "all":
        return "all"
    value = given.mapping()
    for label, options in value.items():
        if label.count(".") != 1:
            raise Invalid(f"{label!r} is not a model", "Write 'app_label.Model'.")
        if not isinstance(options, Mapping):
            raise Invalid(f"the options of {label!r} must be a dict, not {kind(options)}")
    return MappingProxyType(dict(value))


def mask(given: Given, site: Site) -> Mask:
    """What is never stored (``MASK``, default ``{"fields": [], "values": [all detectors]}``).

    ``fields`` are names added to the built-in ones, matched without case and separators. ``values`` names the detectors that look into texts:
    ``card``, ``jwt``, ``bearer``, ``basic``, ``private_key``, ``url_password``, ``api_token``,
    ``password_hash``.
    """
    value = given.mapping()
    known_keys(value, ("fields", "values"))
    detectors = names(value["values"]) if "values" in value else None
    for detector in detectors or ():
        if detector not in DETECTORS:
            raise Invalid(f"{detector!r} is not one of {words(DETECTORS)}", did_you_mean(detector, DETECTORS))
    return Mask(names(value.get("fields", ())), detectors)


def keep_rolled_back(given: Given, site: Site) -> str:
    """Which changes are recorded as aborted after a rollback (``KEEP_ROLLED_BACK``): ``"sensitive"`` (default), ``"all"`` or ``"none"``."""
    return given.choice("sensitive", ("sensitive", "all", "none"))


def bulk(given: Given, site: Site) -> str:
    """How statements over many rows are recorded (``BULK``): ``"rows"`` (default) or ``"statement"``.

    ``"rows"`` is one event for each row with its primary key, ``"statement"`` one event for the whole with condition, true count and up to
    1,000 keys. ``bulk`` in ``class Audit`` decides for one model.
    """
    return given.choice("rows", ("rows", "statement"))


def raw_sql(given: Given, site: Site) -> bool:
    """Whether SQL of your own that writes a recorded table is recorded (``RAW_SQL``, default ``True``): table, rows, fingerprint."""
    return given.boolean(True)


def foreign_keys(given: Given, site: Site) -> bool:
    """Whether changes of foreign keys are recorded (``FOREIGN_KEYS``, default ``True``)."""
    return given.boolean(True)


def m2m(given: Given, site: Site) -> str | frozenset[str]:
    """Which many-to-many fields are recorded (``M2M``): ``"all"`` (default), or a list of ``"app.Model.field"``.

    ``m2m`` in ``class Audit`` decides for one model.
    """
    if given.missing or given.value == "all":
        return "all"
    value = given.names(())
    for name in value:
        if name.count(".") != 2:
            raise Invalid(f"{name!r} is not a many-to-many field", "Write 'app_label.Model.field'.")
    return frozenset(value)
