"""The clinic's settings; with ``BENCH_VARIANT=without`` minus the lines that turn the audit trail on, with ``bodies`` recording those."""

import os

from clinic.settings import *  # noqa: F403
from clinic.settings import INDELIBLE, INSTALLED_APPS, MIDDLEWARE

if os.environ["BENCH_VARIANT"] == "bodies":
    INDELIBLE = {**INDELIBLE, "REQUESTS": {"level": "request_response"}}
if os.environ["BENCH_VARIANT"] == "without":
    INSTALLED_APPS = [name for name in INSTALLED_APPS if not name.startswith("indelible")]
    MIDDLEWARE = [name for name in MIDDLEWARE if not name.startswith("indelible")]
