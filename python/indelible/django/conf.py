"""The settings: one dict ``INDELIBLE``, one typed schema, one function for each setting.

Every key can also come from the environment as ``INDELIBLE_<KEY>`` (JSON where the value is a dict or a list), which wins. A mistake never
stops the site: it becomes a :class:`Problem`, which ``manage.py check`` reports, and the default stands in.
"""

from __future__ import annotations

import atexit
import difflib
import functools
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, cast

from django.utils.module_loading import import_string

LEVELS: Final = ("none", "metadata", "request", "request_response")
DETECTORS: Final = ("card", "jwt", "bearer", "basic", "private_key", "url_password", "api_token", "password_hash")
LIMITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "event_bytes": 262_144,
        "journal_bytes": 1 << 30,
        "transaction_bytes": 16 << 20,
        "transaction_events": 65_536,
    }
)
# Variables of the same prefix that belong to the `indelible` binary.
_BINARY_VARIABLES: Final = frozenset({"INDELIBLE_BINARY", "INDELIBLE_SERVER", "INDELIBLE_TOKEN"})
_UNSET: Final[Any] = object()


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake in the settings. ``key`` is the setting, ``message`` what is wrong, ``hint`` what to do."""

    key: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """How much of a request is recorded: the ``level`` of the first rule that matches, else ``level``."""

    level: str
    rules: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class Mask:
    """Field names that are masked beside the built-in ones, and value detectors (``None``: all)."""

    fields: tuple[str, ...]
    values: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, checked. Each field is described by the function of the same name."""

    enabled: bool
    service: str
    environment: str
    version: str
    data_dir: Path
    agent: str
    requests: RequestPolicy
    models: str | Mapping[str, Mapping[str, Any]]
    mask: Mask
    evidence: str
    durability: Literal["buffered", "synced"]
    on_failure: Literal["required", "standard", "best_effort"]
    on_error: Literal["degrade", "raise"]
    resolve_actor: str
    actor: Callable[[Any], Any] | None
    actor_fields: tuple[str, ...]
    context: Callable[[Any], Mapping[str, Any] | None] | None
    trusted_proxy_count: int
    request_id_header: str
    keep_rolled_back: Literal["sensitive", "all", "none"]
    limits: Mapping[str, int]
    problems: tuple[Problem, ...] = ()


class Invalid(Exception):
    """The value of a setting is not usable; ``hint`` says what is."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Site:
    """What defaults are derived from: Django's settings and whether a test runner drives the process."""

    django: Any
    testing: bool

    @property
    def debug(self) -> bool:
        return bool(getattr(self.django, "DEBUG", False))


@dataclass(frozen=True, slots=True)
class Given:
    """One setting as the site gave it; every method returns the value or raises :class:`Invalid`."""

    value: Any
    from_environment: bool

    @property
    def missing(self) -> bool:
        return self.value is _UNSET

    def text(self, default: str) -> str:
        """A string."""
        if self.missing:
            return default
        if not isinstance(self.value, str):
            raise Invalid(f"must be a string, not {_kind(self.value)}")
        return self.value

    def choice(self, default: str, choices: Sequence[str]) -> str:
        """One of a few words."""
        value = self.text(default)
        if value not in choices:
            raise Invalid(f"{value!r} is not one of {_words(choices)}", _did_you_mean(value, choices))
        return value

    def boolean(self, default: bool) -> bool:
        """``True`` or ``False``; in the environment ``1``, ``true``, ``0`` or ``false``."""
        if self.missing:
            return default
        words = {"1": True, "true": True, "0": False, "false": False}
        value = words.get(str(self.value).lower(), self.value) if self.from_environment else self.value
        if not isinstance(value, bool):
            raise Invalid(f"must be True or False, not {self.value!r}")
        return value

    def integer(self, default: int, *, minimum: int) -> int:
        """A whole number."""
        return default if self.missing else _integer(self._decoded(), minimum)

    def mapping(self) -> Mapping[str, Any]:
        """A dict with string keys; empty when not given."""
        value = {} if self.missing else self._decoded()
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise Invalid(f"must be a dict with string keys, not {_kind(value)}")
        return value

    def names(self, default: Sequence[str]) -> tuple[str, ...]:
        """A list of strings."""
        return tuple(default) if self.missing else _names(self._decoded())

    def function(self) -> Callable[[Any], Any] | None:
        """A dotted path to a function, or the function itself; ``None`` when not given."""
        if self.missing or self.value is None:
            return None
        hint = "Give the dotted path of a function."
        try:
            found = self.value if callable(self.value) else import_string(self.text(""))
        except ImportError as error:
            raise Invalid(f"{self.value!r} cannot be imported: {error}", hint) from error
        if not callable(found):
            raise Invalid(f"{self.value!r} is not callable", hint)
        return cast("Callable[[Any], Any]", found)

    def _decoded(self) -> Any:
        if not self.from_environment:
            return self.value
        try:
            return json.loads(self.value)
        except ValueError as error:
            raise Invalid(f"is not JSON: {error}") from error


# The settings, in the order of the documentation. Each function takes what the site gave and returns the checked value.


def enabled(given: Given, site: Site) -> bool:
    """Whether anything is recorded (``ENABLED``, default ``True``)."""
    return given.boolean(True)


def service(given: Given, site: Site) -> str:
    """The name of this service in the trail (``SERVICE``, default: the first part of ``ROOT_URLCONF``).

    Also the name of the journal's folder, hence ``[a-z0-9][a-z0-9._-]{0,63}``.
    """
    default = re.sub(r"[^a-z0-9._-]", "-", str(getattr(site.django, "ROOT_URLCONF", "")).split(".")[0].lower())
    value = given.text(default.lstrip("._-")[:64] or "django")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", value):
        raise Invalid(f"{value!r} is not usable as a name", "Use up to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit.")
    return value


def environment(given: Given, site: Site) -> str:
    """Where the service runs, such as ``production`` (``ENVIRONMENT``, default empty)."""
    return given.text("")


def version(given: Given, site: Site) -> str:
    """The release of the service (``VERSION``, default empty)."""
    return given.text("")


def data_dir(given: Given, site: Site) -> Path:
    """Where journal and trail live (``DATA_DIR``).

    Default: with ``DEBUG`` ``.indelible`` in ``BASE_DIR`` (else in the current folder), otherwise ``/var/lib/indelible``. Under a test
    runner always a temporary folder, removed at exit, so that tests never reach a real trail; only the environment overrules that.
    """
    if site.testing and not given.from_environment:
        return _temporary_folder()
    if given.missing:
        return Path(getattr(site.django, "BASE_DIR", None) or Path.cwd(), ".indelible") if site.debug else Path("/var/lib/indelible")
    if not isinstance(given.value, (str, os.PathLike)) or not str(given.value):
        raise Invalid(f"must be a path, not {_kind(given.value)}")
    return Path(given.value).absolute()


def agent(given: Given, site: Site) -> str:
    """Who starts the agent (``AGENT``): ``"auto"``, this process, or ``"external"``, somebody else.

    Default ``"auto"`` with ``DEBUG``, else ``"external"``.
    """
    return given.choice("auto" if site.debug else "external", ("auto", "external"))


def requests(given: Given, site: Site) -> RequestPolicy:
    """How much of which request is recorded (``REQUESTS``, default ``{"level": "metadata", "rules": []}``).

    A rule is ``{"route" or "path": pattern, "method": …, "level": …}``; the first that matches wins. Levels are ``none``, ``metadata``,
    ``request`` and ``request_response``; the last two record metadata in this version, and ``manage.py check`` says so (W112).
    """
    value = given.mapping()
    _known_keys(value, ("level", "rules"))
    rules = value.get("rules", [])
    if isinstance(rules, str) or not isinstance(rules, Sequence):
        raise Invalid(f"'rules' must be a list, not {_kind(rules)}")
    return RequestPolicy(_level(value.get("level", "metadata")), tuple(_rule(rule) for rule in rules))


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
            raise Invalid(f"the options of {label!r} must be a dict, not {_kind(options)}")
    return MappingProxyType(dict(value))


def mask(given: Given, site: Site) -> Mask:
    """What is never stored (``MASK``, default ``{"fields": [], "values": [all detectors]}``).

    ``fields`` are names added to the built-in ones, matched without case and separators. ``values`` names the detectors that look into texts:
    ``card``, ``jwt``, ``bearer``, ``basic``, ``private_key``, ``url_password``, ``api_token``,
    ``password_hash``.
    """
    value = given.mapping()
    _known_keys(value, ("fields", "values"))
    detectors = _names(value["values"]) if "values" in value else None
    for detector in detectors or ():
        if detector not in DETECTORS:
            raise Invalid(f"{detector!r} is not one of {_words(DETECTORS)}", _did_you_mean(detector, DETECTORS))
    return Mask(_names(value.get("fields", ())), detectors)


def evidence(given: Given, site: Site) -> str:
    """How a commit is known after a crash (``EVIDENCE``, default and in this version only value ``"ack"``).

    With ``ack`` nothing is written to the database; what was in flight when a process died is recorded as in doubt.
    """
    return given.choice("ack", ("ack",))


def durability(given: Given, site: Site) -> str:
    """What a recorded event survives (``DURABILITY``): ``"buffered"`` (default) a crash of the process, ``"synced"`` one of the machine."""
    return given.choice("buffered", ("buffered", "synced"))


def on_failure(given: Given, site: Site) -> str:
    """What happens when the journal takes no event (``ON_FAILURE``, default ``"standard"``).

    ``"standard"`` waits at most 50 ms, then counts the loss; ``"required"`` waits and then refuses the write before COMMIT;
    ``"best_effort"`` counts the loss at once.
    """
    return given.choice("standard", ("required", "standard", "best_effort"))


def on_error(given: Given, site: Site) -> str:
    """What a fault in a hook does (``ON_ERROR``): ``"degrade"`` (default) logs it and goes on, ``"raise"`` is for tests."""
    return given.choice("degrade", ("degrade", "raise"))


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
    """What is stored of a user (``ACTOR_FIELDS``, default ``["id", "label"]``), of ``id``, ``label``, ``name`` and ``email``.

    ``label`` is the user name, unless that is an e-mail address; ``name`` and ``email`` are added to the label only when asked for here.
    """
    known = ("id", "label", "name", "email")
    value = given.names(("id", "label"))
    for name in value:
        if name not in known:
            raise Invalid(f"{name!r} is not one of {_words(known)}", _did_you_mean(name, known))
    return value


def context(given: Given, site: Site) -> Callable[[Any], Mapping[str, Any] | None] | None:
    """Dotted path of ``f(request)`` whose mapping is added to ``meta`` of every event of the request (``CONTEXT``, default none)."""
    return given.function()


def trusted_proxy_count(given: Given, site: Site) -> int:
    """How many proxies in front of Django are ours (``TRUSTED_PROXY_COUNT``, default 0).

    The client address is taken that many entries from the right of ``X-Forwarded-For``. With 0 the header is ignored and the peer's
    address is used, since a client can write anything into the header.
    """
    return given.integer(0, minimum=0)


def request_id_header(given: Given, site: Site) -> str:
    """The header that carries the request id in and out (``REQUEST_ID_HEADER``, default ``"X-Request-ID"``)."""
    value = given.text("X-Request-ID")
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", value):
        raise Invalid(f"{value!r} is not the name of a header", "Use letters, digits and '-', as in 'X-Request-ID'.")
    return value


def keep_rolled_back(given: Given, site: Site) -> str:
    """Which changes are recorded as aborted after a rollback (``KEEP_ROLLED_BACK``): ``"sensitive"`` (default), ``"all"`` or ``"none"``."""
    return given.choice("sensitive", ("sensitive", "all", "none"))


def limits(given: Given, site: Site) -> Mapping[str, int]:
    """Bounds (``LIMITS``), each a number of bytes or events.

    ``event_bytes`` 262,144 of one event, ``journal_bytes`` 1 GiB of one stream, ``transaction_bytes`` 16 MiB and ``transaction_events`` 65,536
    held for one open transaction.
    """
    value = given.mapping()
    _known_keys(value, tuple(LIMITS))
    return MappingProxyType({**LIMITS, **{key: _integer(number, 1, key) for key, number in value.items()}})


_SETTINGS: Final[tuple[Callable[[Given, Site], Any], ...]] = tuple(
    globals()[field.name] for field in fields(Settings) if field.name != "problems"
)
KEYS: Final[tuple[str, ...]] = tuple(setting.__name__.upper() for setting in _SETTINGS)


def load(django_settings: Any, environ: Mapping[str, str], *, testing: bool) -> Settings:
    """Reads the dict ``INDELIBLE`` and the environment; never raises for a mistake in them."""
    site = Site(django_settings, testing)
    problems: list[Problem] = []
    source = getattr(django_settings, "INDELIBLE", {})
    if not isinstance(source, Mapping):
        problems.append(Problem("INDELIBLE", f"must be a dict, not {_kind(source)}", 'Write INDELIBLE = {"SERVICE": "clinic"}.'))
        source = {}
    problems += _unknown_keys(source, environ)
    values = {setting.__name__: _read(setting, source, environ, site, problems) for setting in _SETTINGS}
    return Settings(**values, problems=tuple(problems))


def _read(
    setting: Callable[[Given, Site], Any], source: Mapping[str, Any], environ: Mapping[str, str], site: Site, problems: list[Problem]
) -> Any:
    key = setting.__name__.upper()
    variable = f"INDELIBLE_{key}"
    in_environment = variable in environ
    try:
        return setting(Given(environ[variable] if in_environment else source.get(key, _UNSET), in_environment), site)
    except Invalid as invalid:
        place = variable if in_environment else f"INDELIBLE[{key!r}]"
        problems.append(Problem(key, f"{place}: {invalid}.", invalid.hint))
        return setting(Given(_UNSET, False), site)


def _unknown_keys(source: Mapping[str, Any], environ: Mapping[str, str]) -> list[Problem]:
    problems = [
        Problem(str(key), f"INDELIBLE[{key!r}] is not a setting.", _did_you_mean(str(key).upper(), KEYS))
        for key in source
        if key not in KEYS
    ]
    for variable in environ:
        key = variable.removeprefix("INDELIBLE_")
        if key == variable or key in KEYS or variable in _BINARY_VARIABLES:
            continue
        # The prefix is not ours alone: only what looks like a slip of the pen is a mistake.
        if (hint := _did_you_mean(key, KEYS)) is not None:
            problems.append(Problem(key, f"{variable} in the environment is not a setting.", hint))
    return problems


def _known_keys(value: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in value:
        if key not in known:
            raise Invalid(f"{key!r} is not one of {_words(known)}", _did_you_mean(key, known))


def _level(value: Any) -> str:
    if value not in LEVELS:
        raise Invalid(f"level {value!r} is not one of {_words(LEVELS)}", _did_you_mean(str(value), LEVELS))
    return str(value)


def _rule(value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or "level" not in value:
        raise Invalid(f"a rule must be a dict with a 'level', not {value!r}")
    _known_keys(value, ("route", "path", "method", "level"))
    for key, text in value.items():
        if not isinstance(text, str):
            raise Invalid(f"{key!r} of a rule must be a string, not {_kind(text)}")
    if len(value) == 1:
        raise Invalid(f"the rule {value!r} matches by nothing", "Give it a 'route', a 'path' or a 'method'.")
    for method in value.get("method", "GET").split(","):
        if not re.fullmatch("[A-Za-z-]+", method.strip()):
            raise Invalid(f"{method!r} is not an HTTP method")
    _level(value["level"])
    return MappingProxyType(dict(value))


def _integer(value: Any, minimum: int, name: str = "value") -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise Invalid(f"{name} must be a whole number, at least {minimum}, not {value!r}")
    return value


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(name, str) for name in value):
        raise Invalid(f"must be a list of strings, not {value!r}")
    return tuple(value)


def _kind(value: Any) -> str:
    return type(value).__name__


def _words(words: Sequence[str]) -> str:
    return ", ".join(repr(word) for word in words)


def _did_you_mean(word: str, known: Sequence[str]) -> str | None:
    close = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else None


@functools.cache
def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="indelible-test-")
    owner = os.getpid()

    def remove() -> None:
        # A forked child runs this too; the folder belongs to the process that made it.
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return Path(folder)


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
