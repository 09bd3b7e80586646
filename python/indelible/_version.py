"""The version of the package, which ``pyproject.toml`` and the native module carry too, and how to install both halves of it.

No registry has them yet: a command that names one would fetch what somebody else put there.
"""

from __future__ import annotations

__version__ = "0.1.0"

INSTALL_PACKAGE = "pip install --force-reinstall .  # in the source tree of indelible"
INSTALL_BINARY = "cargo install --path crates/indelible-server  # in the source tree of indelible"
