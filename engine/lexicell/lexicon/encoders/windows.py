"""Texts as token ids, cut to what a model can see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell.errors import CorruptDataError, InputError, needing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lexicell.lexicon.manifest import LongText

__all__ = ["Windower", "Workload"]

_PROBE = "a gene"


@dataclass(frozen=True)
class Workload:
    """What encoding some texts takes.

    Attributes
    ----------
    windows
        Pieces that the texts are cut into; as many as texts where none is long.
    tokens
        Tokens of all texts, special tokens included; estimated for a service.
    requests
        Requests to a service, where every one succeeds; None for an encoder that runs here.
    """

    windows: int
    tokens: int
    requests: int | None = None


@dataclass(frozen=True)
class Windower:
    """A tokenizer that cuts long texts.

    Attributes
    ----------
    tokenizer
        Of the package ``tokenizers``, without padding and truncation.
    prefix, suffix
        Ids of the special tokens around every text.
    room
        Tokens of a text that the model sees at once, special tokens not included.
    long_text
        "window": a text of more tokens is cut into as few windows as hold it, whose lengths differ by
        one at most. "truncate": its first tokens are kept.
    """

    tokenizer: Any
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    room: int
    long_text: LongText

    @classmethod
    def open(cls, path: Path, max_tokens: int, long_text: LongText) -> Windower:
        """Open a ``tokenizer.json``.

        Parameters
        ----------
        path
            The file.
        max_tokens
            Tokens that the model sees at once, special tokens included.
        long_text
            What happens to longer texts.

        Raises
        ------
        MissingExtraError
            If the package ``tokenizers`` is not installed.
        CorruptDataError
            If the file is damaged.
        InputError
            If `max_tokens` leaves no room for a text.
        """
        with needing("encoders", "Encoding gene texts"):
            from tokenizers import Tokenizer
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the package raises nothing more special
            message = f"{path} cannot be read ({error}); delete its folder and try again."
            raise CorruptDataError(message) from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        special = tokenizer.encode("").ids
        bare = tokenizer.encode(_PROBE, add_special_tokens=False).ids
        wrapped = tokenizer.encode(_PROBE).ids
        # Every template of one text is a prefix, the text, and a suffix; either may be empty or several.
        start = next(
            (at for at in range(len(special) + 1) if [*special[:at], *bare, *special[at:]] == wrapped), None
        )
        if start is None:
            message = (
                f"{path} puts special tokens inside a text, which lexicell cannot do: choose another model."
            )
            raise InputError(message)
        room = max_tokens - len(special)
        if room < 1:
            message = (
                f"max_tokens {max_tokens} leaves no room for a text beside {len(special)} special tokens: "
                f"give {len(special) + 1} or more."
            )
            raise InputError(message)
        return cls(tokenizer, tuple(special[:start]), tuple(special[start:]), room, long_text)

    def cut(self, texts: Sequence[str]) -> Iterator[list[NDArray[np.int64]]]:
        """Yield the windows of each text, int64 ``[t]`` with special tokens; an empty text has one, too."""
        for encoding in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False):
            ids = encoding.ids
            if self.long_text == "truncate":
                ids = ids[: self.room]
            n_windows = max(1, -(-len(ids) // self.room))
            yield [
                np.array([*self.prefix, *part.tolist(), *self.suffix], dtype=np.int64)
                for part in np.array_split(np.asarray(ids, dtype=np.int64), n_windows)
            ]

    def content(self, window: NDArray[np.int64]) -> int:
        """Count a window's tokens without the special ones."""
        return len(window) - len(self.prefix) - len(self.suffix)
