"""Text encoders that run here: a transformer as an ONNX graph, pooled."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lexicell.errors import CorruptDataError
from lexicell.lexicon.encoders.quantise import quantisation_error
from lexicell.lexicon.encoders.windows import Windower, Workload
from lexicell.lexicon.manifest import EncoderInfo, LongText, Precision
from lexicell.lexicon.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from lexicell.lexicon.encoders.encoder import BatchCallback
    from lexicell_kernels import Device

__all__ = ["OnnxTextEncoder"]

# Part of `cache_key`: raise it when the same model and options give other vectors.
_RECIPE = 1
# On 2 cores 512 to 4,096 tokens are within 10 % of each other; padded batches of 16,384 take twice as long.
_TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 16384}
# Batches are visited in this many sweeps over all lengths, so that texts per second, and with it
# the time left, settle early instead of drifting from short to long texts.
_SWEEPS = 32
# Texts on which int8 is compared with float32.
_SAMPLE = 64


@dataclass(frozen=True)
class OnnxTextEncoder:
    """A transformer run by ONNX Runtime: its token vectors are pooled, then scaled to unit length.

    Windows of the same number of tokens share a batch, so nothing is ever padded. In int8, where the
    scale of an activation is that of the whole batch, each window is a batch of its own.

    Attributes
    ----------
    id, revision
        Name of the model and fingerprint of its files.
    graph, tokenizer
        Files: ``input_ids int64 [n, t] -> hidden float32 [n, t, d]``, and ``tokenizer.json``.
    max_tokens
        Tokens that the model sees at once, special tokens included.
    pooling
        "mean" over all tokens of a window, special tokens included, or "cls", the first one's vector.
    long_text
        What happens to texts of more than `max_tokens`: "window" averages the vectors of as few windows
        as hold the text, weighted by their tokens; "truncate" keeps the first tokens.
    precision
        Arithmetic of `graph`.
    device
        "cpu", or "cuda" for the first NVIDIA GPU.
    float32
        The same encoder in float32; an int8 encoder is compared with it at its first texts.
    notify
        Called with one line about that.
    """

    id: str
    revision: str
    graph: Path
    tokenizer: Path
    max_tokens: int
    pooling: Literal["mean", "cls"] = "mean"
    long_text: LongText = "window"
    precision: Precision = "float32"
    device: Device = "cpu"
    float32: OnnxTextEncoder | None = field(default=None, compare=False, repr=False)
    notify: Callable[[str], None] | None = field(default=None, compare=False, repr=False)
    _told: list[str] = field(default_factory=list, init=False, compare=False, repr=False)

    @property
    def info(self) -> EncoderInfo:
        """What a manifest says about this encoder."""
        return EncoderInfo(
            id=self.id,
            revision=self.revision,
            pooling=self.pooling,
            max_tokens=self.max_tokens,
            normalised=True,
            long_text=self.long_text,
            precision=self.precision,
        )

    @property
    def cache_key(self) -> str:
        """Equal for encoders that give the same vectors; a GPU rounds otherwise than a CPU."""
        return f"onnx-r{_RECIPE} {self.device} {self.info.model_dump_json()}"

    @property
    def dim(self) -> int:
        """Length ``d`` of a vector."""
        return int(self._session.get_outputs()[0].shape[-1])

    def check(self) -> None:
        """Open tokenizer and graph, so that what is wrong with them shows before any text is read.

        Raises
        ------
        MissingExtraError
            If the package ``tokenizers`` is not installed.
        CorruptDataError
            If a file is damaged.
        InputError
            If `max_tokens` leaves no room for a text, or the device cannot be used.
        """
        _ = self._windower, self._session

    def workload(self, texts: Sequence[str]) -> Workload:
        """Return what encoding `texts` would take."""
        lengths = [len(window) for parts in self._windower.cut(texts) for window in parts]
        return Workload(len(lengths), sum(lengths))

    def encode(self, texts: Sequence[str], on_batch: BatchCallback | None = None) -> NDArray[np.float32]:
        """Encode texts.

        Parameters
        ----------
        texts
            ``n`` texts; an empty one gets the vector of its special tokens.
        on_batch
            Called with (positions in `texts`, their vectors) after each batch that completes texts.

        Returns
        -------
        numpy.ndarray
            float32 ``[n, d]`` of unit length, in the order of `texts`. A text's vector depends on the
            text alone: the same whatever is encoded with it.

        Raises
        ------
        CorruptDataError
            If the model's vectors are not finite; see also `check`.
        MissingExtraError, InputError
            See `check`.
        """
        self._compare_precisions(texts)
        windows: list[NDArray[np.int64]] = []
        owners: list[int] = []
        n_windows: list[int] = []
        for text, parts in enumerate(self._windower.cut(texts)):
            windows += parts
            owners += [text] * len(parts)
            n_windows.append(len(parts))
        vectors = np.empty((len(n_windows), self.dim), dtype=np.float32)
        waiting: dict[int, dict[int, NDArray[np.float64]]] = {}
        for batch in self._batches([len(window) for window in windows]):
            done: list[int] = []
            pooled: list[NDArray[np.float64]] = []
            for window, vector in zip(batch, self._pool([windows[i] for i in batch]), strict=True):
                text = owners[window]
                vectors_of = {window: vector}
                if n_windows[text] > 1:
                    vectors_of = waiting.setdefault(text, {})
                    vectors_of[window] = vector
                    if len(vectors_of) < n_windows[text]:
                        continue
                    del waiting[text]
                done.append(text)
                pooled.append(self._average(vectors_of, windows))
            if done:
                rows = np.stack(pooled)
                vectors[done] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
                if on_batch is not None:
                    on_batch(done, vectors[done])
        return vectors

    def _average(
        self, vectors: dict[int, NDArray[np.float64]], windows: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.float64]:
        """Weigh a text's windows by their tokens, in their order whichever came first."""
        if len(vectors) == 1:
            return next(iter(vectors.values()))
        order = sorted(vectors)
        weights = [self._windower.content(windows[window]) for window in order]
        average: NDArray[np.float64] = np.average(
            [vectors[window] for window in order], axis=0, weights=weights
        )
        return average

    def _pool(self, batch: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Vectors of windows of one length, float64 ``[b, d]``."""
        hidden: NDArray[np.float32] = self._session.run(["hidden"], {"input_ids": np.stack(batch)})[0]
        pooled = (
            hidden[:, 0].astype(np.float64) if self.pooling == "cls" else hidden.mean(1, dtype=np.float64)
        )
        if not np.isfinite(pooled).all():
            message = f"The model {self.id} gives vectors that are not finite: its weights are damaged."
            raise CorruptDataError(message)
        return pooled

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        limit = 1 if self.precision == "int8" else _TOKENS_PER_BATCH[self.device]
        return _equal_length_batches(lengths, limit)

    def _compare_precisions(self, texts: Sequence[str]) -> None:
        """Tell, once, how far int8 is from float32 on the user's own texts."""
        if self.float32 is None or self.notify is None or not len(texts) or self._told:
            return
        self._told.append("")  # before the comparison, which encodes
        sample = list(texts[:: -(-len(texts) // _SAMPLE)])
        mean, worst = quantisation_error(self, self.float32, sample)
        self.notify(
            f"int8: cosine to float32 {mean:.4f} on average, {worst:.4f} at worst, over {len(sample)} texts"
        )

    @cached_property
    def _session(self) -> Any:
        import onnxruntime as ort

        return open_session(self.graph, ort.SessionOptions(), self.device, remedy="delete it and try again")

    @cached_property
    def _windower(self) -> Windower:
        return Windower.open(self.tokenizer, self.max_tokens, self.long_text)


def _equal_length_batches(lengths: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Cut windows into batches of one length and at most `limit` tokens, or of one window.

    Deterministic, and mixed short and long.
    """
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    batches: list[list[int]] = []
    for window in order.tolist():
        length = lengths[window]
        batch = batches[-1] if batches else None
        if batch is None or lengths[batch[0]] != length or (len(batch) + 1) * length > limit:
            batches.append([window])
        else:
            batch.append(window)
    for sweep in range(_SWEEPS):
        yield from batches[sweep::_SWEEPS]
