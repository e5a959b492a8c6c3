"""Text encoders: texts in, unit vectors out."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from lexicell.errors import CorruptDataError, InputError, LexicellError, MissingExtraError
from lexicell.lexicon._model_files import MODELS
from lexicell.lexicon._onnx_export import exported_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["Encoder", "OnnxTextEncoder", "ProgressCallback", "load_encoder"]

# On 2 cores 512 to 4,096 tokens are within 10 % of each other; padded batches of 16,384 take twice as long.
_TOKENS_PER_BATCH = 1024
# Batches are visited in this many sweeps over all lengths, so that texts per second, and with it
# the time left, settle early instead of drifting from short to long texts.
_SWEEPS = 32


class ProgressCallback(Protocol):
    """What long work calls now and then, from the thread that does it."""

    def __call__(self, done: int, total: int) -> None:
        """Take note that `done` of `total` texts are encoded."""


@runtime_checkable
class Encoder(Protocol):
    """Anything that turns texts into vectors.

    Attributes
    ----------
    id, revision
        Name of the model, and what identifies its exact weights.
    dim
        Length ``d`` of a vector.
    pooling
        How token vectors become one vector.
    max_tokens
        Longer texts are cut here, special tokens included.
    normalised
        Whether the vectors have unit length.
    """

    @property
    def id(self) -> str: ...

    @property
    def revision(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def pooling(self) -> str: ...

    @property
    def max_tokens(self) -> int: ...

    @property
    def normalised(self) -> bool: ...

    def encode(self, texts: Sequence[str], progress: ProgressCallback | None = None) -> NDArray[np.float32]:
        """Vectors of `texts`, float32 ``[n, d]``, in their order; each depends on its own text alone."""
        ...


@dataclass(frozen=True)
class OnnxTextEncoder:
    """A transformer run by ONNX Runtime: mean over the text's own tokens, then unit length.

    Texts of the same number of tokens share a batch, so nothing is ever padded.

    Attributes
    ----------
    id, revision
        Name of the model and fingerprint of its files.
    graph, tokenizer
        Files: ``input_ids int64 [n, t] -> hidden float32 [n, t, d]``, and ``tokenizer.json``.
    max_tokens
        Longer texts are cut here, special tokens included.
    """

    id: str
    revision: str
    graph: Path
    tokenizer: Path
    max_tokens: int
    pooling: str = "mean"
    normalised: bool = True

    @property
    def dim(self) -> int:
        """Length ``d`` of a vector."""
        return int(self._session.get_outputs()[0].shape[-1])

    def encode(self, texts: Sequence[str], progress: ProgressCallback | None = None) -> NDArray[np.float32]:
        """Encode texts.

        Parameters
        ----------
        texts
            ``n`` texts; an empty one gets the vector of its special tokens.
        progress
            Called with (texts done, n) after each batch.

        Returns
        -------
        numpy.ndarray
            float32 ``[n, d]`` of unit length, in the order of `texts`. A text's vector depends on the
            text alone: the same whatever is encoded with it.

        Raises
        ------
        MissingExtraError
            If the package ``tokenizers`` is not installed.
        """
        encodings = self._tokenizer.encode_batch(list(texts))
        tokens = [np.asarray(encoding.ids, dtype=np.int64) for encoding in encodings]
        vectors = np.empty((len(tokens), self.dim), dtype=np.float32)
        done = 0
        for batch in _equal_length_batches([len(ids) for ids in tokens]):
            input_ids = np.stack([tokens[text] for text in batch])
            hidden: NDArray[np.float32] = self._session.run(["hidden"], {"input_ids": input_ids})[0]
            pooled = hidden.mean(axis=1, dtype=np.float64)
            vectors[batch] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
            done += len(batch)
            if progress is not None:
                progress(done, len(tokens))
        return vectors

    @cached_property
    def _session(self) -> Any:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 3
        try:
            return ort.InferenceSession(
                str(self.graph), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            message = f"ONNX Runtime cannot open {self.graph} ({error}); delete it and try again."
            raise CorruptDataError(message) from error

    @cached_property
    def _tokenizer(self) -> Any:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtraError.of(extra="encoders", why="Encoding gene texts") from error
        tokenizer = Tokenizer.from_file(str(self.tokenizer))
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer


def load_encoder(
    name: str, *, folder: str | Path | None = None, notify: Callable[[str], None] | None = None
) -> OnnxTextEncoder:
    """Load a text encoder by name; the first time, its model is exported to ONNX and cached.

    Parameters
    ----------
    name
        ``minilm`` (sentence-transformers/all-MiniLM-L6-v2, 384 dimensions).
    folder
        A folder with the model's ``config.json``, ``tokenizer.json`` and ``model.safetensors``. By
        default the cache, the installed packages and the model hub are searched, in this order.
    notify
        Called with one line before work that takes seconds.

    Raises
    ------
    InputError
        If the name is unknown.
    InputNotFoundError
        If the model's files are nowhere.
    MissingExtraError
        If a package of the extra ``encoders`` is needed and not installed.
    """
    if name not in MODELS:
        close = difflib.get_close_matches(name, MODELS, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        message = f"There is no encoder {name!r}; there are {', '.join(MODELS)}.{hint}"
        raise InputError(message)
    spec = MODELS[name]
    if spec.pooling != "mean":
        message = f"The pooling {spec.pooling!r} of {spec.hub_id} is not supported."
        raise LexicellError(message)
    exported = exported_encoder(spec, Path(folder) if folder is not None else None, notify)
    return OnnxTextEncoder(
        id=spec.hub_id,
        revision=exported.revision,
        graph=exported.graph,
        tokenizer=exported.tokenizer,
        max_tokens=spec.max_tokens,
    )


def _equal_length_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Cut texts into batches of one length and bounded tokens; deterministic, mixed short and long."""
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    batches: list[list[int]] = []
    for text in order.tolist():
        length = lengths[text]
        last = batches[-1] if batches else None
        if last is None or lengths[last[0]] != length or (len(last) + 1) * length > _TOKENS_PER_BATCH:
            batches.append([text])
        else:
            last.append(text)
    for sweep in range(_SWEEPS):
        yield from batches[sweep::_SWEEPS]
