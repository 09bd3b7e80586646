"""The settings: one dict ``INDELIBLE``, one typed schema, one function for each setting.

Every key can also come from the environment as ``INDELIBLE_<KEY>`` (JSON where the value is a dict or a list), which wins. A mistake never
stops the site: it becomes a :class:`Problem`, which ``manage.py check`` reports, and the default stands in.

A new setting is a field of :class:`Settings` (``_schema.py``), the function of that name in the module of its group, and a row in
docs/settings.md. The function takes what the site gave and returns the checked value.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from indelible.django.conf import _actors, _additions, _guarantees, _intents, _models, _requests, _selection, _service
from indelible.django.conf._given import UNSET, Given, Invalid, Problem, Site, did_you_mean, kind
from indelible.django.conf._guarantees import LIMITS
from indelible.django.conf._models import DETECTORS
from indelible.django.conf._requests import LEVELS
from indelible.django.conf._schema import Mask, RequestPolicy, Settings
from indelible.django.conf._service import temporary_folder

__all__ = [
    "DETECTORS",
    "KEYS",
    "LEVELS",
    "LIMITS",
    "SETTINGS",
    "Mask",
    "Problem",
    "RequestPolicy",
    "Settings",
    "active",
    "load",
    "reload",
    "temporary_folder",
    "under_test_runner",
]

Setting = Callable[[Given, Site], Any]

_GROUPS: Final = (_service, _requests, _models, _actors, _additions, _intents, _selection, _guarantees)
# Variables of the same prefix that are no settings: those of the `indelible` binary, and secrets.
_OTHER_VARIABLES: Final = frozenset({"INDELIBLE_BINARY", "INDELIBLE_SERVER", "INDELIBLE_TOKEN", "INDELIBLE_COLLECTOR_TOKEN"})


def _function_of(field: str) -> Setting:
    """The function of the setting ``field``, from the module of its group."""
    found: Setting = next(vars(group)[field] for group in _GROUPS if field in vars(group))
    return found


SETTINGS: Final[tuple[Setting, ...]] = tuple(_function_of(field.name) for field in fields(Settings) if field.name != "problems")
KEYS: Final[tuple[str, ...]] = tuple(setting.__name__.upper() for setting in SETTINGS)


def load(django_settings: Any, environ: Mapping[str, str], *, testing: bool) -> Settings:
    """Reads the dict ``INDELIBLE`` and the environment; never raises for a mistake in them."""
    site = Site(django_settings, testing)
    problems: list[Problem] = []
    source = getattr(django_settings, "INDELIBLE", {})
    if not isinstance(source, Mapping):
        problems.append(Problem("INDELIBLE", f"INDELIBLE must be a dict, not {kind(source)}.", 'Write INDELIBLE = {"SERVICE": "clinic"}.'))
        source = {}
    problems += _unknown_keys(source, environ)
    values = {setting.__name__: _read(setting, source, environ, site, problems) for setting in SETTINGS}
    return Settings(**values, problems=tuple(problems))


def _read(
    setting: Callable[[Given, Site], Any], source: Mapping[str, Any], environ: Mapping[str, str], site: Site, problems: list[Problem]
) -> Any:
    key = setting.__name__.upper()
    variable = f"INDELIBLE_{key}"
    in_environment = variable in environ
    try:
        return setting(Given(environ[variable] if in_environment else source.get(key, UNSET), in_environment), site)
    except Invalid as invalid:
        place = variable if in_environment else f"INDELIBLE[{key!r}]"
        problems.append(Problem(key, f"{place}: {invalid}.", invalid.hint))
        return setting(Given(UNSET, False), site)


def _unknown_keys(source: Mapping[str, Any], environ: Mapping[str, str]) -> list[Problem]:
    problems = [
        Problem(str(key), f"INDELIBLE[{key!r}] is not a setting.", did_you_mean(str(key).upper(), KEYS))
        for key in source
        if key not in KEYS
    ]
    for variable in environ:
        key = variable.removeprefix("INDELIBLE_")
        if key == variable or key in KEYS or variable in _OTHER_VARIABLES:
            continue
        # The prefix is not ours alone: only what looks like a slip of the pen is a mistake.
        if (hint := did_you_mean(key, KEYS)) is not None:
            problems.append(Problem(key, f"{variable} in the environment is not a setting.", hint))
    return problems


def under_test_runner() -> bool:
    """Whether ``manage.py test``, pytest or unittest drives this process."""
    return "pytest" in sys.modules or os.path.basename(sys.argv[0]) == "unittest" or sys.argv[1:2] == ["test"]


_active: Settings | None = None


def active() -> Settings:
    """The settings in force. They are read once, in ``AppConfig.ready`` (and again by ``override_settings`` in tests)."""
    return _active if _active is not None else reload()


def reload() -> Settings:
    """Reads the settings again and puts them in force."""
    from django.conf import settings

    global _active
    _active = load(settings, os.environ, testing=under_test_runner())
    return _active
