"""The demonstration ends as it promises: everything agrees, the trail is intact, tampering is found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import django
import pytest

HOUSE = Path(__file__).resolve().parent.parent.parent
BINARY = Path(os.environ.get("INDELIBLE_BINARY", HOUSE / "target" / "debug" / "indelible"))
CLOSING_LINE = r"demo: \d+ requests, \d+ events, 0 missing, intact, tampering found at \d+"


@pytest.mark.skipif(django.VERSION < (5, 1), reason="the clinic's SQLite options came with Django 5.1")
def test_the_demonstration_ends_with_its_closing_line() -> None:
    environment = {**os.environ, "DEMO": "once", "INDELIBLE_BINARY": str(BINARY)}
    for inherited in ("DJANGO_SETTINGS_MODULE", "INDELIBLE_DATA_DIR"):
        environment.pop(inherited, None)
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=HOUSE / "examples" / "clinic",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(CLOSING_LINE, done.stdout.splitlines()[-1])
