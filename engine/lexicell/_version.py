"""The version that is installed."""

from __future__ import annotations

from functools import cache

__all__ = ["installed_version"]


@cache
def installed_version() -> str:
    """Version of the package; its metadata are parsed once, which takes 4 ms."""
    from importlib.metadata import version

    return version("lexicell")
