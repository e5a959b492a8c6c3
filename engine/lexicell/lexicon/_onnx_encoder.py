"""Text encoders that run here: a transformer as an ONNX graph, pooled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell.errors import CorruptDataError, MissingExtraError
from lexicell.lexicon._manifest import EncoderInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from lexicell.lexicon._encoder import BatchCallback

__all__ = ["OnnxTextEncoder"]

# On 2 cores 512 to 4,096 tokens are within 10 % of each other; padded batches of 16,384 take twice as long.
_TOKENS_PER_BATCH = 1024
# Batches are visited in this many sweeps over all lengths, so that texts per second, and with it
# the time left, settle early instead of drifting from short to long texts.
_SWEEPS = 32


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

    @property
    def info(self) -> EncoderInfo:
        """What a manifest says about this encoder."""
        return EncoderInfo(
            id=self.id, revision=self.revision, pooling="mean", max_tokens=self.max_tokens, normalised=True
        )

    @property
    def cache_key(self) -> str:
        """Equal for encoders that give the same vectors."""
        return self.info.model_dump_json()

    @property
    def dim(self) -> int:
        """Length ``d`` of a vector."""
        return int(self._session.get_outputs()[0].shape[-1])

    def encode(self, texts: Sequence[str], on_batch: BatchCallback | None = None) -> NDArray[np.float32]:
        """Encode texts.

        Parameters
        ----------
        texts
            ``n`` texts; an empty one gets the vector of its special tokens.
        on_batch
            Called with (positions in `texts`, their vectors) after each batch.

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
        for batch in _equal_length_batches([len(ids) for ids in tokens]):
            input_ids = np.stack([tokens[text] for text in batch])
            hidden: NDArray[np.float32] = self._session.run(["hidden"], {"input_ids": input_ids})[0]
            pooled = hidden.mean(axis=1, dtype=np.float64)
            vectors[batch] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
            if on_batch is not None:
                on_batch(batch, vectors[batch])
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
