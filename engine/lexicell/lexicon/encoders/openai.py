"""Text encoders behind an OpenAI-compatible embeddings service: OpenAI's own, or a server of yours."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from lexicell._say import silent
from lexicell.errors import InputError
from lexicell.lexicon.encoders.openai_service import RefusedTextsError, Service, service_from_environment
from lexicell.lexicon.encoders.token_estimate import estimated_tokens, head, windows
from lexicell.lexicon.encoders.windows import Workload
from lexicell.lexicon.manifest import EncoderInfo, LongText

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import urllib3
    from numpy.typing import NDArray

    from lexicell.lexicon.encoders.encoder import BatchCallback, EncoderOptions

__all__ = ["PRICES_AS_OF", "SERVICE_PREFIX", "OpenAIEncoder", "open_service"]

SERVICE_PREFIX = "openai:"
PRICES_AS_OF = "2025"

_LONGEST = 8191
# Far below what OpenAI takes (2,048 texts, 300,000 tokens, 40,000 tokens a minute of those who do not pay):
# little is lost when one fails.
_TEXTS_PER_REQUEST, _TOKENS_PER_REQUEST = 128, 20_000
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


@dataclass(frozen=True, slots=True)
class _Text:
    """A text as it is sent: whole, its beginning, or cut into windows; and the tokens of those."""

    position: int
    windows: list[str]
    tokens: list[int]


@dataclass(frozen=True)
class OpenAIEncoder:
    """A model behind ``/embeddings``: texts in batches, several requests at a time, unit vectors out.

    Made by `open_service`. Texts longer than `max_tokens` are cut by an estimate of their tokens, since a
    service's tokenizer is not at hand.

    Attributes
    ----------
    service
        Address, key and model; the first two are never shown.
    max_tokens, long_text
        Longest text that is sent, and what happens to longer ones.
    concurrency
        Requests under way at once.
    notify
        Called with one line before a request is repeated, from any thread.
    """

    service: Service
    max_tokens: int = _LONGEST
    long_text: LongText = "window"
    concurrency: int = 4
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
        batches = self._batches(texts)
        tokens = [n for batch in batches for text in batch for n in text.tokens]
        return Workload(len(tokens), sum(tokens), len(batches))

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
        from multiprocessing.pool import ThreadPool

        self.check()
        batches = self._batches(texts)
        vectors: NDArray[np.float32] | None = None
        # Threads of this pool are daemons: neither Ctrl-C nor an error waits for answers that are to come.
        with (
            self.service.connect(self.concurrency) as pool,
            ThreadPool(min(self.concurrency, len(batches)) or 1) as threads,
        ):
            for positions, answer in threads.imap_unordered(partial(self._embed, pool), batches):
                if vectors is None:
                    vectors = np.empty((len(texts), answer.shape[1]), np.float32)
                if vectors.shape[1] != answer.shape[1]:
                    lengths = f"{vectors.shape[1]} and {answer.shape[1]}"
                    message = f"{self.service.label} gave vectors of length {lengths} for one model."
                    raise InputError(message)
                vectors[positions] = answer
                if on_batch is not None:
                    on_batch(positions, answer)
        return np.empty((0, self.dim or 0), np.float32) if vectors is None else vectors

    def _batches(self, texts: Sequence[str]) -> list[list[_Text]]:
        """Texts of each request; the windows of one text stay together."""
        batches: list[list[_Text]] = []
        room = n_tokens = 0
        for i, whole in enumerate(texts):
            if not whole.strip():
                message = f"Text {i + 1} of {len(texts)} is empty, and a service encodes no empty text."
                raise InputError(message)
            truncate = self.long_text == "truncate"
            cut = [head(whole, self.max_tokens)] if truncate else windows(whole, self.max_tokens)
            text = _Text(i, cut, [estimated_tokens(part) for part in cut])
            room -= len(cut)
            n_tokens += sum(text.tokens)
            if not batches or room < 0 or n_tokens > _TOKENS_PER_REQUEST:
                batches.append([])
                room, n_tokens = _TEXTS_PER_REQUEST - len(cut), sum(text.tokens)
            batches[-1].append(text)
        return batches

    def _embed(self, pool: urllib3.PoolManager, batch: list[_Text]) -> tuple[list[int], NDArray[np.float32]]:
        """Positions of a batch and its vectors, float32 ``[b, d]``; by halves where fewer may be taken."""
        try:
            parts = self.service.embed(pool, [part for text in batch for part in text.windows], self.notify)
        except RefusedTextsError as error:
            refusal = error
        else:
            ends = np.cumsum([len(text.windows) for text in batch])
            pairs = zip(np.split(parts, ends[:-1]), batch, strict=True)
            vectors = np.stack([_mean(some, text.tokens) for some, text in pairs])
            return [text.position for text in batch], vectors
        if len(batch) == 1:
            message = (
                f"{refusal} That was about the text {batch[0].windows[0][:60]!r} alone; if the model sees "
                f"fewer than {self.max_tokens:,} tokens, give it fewer with --max-tokens."
            )
            raise InputError(message)
        (first, left), (second, right) = (
            self._embed(pool, half) for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :])
        )
        return first + second, np.concatenate([left, right])


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


def _mean(parts: NDArray[np.float32], weights: Sequence[int]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = parts[0]
    if len(parts) > 1:
        mean = np.average(parts.astype(np.float64), axis=0, weights=weights)
        unit = (mean / np.linalg.norm(mean)).astype(np.float32)
    return unit
