"""The site as a server runs it whose files fail: a new segment for every few requests, so that each of them is begun, synced and left."""

from __future__ import annotations

import dataclasses

from django.core.wsgi import get_wsgi_application

SEGMENT_BYTES = 4096

wsgi = get_wsgi_application()

from indelible import _runtime  # noqa: E402

_settings = _runtime.runtime().settings
_runtime.configure(dataclasses.replace(_settings, limits={**_settings.limits, "segment_bytes": SEGMENT_BYTES}))
