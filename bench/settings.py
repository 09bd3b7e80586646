"""The clinic's settings; with ``BENCH_VARIANT=without`` minus the lines that turn the audit trail on, with ``bodies`` recording those.

``BENCH_DATABASE`` (``PORT/NAME``) puts it on a PostgreSQL instead of SQLite.
"""

import os

from clinic.settings import *  # noqa: F403
from clinic.settings import INDELIBLE, INSTALLED_APPS, MIDDLEWARE

if os.environ["BENCH_VARIANT"] == "bodies":
    INDELIBLE = {**INDELIBLE, "REQUESTS": {"level": "request_response"}}
if os.environ["BENCH_VARIANT"] == "without":
    INSTALLED_APPS = [name for name in INSTALLED_APPS if not name.startswith("indelible")]
    MIDDLEWARE = [name for name in MIDDLEWARE if not name.startswith("indelible")]
if "BENCH_DATABASE" in os.environ:
    port, _, name = os.environ["BENCH_DATABASE"].partition("/")
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": "127.0.0.1",
            "PORT": port,
            "USER": "postgres",
            "NAME": name,
            "CONN_MAX_AGE": None,
        }
    }
