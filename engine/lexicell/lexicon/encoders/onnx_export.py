"""Text encoders as ONNX graphs: exported once with torch, then kept in the cache."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexicell._files import cache_folder, hash_file, parse_json, staged_folder
from lexicell.errors import OutputExistsError, WriteError
from lexicell.lexicon.encoders.hub import find_model
from lexicell.lexicon.encoders.model_config import ModelUse, architecture, known_use, shipped_use
from lexicell.lexicon.encoders.model_files import ModelFiles, ModelSpec
from lexicell.lexicon.encoders.transformer import export_graph, save_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["ExportedEncoder", "FoundEncoder", "exported_encoder", "find_encoder", "keep_export"]

# Part of the cache key: raise it when the graph or its inputs change.
_RECIPE = 1
GRAPH, TOKENIZER, _RECORD = "encoder.onnx", "tokenizer.json", "export.json"


@dataclass(frozen=True)
class ExportedEncoder:
    """An ONNX graph ``input_ids int64 [n, t] -> hidden float32 [n, t, d]`` and its tokenizer.

    There is no attention mask: texts of unequal length never share a batch.

    Attributes
    ----------
    folder
        Where in the cache both are.
    revision
        Fingerprint of the model's files.
    """

    folder: Path
    revision: str

    @property
    def graph(self) -> Path:
        """The graph's file."""
        return self.folder / GRAPH

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's file, of the package ``tokenizers``."""
        return self.folder / TOKENIZER


@dataclass(frozen=True)
class FoundEncoder:
    """A model whose files are found, or known well enough to do without them.

    Attributes
    ----------
    spec
        The model.
    files
        Its files; None where the cache holds its export.
    revision
        Their fingerprint.
    use
        How it is used.
    """

    spec: ModelSpec
    files: ModelFiles | None
    revision: str
    use: ModelUse


def find_encoder(spec: ModelSpec, notify: Callable[[str], None] | None = None) -> FoundEncoder:
    """Find a model's files and read how it is used; nothing is exported yet.

    Parameters
    ----------
    spec
        The model.
    notify
        Called with one line before work that takes seconds.

    Raises
    ------
    InputError
        If the model is of a kind that cannot be run.
    InputNotFoundError
        If the model's files are nowhere.
    CorruptDataError
        If a file of the model is damaged.
    """
    use = known_use(spec)
    if spec.folder is None and spec.revision is not None and use is not None:
        # The published files have a known fingerprint, so their export needs neither them nor torch.
        cached = cached_export(_cache_path(spec, spec.revision), spec.revision)
        if cached is not None:
            return FoundEncoder(spec, None, spec.revision, use)
    files = find_model(spec, notify)
    architecture(files)
    revision = files.fingerprint()
    if use is None or revision != spec.revision:
        use = shipped_use(files)
    return FoundEncoder(spec, files, revision, use)


def exported_encoder(found: FoundEncoder, notify: Callable[[str], None] | None = None) -> ExportedEncoder:
    """Return the exported graph of a model, from the cache if it is there and intact.

    Parameters
    ----------
    found
        The model.
    notify
        Called with one line before work that takes seconds.

    Raises
    ------
    InputNotFoundError
        If the model's files are nowhere.
    CorruptDataError
        If a file of the model is damaged.
    MissingExtraError
        If an export is due and torch or transformers is not installed.
    WriteError
        If the cache cannot be written.
    """

    def make(staging: Path) -> None:
        files = found.files or find_model(found.spec, notify)
        if notify is not None:
            notify(f"Exporting {found.spec.id} to ONNX (once, about 15 s; a minute for a large model)")
        save_tokenizer(files, staging / TOKENIZER)
        export_graph(files, staging / GRAPH)

    return keep_export(_cache_path(found.spec, found.revision), found.revision, make)


def keep_export(target: Path, revision: str, make: Callable[[Path], None]) -> ExportedEncoder:
    """Return what the cache holds at `target`, made by `make` where that is absent or damaged.

    Parameters
    ----------
    target
        Folder of the export.
    revision
        Fingerprint of the model's files.
    make
        Called with the folder to write graph and tokenizer into.

    Raises
    ------
    WriteError
        If the cache cannot be written.
    """
    cached = cached_export(target, revision)
    if cached is not None:
        return cached
    try:
        # Only a damaged export is replaced, never one that others may be opening.
        with staged_folder(target, replace=target.exists()) as staging:
            make(staging)
            record = {path.name: hash_file(path) for path in sorted(staging.iterdir())}
            (staging / _RECORD).write_text(json.dumps({"revision": revision, "blake3": record}, indent=2))
    except (WriteError, OutputExistsError) as error:
        # Another process may have put its export there in the meantime, which is as good.
        cached = cached_export(target, revision)
        if cached is None:
            message = f"{error}; LEXICELL_CACHE names the folder of exported encoders."
            raise WriteError(message) from error
        return cached
    return ExportedEncoder(target, revision)


def cached_export(folder: Path, revision: str) -> ExportedEncoder | None:
    """Return the export at `folder` if it is of that revision and as it was written."""
    try:
        record = parse_json((folder / _RECORD).read_bytes())
        hashes = record["blake3"]
        intact = (
            record["revision"] == revision
            and {GRAPH, TOKENIZER} <= hashes.keys()
            and all(hash_file(folder / name) == expected for name, expected in hashes.items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return ExportedEncoder(folder, revision) if intact else None


def _cache_path(spec: ModelSpec, revision: str) -> Path:
    key = revision.rpartition(":")[2][:16]
    return cache_folder() / "encoders" / f"{spec.id.replace('/', '--')}-{key}-r{_RECIPE}"
