"""HTTP clients whose calls are recorded: ``AuditedSession`` for requests, ``AuditedTransport`` and ``AsyncAuditedTransport`` for httpx.

Neither library is needed to import this module, and only its own to use a class: ``pip install "indelible[requests]"`` or
``"indelible[httpx]"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from indelible._http_httpx import AsyncAuditedTransport, AuditedTransport
    from indelible._http_requests import AuditedSession

__all__ = ["AsyncAuditedTransport", "AuditedSession", "AuditedTransport"]


def __getattr__(name: str) -> Any:
    if name == "AuditedSession":
        try:
            from indelible._http_requests import AuditedSession
        except ModuleNotFoundError as missing:
            raise _not_installed(name, "requests", missing) from missing
        return AuditedSession
    if name in ("AuditedTransport", "AsyncAuditedTransport"):
        try:
            from indelible import _http_httpx
        except ModuleNotFoundError as missing:
            raise _not_installed(name, "httpx", missing) from missing
        return getattr(_http_httpx, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _not_installed(name: str, library: str, missing: ModuleNotFoundError) -> ImportError:
    return ImportError(f'{name} needs {library} ({missing}): pip install "indelible[{library}]"', name=library)
