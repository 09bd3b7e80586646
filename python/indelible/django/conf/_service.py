"""What the service is, where its files lie, and who starts the agent."""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import tempfile
from pathlib import Path

from indelible.django.conf._given import Given, Invalid, Site, kind


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
        return temporary_folder()
    if given.missing:
        return Path(getattr(site.django, "BASE_DIR", None) or Path.cwd(), ".indelible") if site.debug else Path("/var/lib/indelible")
    if not isinstance(given.value, (str, os.PathLike)) or not str(given.value):
        raise Invalid(f"must be a path, not {kind(given.value)}")
    return Path(given.value).absolute()


def agent(given: Given, site: Site) -> str:
    """Who starts the agent (``AGENT``): ``"auto"``, this process, or ``"external"``, somebody else.

    Default ``"auto"`` with ``DEBUG``, else ``"external"``.
    """
    return given.choice("auto" if site.debug else "external", ("auto", "external"))


@functools.cache
def temporary_folder() -> Path:
    """A folder of this process that is removed at its end."""
    folder = tempfile.mkdtemp(prefix="indelible-test-")
    owner = os.getpid()

    def remove() -> None:
        # A forked child runs this too; the folder belongs to the process that made it.
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return Path(folder)
