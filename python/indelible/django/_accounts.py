"""Changes of what users may do: the automatic event of such a write is classed as kind ``auth`` and named by what was changed.

It stays one event, with its exact changes, and is held for the COMMIT like every change: a grant that is rolled back never was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth.hashers import get_hasher, identify_hasher

from indelible.django import conf

if TYPE_CHECKING:
    from indelible.django._recording import Write

_LINKS: Final = {"groups": "auth.groups_change", "user_permissions": "auth.permissions_change", "permissions": "auth.permissions_change"}
_FLAGS: Final = {
    "is_superuser": ("auth.superuser_grant", "auth.superuser_revoke", "auth.superuser_change"),
    "is_staff": ("auth.staff_grant", "auth.staff_revoke", "auth.staff_change"),
    "is_active": ("auth.user_activate", "auth.user_deactivate", "auth.active_change"),
}
"""Names of a flag that is set, that is cleared, and whose new value is not known; the weightiest first."""


def classed(write: Write) -> tuple[Any, str | None]:
    """Kind and action of a write of a user or group that changes rights; ``(None, None)`` of any other."""
    if write.verb != "update" or not conf.active().auth:
        return None, None
    link = getattr(write, "link", None)
    action = _LINKS.get(link.field) if link is not None else _of_fields(_changed(write), write)
    return (None, None) if action is None else ("auth", action)


def _of_fields(changed: dict[str, Any], write: Write) -> str | None:
    for flag, (granted, revoked, either) in _FLAGS.items():
        if flag in changed:
            return {True: granted, False: revoked}.get(changed[flag], either)
    if "password" in changed and not _is_upgrade(changed, write):
        return "auth.password_reset" if _in_reset() else "auth.password_change"
    return None


def _changed(write: Write) -> dict[str, Any]:
    """The fields whose values differ, with the new ones as far as they are known."""
    positions: dict[int, Any] | None = getattr(write, "changed", None)
    if positions is None:
        return dict.fromkeys(getattr(write, "fields", ()))
    known = getattr(write, "known", None)
    attnames = write.plan.attnames
    return {attnames[place]: value for place, value in positions.items() if known is None or known[place] != value}


def _is_upgrade(changed: dict[str, Any], write: Write) -> bool:
    """Whether the same password is stored by a better algorithm, which Django does by itself at a login."""
    known, place = getattr(write, "known", None), write.plan.places["password"].position
    if known is None or len(changed) != 1 or getattr(write, "instance", None) is None or write.instance._password is not None:  # type: ignore[attr-defined]
        return False
    try:
        old = identify_hasher(known[place])
        return bool(old.algorithm != get_hasher().algorithm or old.must_update(known[place]))
    except (ValueError, TypeError):
        # Not a hash, so it was never checked against a password.
        return False


def _in_reset() -> bool:
    """Whether Django's own page for a forgotten password is what sets it."""
    from django.contrib.auth.views import PasswordResetConfirmView

    from indelible.django import _scope

    scope = _scope.current.get()
    match = None if scope is None else scope.request.resolver_match
    view = getattr(getattr(match, "func", None), "view_class", None)
    return isinstance(view, type) and issubclass(view, PasswordResetConfirmView)
