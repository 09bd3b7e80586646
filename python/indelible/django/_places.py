"""Where in the application an exception was raised."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from pathlib import Path
from types import CodeType

from django.conf import settings

from indelible._record import error_parts

ErrorParts = tuple[str, str] | tuple[str, str, str | None]
"""Type, message, and the place where it is known."""

_OURS = str(Path(__file__).parents[1]) + os.sep
_INSTALLED = tuple(
    {sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {_OURS, "<"},
)


def error_with_place(error: BaseException | None) -> ErrorParts | None:
    """Type and message of an error, and its place as ``file:line:function``: the innermost frame of the application's own code, or the
    innermost of all where the application has none in it.
    """
    parts = error_parts(error)
    if parts is None or error is None:
        return None
    return (*parts, _place(error))


def _place(error: BaseException) -> str | None:
    found: tuple[CodeType, int] | None = None
    is_own = False
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if _is_application(code.co_filename):
            found, is_own = (code, traceback.tb_lineno), True
        elif not is_own:
            found = (code, traceback.tb_lineno)
        traceback = traceback.tb_next
    if found is None:
        return None
    code, line = found
    return f"{_short(code.co_filename)}:{line}:{getattr(code, 'co_qualname', code.co_name)}"


@functools.lru_cache(maxsize=1024)
def _is_application(file_name: str) -> bool:
    return not file_name.startswith(_INSTALLED) and "-packages" + os.sep not in file_name


@functools.lru_cache(maxsize=1024)
def _short(file_name: str) -> str:
    """The path from the folder that the module was found in: what lies above it is the machine's affair."""
    folders = [str(getattr(settings, "BASE_DIR", "")), *sys.path]
    inside = [folder for folder in folders if folder and file_name.startswith(folder.rstrip(os.sep) + os.sep)]
    return os.path.relpath(file_name, max(inside, key=len)) if inside else os.path.basename(file_name)
