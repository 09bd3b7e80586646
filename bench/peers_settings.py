"""The settings of the benchmarks, with views that write one row for whoever asks."""

from bench.settings import *  # noqa: F403

ROOT_URLCONF = "bench.peers_urls"
ALLOWED_HOSTS = ["testserver"]
