"""Text encoders behind an OpenAI-compatible embeddings service: OpenAI's own, or a server of yours."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from lexicell._http import Backoff
from lexicell._say import silent
from lexicell.errors import InputError
from lexicell.lexicon._manifest import EncoderInfo, LongText
from lexicell.lexicon.encoders.openai_client import Client, Clock
from lexicell.lexicon.encoders.openai_protocol import Service, service_from_environment
from lexicell.lexicon.encoders.token_estimate import head, windows
from lexicell.lexicon.encoders.windows import Workload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from lexicell.lexicon.encoders.encoder import BatchCallback, EncoderOptions

__all__ = ["PRICES_AS_OF", "SERVICE_PREFIX", "OpenAIEncoder", "open_service"]

SERVICE_PREFIX = "openai:"
PRICES_AS_OF = "2025"

_LONGEST = 8191
# Far below what a service takes (2,048 texts and 300,000 tokens): little is lost when one fails.
_TEXTS_PER_REQUEST, _TOKENS_PER_REQUEST = 256, 50_000
# Raise it when texts are cut differently, as vectors are then different ones.
_WINDOWS = 1


@dataclass(frozen=True)
class _Model:
    """A model of OpenAI: length of its vectors, US dollars per million tokens, whether it can shorten."""

    dim: int
    price: float
    shortens: bool


_MODELS: Mapping[str, _Model] = MappingProxyType(
    {
        "text-embedding-3-small": _Model(1536, 0.02, shortens=True),
        "text-embedding-3-large": _Model(3072, 0.13, shortens=True),
        "text-embedding-ada-002": _Model(1536, 0.10, shortens=False),
    }
)


@dataclass(frozen=True)
class OpenAIEncoder:
    """A model behind ``/embeddings``: texts in batches, several requests at a time, unit vectors out.

    Made by `open_service`. Texts longer than `max_tokens` are cut by an estimate of their tokens, since a
    service's tokenizer is not at hand; a text that the service still finds too long is cut further.

    Attributes
    ----------
    service
        Address, key and model; the first two are never shown.
    max_tokens, long_text
        Longest text that is sent, and what happens to longer ones.
    concurrency
        Requests under way at once.
    timeout
        Seconds after which a silent request is sent again.
    backoff, clock
        When to try again, and how time passes.
    notify
        Called with one line about longer waits.
    """

    service: Service
    max_tokens: int = _LONGEST
    long_text: LongText = "window"
    concurrency: int = 4
    timeout: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)
    clock: Clock = field(default_factory=Clock)
    notify: Callable[[str], None] = silent

    @property
    def info(self) -> EncoderInfo:
        """What a manifest says about this encoder."""
        return EncoderInfo(
            id=f"{SERVICE_PREFIX}{self.service.model}",
            revision="",
            pooling="api",
            max_tokens=self.max_tokens,
            normalised=True,
            long_text=self.long_text,
            dimensions=self.service.dimensions,
        )

    @property
    def cache_key(self) -> str:
        """Equal for the same model of the same server; holds a one-way hash of its address."""
        return json.dumps(
            {"encoder": self.info.model_dump(), "server": self.service.fingerprint, "windows": _WINDOWS},
            sort_keys=True,
        )

    @property
    def dim(self) -> int | None:
        """Length ``d`` of a vector, where it is known without asking."""
        return self.service.dimensions or self.service.dim

    @property
    def price(self) -> float | None:
        """US dollars per million tokens as of `PRICES_AS_OF`; None for models of others."""
        model = _MODELS.get(self.service.model)
        return model.price if model is not None and not self.service.is_local else None

    def check(self) -> None:
        """Raise `InputError` if the key is missing; no server is contacted."""
        self.service.check()

    def workload(self, texts: Sequence[str]) -> Workload:
        """Return what encoding `texts` would take; no server is contacted."""
        pieces = self._pieces(texts)
        return Workload(len(pieces), sum(piece.tokens for piece in pieces), len(_batches(pieces)))

    def encode(self, texts: Sequence[str], on_batch: BatchCallback | None = None) -> NDArray[np.float32]:
        """Encode texts.

        Parameters
        ----------
        texts
            ``n`` texts, none of them empty.
        on_batch
            Called with (positions in `texts`, their vectors) as answers arrive, in any order.

        Returns
        -------
        numpy.ndarray
            float32 ``[n, d]`` of unit length, in the order of `texts`; the mean of its windows, weighted by
            their tokens, for a long one.

        Raises
        ------
        InputError
            If a text is empty, or the service refuses key, model or texts.
        LexicellError
            If it cannot be reached, has no quota left, or answers something else than vectors.
        """
        self.check()
        pieces = self._pieces(texts)
        batches = _batches(pieces)
        client = Client(
            self.service, self.long_text, self.concurrency, self.timeout, self.backoff, self.clock
        )
        parts: dict[int, list[NDArray[np.float32] | None]] = {}
        weights: dict[int, list[int]] = {}
        for piece in pieces:
            parts.setdefault(piece.text, []).append(None)
            weights.setdefault(piece.text, []).append(piece.tokens)
        done: NDArray[np.float32] | None = None
        for number, vectors in client.embed([[p.words for p in batch] for batch in batches], self.notify):
            if done is None:
                done = np.empty((len(texts), vectors.shape[1]), np.float32)
            if done.shape[1] != vectors.shape[1]:
                message = (
                    f"{self.service.label} gave vectors of length {done.shape[1]} and {vectors.shape[1]} "
                    "for one model."
                )
                raise InputError(message)
            finished: list[int] = []
            for piece, vector in zip(batches[number], vectors, strict=True):
                parts[piece.text][piece.number] = vector
                have = [part for part in parts[piece.text] if part is not None]
                if len(have) == len(parts[piece.text]):
                    done[piece.text] = _mean(have, weights.pop(piece.text))
                    del parts[piece.text]
                    finished.append(piece.text)
            if on_batch is not None and finished:
                on_batch(finished, done[finished])
        return np.empty((0, self.dim or 0), np.float32) if done is None else done

    def _pieces(self, texts: Sequence[str]) -> list[_Piece]:
        pieces: list[_Piece] = []
        for i, text in enumerate(texts):
            if not text.strip():
                message = f"Text {i + 1} of {len(texts)} is empty, and a service encodes no empty text."
                raise InputError(message)
            truncate = self.long_text == "truncate"
            cut = [head(text, self.max_tokens)] if truncate else windows(text, self.max_tokens)
            pieces += (_Piece(i, number, words, tokens) for number, (words, tokens) in enumerate(cut))
        return pieces


@dataclass(frozen=True, slots=True)
class _Piece:
    """A text, or one window of it."""

    text: int
    number: int
    words: str
    tokens: int


def open_service(
    model: str, options: EncoderOptions, notify: Callable[[str], None] | None = None
) -> OpenAIEncoder:
    """Return the encoder ``openai:MODEL``; nothing is sent yet.

    The environment says where and as whom: ``OPENAI_API_KEY``, and ``OPENAI_BASE_URL`` for any other
    server that speaks the same protocol.

    Parameters
    ----------
    model
        As the service spells it: "text-embedding-3-small", or the name that your server gives its model.
    options
        How it is called; `folder`, `pooling`, `precision` and `device` are not a client's to choose.
    notify
        Called with one line about longer waits.

    Raises
    ------
    InputError
        If an option does not fit, or the environment names no usable service. A missing key is no error
        yet: the cost of encoding can be estimated without.
    """
    listed = _MODELS.get(model)
    problem = None
    if not model.strip():
        problem = f"{SERVICE_PREFIX} needs the name of a model, as in {SERVICE_PREFIX}text-embedding-3-small."
    elif options.folder is not None:
        problem = f"{SERVICE_PREFIX}{model} runs at a service, so an encoder folder does not apply to it."
    elif options.pooling is not None:
        problem = f"{SERVICE_PREFIX}{model} does its own pooling; leave the pooling out."
    elif options.precision != "float32" or options.device != "cpu":
        problem = f"{SERVICE_PREFIX}{model} runs at a service, so precision and device do not apply to it."
    elif options.max_tokens is not None and not 16 <= options.max_tokens <= _LONGEST:
        problem = f"{SERVICE_PREFIX}{model} takes 16 to {_LONGEST:,} tokens, not {options.max_tokens}."
    elif options.dimensions is not None and options.dimensions < 1:
        problem = f"Vectors cannot have {options.dimensions} dimensions."
    elif options.dimensions is not None and listed is not None and not listed.shortens:
        problem = f"{SERVICE_PREFIX}{model} cannot shorten its vectors; leave the dimensions out."
    elif options.dimensions is not None and listed is not None and options.dimensions > listed.dim:
        problem = f"{SERVICE_PREFIX}{model} has {listed.dim:,} dimensions, fewer than {options.dimensions:,}."
    if problem is not None:
        raise InputError(problem)
    return OpenAIEncoder(
        service_from_environment(
            model, dim=listed.dim if listed is not None else None, dimensions=options.dimensions
        ),
        max_tokens=options.max_tokens or _LONGEST,
        long_text=options.long_text,
        notify=notify or silent,
    )


def _batches(pieces: Sequence[_Piece]) -> list[list[_Piece]]:
    batches: list[list[_Piece]] = []
    tokens = 0
    for piece in pieces:
        full = len(batches[-1]) == _TEXTS_PER_REQUEST if batches else True
        if full or tokens + piece.tokens > _TOKENS_PER_REQUEST:
            batches.append([])
            tokens = 0
        batches[-1].append(piece)
        tokens += piece.tokens
    return batches


def _mean(parts: Sequence[NDArray[np.float32]], weights: Sequence[int]) -> NDArray[np.float32]:
    if len(parts) == 1:
        return parts[0]
    mean = np.average(np.stack(parts).astype(np.float64), axis=0, weights=weights)
    unit: NDArray[np.float32] = (mean / np.linalg.norm(mean)).astype(np.float32)
    return unit
