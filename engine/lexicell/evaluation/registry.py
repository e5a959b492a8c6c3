"""All methods by name."""

from __future__ import annotations

from collections.abc import Sequence

from lexicell.errors import InputError
from lexicell.evaluation.learned_methods import LEARNED
from lexicell.evaluation.methods import BASELINES, Method

__all__ = ["METHODS", "resolve_methods"]

METHODS: dict[str, Method] = {**LEARNED, **BASELINES}


def resolve_methods(names: Sequence[str | Method] | None) -> tuple[Method, ...]:
    """Look methods up by name; all there are for None.

    Raises
    ------
    InputError
        There is none of that name, or one is given twice.
    """
    if names is None:
        return tuple(METHODS.values())
    methods = []
    for name in names:
        if isinstance(name, str) and name not in METHODS:
            msg = f"there is no method {name!r}; there are {', '.join(METHODS)}"
            raise InputError(msg)
        methods.append(METHODS[name] if isinstance(name, str) else name)
    called = [method.name for method in methods]
    twice = next((name for name in called if called.count(name) > 1), None)
    if twice is not None:
        msg = f"the method {twice!r} is given twice; name each once"
        raise InputError(msg)
    return tuple(methods)
