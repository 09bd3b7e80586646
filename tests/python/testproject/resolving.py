"""Resolves and is killed on the way: ``python -m testproject.resolving after_fence|after_outcome``."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import django


class Dying:
    """A recorder that takes its process along when an answer is given: before it is journaled, or after."""

    def __init__(self, recorder: Any, moment: str) -> None:
        self.recorder = recorder
        self.moment = moment

    def resolve(self, intent: str, committed: bool) -> None:
        if self.moment == "after_outcome":
            self.recorder.resolve(intent, committed)
        os.kill(os.getpid(), signal.SIGKILL)


def main(moment: str) -> None:
    django.setup()
    from indelible import _runtime
    from indelible.django.evidence import _journals
    from indelible.django.evidence._resolver import Resolver

    recorder: Any = Dying(_runtime.recorder(), moment)
    Resolver(_journals.folder()).round(recorder)


if __name__ == "__main__":
    main(*sys.argv[1:])
