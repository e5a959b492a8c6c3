"""Text encoders as ONNX graphs: exported once with torch, then kept in the cache."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexicell._files import hash_file, staged_folder
from lexicell.errors import LexicellError, MissingExtraError
from lexicell.lexicon._model_files import ModelSpec, cache_folder, find_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["ExportedEncoder", "exported_encoder"]

# Part of the cache key: raise it when the graph or its inputs change.
_RECIPE = 1
_GRAPH, _TOKENIZER, _RECORD = "encoder.onnx", "tokenizer.json", "export.json"


@dataclass(frozen=True)
class ExportedEncoder:
    """An ONNX graph ``input_ids int64 [n, t] -> hidden float32 [n, t, d]`` and its tokenizer.

    There is no attention mask: texts of unequal length never share a batch.
    """

    graph: Path
    tokenizer: Path
    revision: str


def exported_encoder(
    spec: ModelSpec, folder: Path | None = None, notify: Callable[[str], None] | None = None
) -> ExportedEncoder:
    """Return the exported graph of a model, from the cache if it is there and intact.

    Parameters
    ----------
    spec
        The model.
    folder
        The user's own copy of its files, or None to look for them.
    notify
        Called with one line before work that takes seconds.

    Raises
    ------
    InputNotFoundError
        If the model's files are nowhere.
    MissingExtraError
        If an export is due and torch or transformers is not installed.
    """
    if folder is None:
        # The published files have a known fingerprint, so their export needs neither them nor torch.
        cached = _cached(_cache_path(spec, spec.revision), spec.revision)
        if cached is not None:
            return cached
    files = find_model(spec, folder)
    revision = files.fingerprint()
    target = _cache_path(spec, revision)
    cached = _cached(target, revision)
    if cached is not None:
        return cached
    if notify is not None:
        notify(f"Exporting {spec.hub_id} to ONNX (once, about 15 s)")
    try:
        # Only a damaged export is replaced, never one that others may be opening.
        with staged_folder(target, replace=target.exists()) as staging:
            shutil.copyfile(files.tokenizer, staging / _TOKENIZER)
            _export(files.folder, staging / _GRAPH)
            record = {name: hash_file(staging / name) for name in (_GRAPH, _TOKENIZER)}
            (staging / _RECORD).write_text(json.dumps({"revision": revision, "blake3": record}, indent=2))
    except OSError:
        # Another process may have put its export there in the meantime, which is as good.
        cached = _cached(target, revision)
        if cached is None:
            raise
        return cached
    return ExportedEncoder(target / _GRAPH, target / _TOKENIZER, revision)


def _cache_path(spec: ModelSpec, revision: str) -> Path:
    key = revision.rpartition(":")[2][:16]
    return cache_folder() / "encoders" / f"{spec.hub_id.replace('/', '--')}-{key}-r{_RECIPE}"


def _cached(folder: Path, revision: str) -> ExportedEncoder | None:
    try:
        record = json.loads((folder / _RECORD).read_bytes())
        intact = record["revision"] == revision and all(
            hash_file(folder / name) == record["blake3"][name] for name in (_GRAPH, _TOKENIZER)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return ExportedEncoder(folder / _GRAPH, folder / _TOKENIZER, revision) if intact else None


def _export(folder: Path, target: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import onnxscript  # noqa: F401  # torch imports it late, and then fails in many words
            import torch
            from transformers import AutoModel
    except ImportError as error:
        raise MissingExtraError.of(extra="encoders", why="Exporting a text encoder") from error

    with _silence():
        # Eager attention: measured here, ONNX Runtime runs it 1.3x faster than the exported SDPA, and
        # a text's vector then has the same bits whatever the batch it is encoded in.
        model = AutoModel.from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float32, local_files_only=True
        )

        class Hidden(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
                hidden: torch.Tensor = self.model(input_ids=input_ids).last_hidden_state
                return hidden

        # More than one of each, or the exporter specialises the graph to a single text or token.
        example = torch.full((3, 7), 5, dtype=torch.int64)
        program = torch.onnx.export(
            Hidden().eval(),
            (example,),
            dynamo=True,
            dynamic_shapes={"input_ids": {0: "texts", 1: "tokens"}},
            input_names=["input_ids"],
            output_names=["hidden"],
            verbose=False,
        )
        if program is None:  # pragma: no cover - only without dynamo
            message = "torch exported no ONNX program; please report this with your torch version."
            raise LexicellError(message)
        program.save(str(target), external_data=False)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's warnings, log lines and progress bars away from users."""
    from transformers.utils import logging as transformers_logging

    names = ("torch.onnx", "torch.export", "transformers", "onnxscript")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    bars = transformers_logging.is_progress_bar_enabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
