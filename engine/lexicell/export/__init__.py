"""Exports: what others can run or read without lexicell."""

from __future__ import annotations

__all__: list[str] = []
