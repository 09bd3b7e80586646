"""The clinic on a database that ``bench.evidence`` names, with the evidence that it names."""

import json
import os

from bench.settings import *  # noqa: F403
from bench.settings import INDELIBLE, INSTALLED_APPS

DATABASES = {"default": json.loads(os.environ["BENCH_DATABASE"])}
if os.environ["BENCH_VARIANT"] != "without":
    INSTALLED_APPS = [*(name for name in INSTALLED_APPS if name != "indelible.django.evidence"), "indelible.django.evidence"]
    INDELIBLE = {**INDELIBLE, "EVIDENCE": os.environ["BENCH_EVIDENCE"], "DURABILITY": os.environ["BENCH_DURABILITY"], "AGENT": "external"}
