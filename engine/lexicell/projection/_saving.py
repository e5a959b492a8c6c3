"""A projection as two files: numbers as safetensors, and JSON with settings, card and hashes; no pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import blake3
from numpy.typing import NDArray

from lexicell._files import check_new_folder, read_file, reading_file, staged_folder
from lexicell.errors import CorruptDataError, InputError, InputNotFoundError
from lexicell.projection._classifier import Classifier
from lexicell.projection._parts import HeadLayer, Pooling, Residual

__all__ = ["ARRAYS", "FORMAT_VERSION", "identity_of", "read_parts", "write_parts"]

FORMAT_VERSION = 1
_NUMBERS = "projection.safetensors"
_CARD = "projection.json"
#: Parts of a projection, and what they are called in a file.
ARRAYS = {
    "weight": "weight",
    "bias": "bias",
    "gene_scale": "gene_weight",
    "offset": "offset",
    "rank_factor": "rank_factor",
    "masked": "masked",
}
_RESTORE = "restore the folder, or train again"


class _Whole(Protocol):
    """What is made of the parts."""

    @property
    def identity(self) -> str: ...

    @property
    def tensors(self) -> dict[str, NDArray[Any]]: ...


_P = TypeVar("_P", bound=_Whole)


def identity_of(tensors: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> str:
    """BLAKE3 of all numbers and settings of a projection, as hex."""
    digest = blake3.blake3(_canonical(settings))
    for name, part in sorted(tensors.items()):
        digest.update(f"{name} {part.dtype.str} {part.shape}\0".encode())
        digest.update(part.tobytes())
    return digest.hexdigest()


def write_parts(
    folder: Path,
    tensors: dict[str, NDArray[Any]],
    settings: Mapping[str, Any],
    card: Mapping[str, Any],
    *,
    overwrite: bool,
) -> Path:
    """Write the parts of a projection; see `Projection.save`."""
    from safetensors.numpy import save

    check_new_folder(folder, _CARD, "projection", overwrite=overwrite)
    numbers = save(tensors)
    content = {
        "format_version": FORMAT_VERSION,
        "identity": identity_of(tensors, settings),
        **settings,
        "file": {"bytes": len(numbers), "blake3": blake3.blake3(numbers).hexdigest()},
        "card": _plain(card),
    }
    content["checksum"] = _checksum(content)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    with staged_folder(folder, replace=overwrite) as staging:
        (staging / _NUMBERS).write_bytes(numbers)
        (staging / _CARD).write_text(text, encoding="utf-8", newline="\n")
    return folder


def read_parts(folder: Path, kind: Callable[..., _P]) -> _P:
    """Read the parts of a projection and make it of them; see `Projection.load`."""
    from safetensors.numpy import load

    card, file = folder / _CARD, folder / _NUMBERS
    content = _read_card(folder)
    with reading_file(file, _RESTORE):
        if not file.exists():
            msg = f"{file} is missing; {_RESTORE}"
            raise CorruptDataError(msg)
        numbers = read_file(file)
    # What does not fit below was sealed with the right hashes, so it was written this way on purpose.
    with reading_file(card, _RESTORE):
        recorded = content["file"]
        if len(numbers) != recorded["bytes"]:
            msg = f"{file} has {len(numbers):,} bytes, not {recorded['bytes']:,}; {_RESTORE}"
            raise CorruptDataError(msg)
        if blake3.blake3(numbers).hexdigest() != recorded["blake3"]:
            msg = f"{file} was changed after it was written (hash); {_RESTORE}"
            raise CorruptDataError(msg)
        tensors = load(numbers)
        try:
            projection = kind(**_parts(content, tensors))
        except InputError as error:
            msg = f"{card} does not describe a projection ({error}); {_RESTORE}"
            raise CorruptDataError(msg) from error
        if projection.identity != content["identity"] or tensors.keys() != projection.tensors.keys():
            msg = f"{folder} holds other numbers than its identity says; {_RESTORE}"
            raise CorruptDataError(msg)
    return projection


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / _CARD
    with reading_file(path, _RESTORE):
        try:
            content = json.loads(read_file(path))
        except (FileNotFoundError, NotADirectoryError) as error:
            reason = f"it has no {_CARD}" if folder.is_dir() else "there is no such folder"
            msg = f"{folder} is not a projection: {reason}"
            raise InputNotFoundError(msg) from error
        if not isinstance(content, dict):
            msg = f"{path} does not describe a projection; {_RESTORE}"
            raise CorruptDataError(msg)
        version = content.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            msg = (
                f"{path} has format version {version}, this lexicell reads up to {FORMAT_VERSION}: "
                "upgrade lexicell"
            )
            raise InputError(msg)
        if content.pop("checksum", None) != _checksum(content):
            msg = f"{path} was changed after it was written (checksum); {_RESTORE}"
            raise CorruptDataError(msg)
    return content


def _parts(content: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Fields of the projection that was saved."""

    def of(prefix: str) -> dict[str, Any]:
        return {name.removeprefix(prefix): part for name, part in tensors.items() if name.startswith(prefix)}

    pooling, classifier = content["pooling"], content["classifier"]
    if content["features"] is not None:
        msg = "its genes are compared with landmark genes, which older versions did; learn it again"
        raise InputError(msg)
    residual = of("residual.")
    return {
        **{name: tensors.get(stored) for name, stored in ARRAYS.items()},
        "residual": Residual(**residual) if residual else None,
        "head": tuple(HeadLayer(**of(f"head.{i}."), activation=a) for i, a in enumerate(content["head"])),
        "pooling": None if pooling is None else Pooling(**pooling),
        "classifier": None if classifier is None else Classifier(**of("classifier."), **classifier),
        "lexicon": content["lexicon"],
        "card": content["card"],
    }


def _plain(card: Mapping[str, Any]) -> Any:
    """The card as it will be read again."""
    try:
        return json.loads(json.dumps(dict(card), allow_nan=False))
    except (TypeError, ValueError) as error:
        msg = (
            f"the projection's card is not plain JSON ({error}); use text, finite numbers, lists and mappings"
        )
        raise InputError(msg) from error


def _checksum(content: Mapping[str, Any]) -> str:
    return blake3.blake3(_canonical(content)).hexdigest()


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
