"""A configuration for Gunicorn, with a variable of the environment for what differs between installations: docs/tasks-and-logs.md has the table.

``gunicorn -c python:indelible.gunicorn_conf clinic.wsgi``. It imports neither Django nor your settings.
"""

from __future__ import annotations

import os

from indelible.gunicorn import number

bind = os.environ.get("GUNICORN_BIND", "0.0.0.0:8000")
workers = number("GUNICORN_WORKERS", 4)
worker_class = os.environ.get("GUNICORN_WORKER_CLASS", "sync")
timeout = number("GUNICORN_TIMEOUT", 30)
max_requests = number("GUNICORN_MAX_REQUESTS", 1000)
max_requests_jitter = number("GUNICORN_MAX_REQUESTS_JITTER", 50)
accesslog = os.environ.get("GUNICORN_ACCESS_LOG", "-") or None
errorlog = os.environ.get("GUNICORN_ERROR_LOG", "-")
loglevel = os.environ.get("GUNICORN_LOG_LEVEL", "info")
logger_class = "indelible.gunicorn.Logger"
access_log_format = '%(h)s - "%(m)s %(U)s %(H)s" %(s)s %(B)s "%(f)s" "%(a)s" %(M)sms'
