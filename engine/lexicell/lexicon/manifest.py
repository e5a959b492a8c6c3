"""``lexicon.json``: what a lexicon is made of, and the hash of each of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import blake3
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lexicell._files import read_file, reading_file
from lexicell.errors import CorruptDataError, InputError, InputNotFoundError

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST_FILE",
    "RESTORE",
    "EncoderInfo",
    "FileInfo",
    "LongText",
    "Manifest",
    "Precision",
    "TextInfo",
]

FORMAT_VERSION = 1
LongText = Literal["window", "truncate"]
Precision = Literal["float32", "int8"]
MANIFEST_FILE = "lexicon.json"
#: What to do about a damaged file of a lexicon; ends a sentence.
RESTORE = "restore or rebuild the lexicon"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TextInfo(_Frozen):
    """Where the gene texts come from.

    Attributes
    ----------
    source
        Database and version, for people ("org.Hs.eg.db 3.16").
    date
        Date or version of the source as its publisher gives it; empty if unknown.
    licence
        Licence of the texts; empty if unknown.
    attribution
        Sentence to print wherever the lexicon is shown; empty if none is due.
    recipe
        How a text was put together from the source's columns ("name+summary", or a template).
    """

    source: str
    date: str = ""
    licence: str = ""
    attribution: str = ""
    recipe: str = ""


class EncoderInfo(_Frozen):
    """What turned the texts into vectors.

    Attributes
    ----------
    id
        Name of the model, as its publisher spells it.
    revision
        Fingerprint of weights, configuration and tokenizer; empty where a service does not state it.
    pooling
        How token vectors become one vector: "mean", "cls", "api" where a service does it, or "unknown"
        for vectors made elsewhere.
    max_tokens
        Tokens that the model sees at once, special tokens included; None where that is not known.
    normalised
        Whether the vectors had unit length before they were stored.
    long_text
        What happened to longer texts: "truncate", or "window": cut into windows of equal length, whose
        vectors are averaged.
    precision
        Arithmetic of the model: "float32", or "int8" (dynamic quantisation).
    dimensions
        Length that a service was asked to shorten its vectors to.
    """

    id: str
    revision: str
    pooling: str
    max_tokens: int | None = Field(default=None, ge=1)
    normalised: bool
    long_text: LongText = "truncate"
    precision: Precision = "float32"
    dimensions: int | None = None


class FileInfo(_Frozen):
    """Size in bytes and BLAKE3 of one file."""

    bytes: int = Field(ge=0)
    blake3: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(_Frozen):
    """The content of ``lexicon.json``.

    Attributes
    ----------
    format_version
        Version of the folder's layout.
    name, organism
        What people call it, and the species whose symbols it uses ("human").
    text, encoder
        Where texts and vectors come from.
    n_genes, dim, dtype
        Shape and storage type of the table.
    files
        Every other file of the folder -> size and hash.
    """

    format_version: int = FORMAT_VERSION
    name: str = Field(min_length=1)
    organism: str = Field(min_length=1)
    text: TextInfo
    encoder: EncoderInfo
    n_genes: int = Field(ge=1)
    dim: int = Field(ge=1)
    dtype: Literal["float16", "float32"]
    files: dict[str, FileInfo]

    @property
    def table_bytes(self) -> int:
        """Size of the table in bytes."""
        return self.n_genes * self.dim * np.dtype(self.dtype).itemsize

    @property
    def checksum(self) -> str:
        """BLAKE3 of the canonical JSON; as it covers the files' hashes, it identifies the lexicon.

        Fields at their default are left out, so that a later version can add fields and still read this.
        """
        content = {"format_version": self.format_version, **self.model_dump(exclude_defaults=True)}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return blake3.blake3(canonical.encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write ``lexicon.json`` into `folder`."""
        content = {**self.model_dump(), "checksum": self.checksum}
        text = json.dumps(content, indent=2, ensure_ascii=False)
        (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8", newline="\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read and check the ``lexicon.json`` of `folder`.

        Raises
        ------
        InputNotFoundError
            If `folder` holds no ``lexicon.json``.
        InputError
            If it was written by a newer version of this package.
        CorruptDataError
            If it is not what was written.
        """
        path = folder / MANIFEST_FILE
        with reading_file(path, RESTORE):
            try:
                content = json.loads(read_file(path))
            except (FileNotFoundError, NotADirectoryError) as error:
                message = f"{folder} is not a lexicon: it has no {MANIFEST_FILE}."
                raise InputNotFoundError(message) from error
            if not isinstance(content, Mapping):
                message = f"{path} does not describe a lexicon; restore or rebuild it."
                raise CorruptDataError(message)
            return cls._checked(path, dict(content))

    @classmethod
    def _checked(cls, path: Path, content: dict[str, Any]) -> Manifest:
        version = content.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            message = (
                f"{path} has format version {version}, this lexicell reads up to {FORMAT_VERSION}: "
                "upgrade lexicell."
            )
            raise InputError(message)
        checksum = content.pop("checksum", None)
        try:
            manifest = cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            message = f"{path} is damaged at {field!r} ({first['msg']}); {RESTORE}."
            raise CorruptDataError(message) from error
        if checksum != manifest.checksum:
            message = f"{path} was changed after it was written (checksum); {RESTORE}."
            raise CorruptDataError(message)
        if any(Path(name).name != name for name in manifest.files):
            message = f"{path} names a file outside its folder; {RESTORE}."
            raise CorruptDataError(message)
        return manifest
