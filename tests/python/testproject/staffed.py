"""The site as a server with many processes runs it: it has recorded before it forks, and each process says when it ended.

With ``STAFFED_ENDS`` a process leaves ``PID.json`` in that folder when everything else that it does at its end is done.
"""

from __future__ import annotations

import atexit
import json
import os
import time
from pathlib import Path


class Moment:
    """What the process's clock shows, and how long it has waited for a processor until now."""

    def __init__(self) -> None:
        self.at_s = time.monotonic()
        self.waited_s = int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


last_request: list[Moment] = []


@atexit.register
def _say_when() -> None:
    # Registered before anybody else's, so it runs after all of them.
    if "STAFFED_ENDS" in os.environ and last_request:
        ended, last = Moment(), last_request[-1]
        took = {"wall_s": ended.at_s - last.at_s, "waited_s": ended.waited_s - last.waited_s}
        Path(os.environ["STAFFED_ENDS"], f"{os.getpid()}.json").write_text(json.dumps(took))


from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.signals import request_finished  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402

import indelible  # noqa: E402

wsgi = get_wsgi_application()
asgi = get_asgi_application()


def _note_end(**_: object) -> None:
    last_request[:] = [Moment()]


request_finished.connect(_note_end)
indelible.record("ward.open")
