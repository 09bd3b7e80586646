"""The checked settings as one typed value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from indelible.django.conf._given import Problem


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """How much of a request is recorded: the ``level`` of the first rule that matches, else ``level``.

    Requests that match no pattern of ``include`` (where there is one), or one of ``exclude``, are not recorded.
    """

    level: str
    rules: tuple[Mapping[str, str], ...]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


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
    outbound: str
    models: str | Mapping[str, Mapping[str, Any]]
    mask: Mask
    evidence: Literal["ack", "marker", "outbox"]
    collector: str
    durability: Literal["buffered", "synced"]
    on_failure: str | Mapping[str, str]
    on_error: Literal["degrade", "raise"]
    resolve_actor: str
    actor: Callable[[Any], Any] | None
    actor_fields: tuple[str, ...]
    context: Callable[[Any], Mapping[str, Any] | None] | None
    meta_headers: Mapping[str, str]
    extra: Callable[[Any, Any], Mapping[str, Any] | None] | None
    masker: Callable[[Any, str], Any] | None
    call_site: float
    formatters: bool
    tasks: Literal[True, False, "starts"]
    record: Literal["journal", "nowhere"]
    skip: Callable[[Any], Any] | None
    ignore_actions: tuple[str, ...]
    anonymous: bool
    reason_header: str
    reason_field: str
    reason_required: tuple[str, ...]
    reads: Literal["declared", "all", "none"]
    auth: bool
    commands: bool
    trusted_proxy_count: int
    request_id_header: str
    keep_rolled_back: Literal["sensitive", "all", "none"]
    on_audit_error: Callable[[BaseException, Mapping[str, Any]], Any] | None
    limits: Mapping[str, int]
    bulk: Literal["rows", "statement"]
    raw_sql: bool
    foreign_keys: bool
    m2m: str | frozenset[str]
    problems: tuple[Problem, ...] = ()
