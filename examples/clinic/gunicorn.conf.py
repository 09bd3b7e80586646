"""How gunicorn runs the clinic: several worker processes, each with several threads.

Indelible needs nothing here: each worker opens its own journal stream with the first event that it records.
"""

import os

wsgi_app = "clinic.wsgi:application"
bind = os.environ.get("CLINIC_BIND", "127.0.0.1:8000")
workers = 3
worker_class = "gthread"
threads = 2
