"""Lexicon: genes, their texts and their vectors, in one folder."""

from __future__ import annotations

import difflib
import os
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexicell._files import hash_file, reading_file
from lexicell._limits import limit_reached
from lexicell._recent import Recent
from lexicell.arrays import require_gpu
from lexicell.errors import CorruptDataError, InputError, InputNotFoundError
from lexicell.lexicon.card import CARD_FILE, gene_label, make_card
from lexicell.lexicon.genes import GENE_COLUMNS, GENES_FILE, ID_COLUMNS, read_genes
from lexicell.lexicon.manifest import MANIFEST_FILE, RESTORE, Manifest
from lexicell.lexicon.table import (
    TABLE_DATA,
    TABLE_MODEL,
    check_table,
    first_not_finite,
    gather,
    gather_shared,
    open_table,
    shares_memory,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from lexicell_kernels import Device

__all__ = ["OWN_FILES", "Lexicon", "bundled_lexicons"]

_REQUIRED_FILES = (GENES_FILE, TABLE_MODEL, TABLE_DATA)
OWN_FILES = (*_REQUIRED_FILES, MANIFEST_FILE, CARD_FILE)
_DATA = Path(__file__).with_name("data")
#: Lexicons that were hashed: a process opens the same few again and again.
_OPENED = Recent(entries=4, most_bytes=0)
if hasattr(os, "register_at_fork"):  # sessions of ONNX Runtime are their process's
    os.register_at_fork(after_in_child=_OPENED.clear)
#: Alignments and tables that a lexicon keeps.
_RECENT, _RECENT_BYTES = 8, 128 << 20
#: Seconds for which a file may change again without a new time.
_UNSETTLED = 2.0


def bundled_lexicons() -> tuple[str, ...]:
    """Names of the lexicons that come with the package, sorted."""
    try:
        folders = [manifest.parent.name for manifest in _DATA.glob(f"*/{MANIFEST_FILE}")]
    except OSError as error:
        raise limit_reached("the lexicons of the package", error) or error from None
    return tuple(sorted(name for name in folders if not name.startswith(".")))  # dots: a build under way


@dataclass(frozen=True)
class Lexicon:
    """Genes, their texts and their vectors: a folder that `Lexicon.open` has checked.

    Opening reads the manifest and, unless `verify` is off, hashes the files. Genes are read and the
    table is mapped on first use. Lexicons can be pickled: a worker opens the same folder,
    and fails if it finds another lexicon there.

    Attributes
    ----------
    path
        The folder.
    info
        Its manifest: sources, encoder, licence, hashes.
    """

    path: Path
    info: Manifest

    @classmethod
    def open(cls, lexicon: str | Path, *, verify: bool = True) -> Lexicon:
        """Open a lexicon folder, or one that comes with the package.

        Parameters
        ----------
        lexicon
            A folder, or the name of a bundled lexicon ("human-go-minilm"). A bundled name wins over
            a folder of that name in the working directory; write "./name" for the latter.
        verify
            Whether to hash and check the files, see `verify` (about 20 ms for 20 MB). Without it only their
            sizes are compared, which is for tables of many gigabytes; what is read later is checked then. A
            lexicon that was verified and whose files are the same by size and time is not hashed again: it
            is the object that was opened before.

        Raises
        ------
        InputNotFoundError
            If there is no such folder or bundled lexicon.
        InputError
            If it was written by a newer version of this package.
        CorruptDataError
            If a file is missing, truncated or changed, or not what the manifest says.
        """
        path = _locate(lexicon)
        if not verify:
            return cls._open(path)
        stamp = _stamp(path)
        return cls._verified(path) if stamp is None else _OPENED.get(stamp, lambda: cls._verified(path))

    @classmethod
    def _verified(cls, path: Path) -> Lexicon:
        opened = cls._open(path)
        opened.verify()
        return opened

    @classmethod
    def _open(cls, path: Path) -> Lexicon:
        opened = cls(path, Manifest.read(path))
        for name in _REQUIRED_FILES:
            if name not in opened.info.files:
                message = f"{path / MANIFEST_FILE} does not list {name}; {RESTORE}."
                raise CorruptDataError(message)
        for name, recorded in opened.info.files.items():
            file = path / name
            with reading_file(file, RESTORE):
                if not file.is_file():
                    message = f"{file} is missing; {RESTORE}."
                    raise CorruptDataError(message)
                size = file.stat().st_size
            if size != recorded.bytes:
                message = f"{file} has {size:,} bytes, not {recorded.bytes:,}; {RESTORE}."
                raise CorruptDataError(message)
        if opened.info.files[TABLE_DATA].bytes != opened.info.table_bytes:
            raise opened._other_table()
        return opened

    @classmethod
    def _reopen(cls, path: Path, identity: str) -> Lexicon:
        opened = cls._open(path)
        if opened.identity != identity:
            message = f"{path} now holds another lexicon than the one this job was started with."
            raise CorruptDataError(message)
        return opened

    def __reduce__(self) -> tuple[Any, ...]:
        return (Lexicon._reopen, (self.path, self.identity))

    def verify(self) -> None:
        """Hash every file again, and see that genes and vectors are what the manifest says.

        Raises
        ------
        CorruptDataError
            Naming the first file that is missing or not as it was written; a row, column or shape that is
            not the manifest's; or the first gene whose vector is not finite.
        """
        for name, recorded in self.info.files.items():
            file = self.path / name
            with reading_file(file, RESTORE):
                digest = hash_file(file)
            if digest != recorded.blake3:
                message = f"{file} was changed after it was written (hash); {RESTORE}."
                raise CorruptDataError(message)
        self.read_genes(["row"])
        self._check_table()
        self._refuse_not_finite(self.stored, self.rows)

    def _refuse_not_finite(self, vectors: Any, rows: NDArray[np.int64]) -> None:
        place = first_not_finite(vectors)
        if place is not None:
            row = int(rows[place])
            gene = gene_label(self.genes.slice(row, 1).to_pylist()[0])
            message = f"{self.path / TABLE_DATA} has no finite vector for {gene} (row {row:,}); {RESTORE}."
            raise CorruptDataError(message)

    def _other_table(self) -> CorruptDataError:
        return CorruptDataError(
            f"{self.path / TABLE_DATA} is not a table of {self.n_genes:,} x {self.dim:,} {self.info.dtype} "
            f"numbers; {RESTORE}."
        )

    @property
    def name(self) -> str:
        """What people call it."""
        return self.info.name

    @property
    def identity(self) -> str:
        """Hash over everything the lexicon consists of (hex); part of the identity of a run."""
        return self.info.checksum

    @property
    def n_genes(self) -> int:
        """Number of rows ``G``."""
        return self.info.n_genes

    @property
    def dim(self) -> int:
        """Length ``d`` of a vector."""
        return self.info.dim

    @property
    def rows(self) -> NDArray[np.int64]:
        """All row numbers, int64 ``[G]``."""
        return np.arange(self.n_genes, dtype=np.int64)

    @cached_property
    def recent(self) -> Recent:
        """What was made of the lexicon last: alignments of data sets, tables for their genes."""
        return Recent(_RECENT, _RECENT_BYTES)

    @cached_property
    def genes(self) -> pa.Table:
        """Who the rows are (see `read_genes`), without the texts; read once."""
        return self.read_genes((*ID_COLUMNS, "name"))

    def read_genes(self, columns: Sequence[str] = GENE_COLUMNS) -> pa.Table:
        """Read columns of the gene table; other columns cost nothing.

        Parameters
        ----------
        columns
            Some of ``row`` int32, ``ncbi_id`` int64 or null, ``symbol``, ``ensembl_ids`` (list),
            ``aliases`` (list), ``mouse_symbols`` (list), ``name``, ``gene_type``, ``text``,
            ``text_source``, ``text_flag``.

        Returns
        -------
        pyarrow.Table
            ``G`` rows, in row order.

        Raises
        ------
        InputError
            If a column does not exist.
        CorruptDataError
            If the file cannot be read, or is not the table of ``G`` genes that the manifest says it is.
        """
        return read_genes(self.path, columns, self.n_genes)

    def vectors(self, rows: NDArray[np.integer[Any]], *, device: Device = "cpu") -> NDArray[np.float32]:
        """Vectors of some genes, gathered by ONNX Runtime: from the mapped table, or on a GPU.

        Parameters
        ----------
        rows
            Integers ``[n]`` in ``[0, G)``, in any order, repeats allowed.
        device
            Where to gather: "cpu", or "cuda" for the first NVIDIA GPU.

        Returns
        -------
        numpy.ndarray or cupy.ndarray
            float32 ``[n, d]``, C-contiguous, the same numbers on either device. On the CPU it is the
            caller's own. On a GPU it is the memory that ONNX Runtime gathered into, and needs the lexicon to
            stay alive; where the installed ONNX Runtime is not made for GPUs, what was gathered on the CPU
            is uploaded instead.

        Raises
        ------
        InputError
            If `rows` is not one-dimensional, not integer, or out of range; there is no GPU that can be
            used; or ONNX Runtime is made for GPUs and cannot use this one.
        CorruptDataError
            If the table cannot be opened, or the vector of a gene is not finite.
        """
        rows = np.asarray(rows)
        if rows.ndim != 1 or not (np.issubdtype(rows.dtype, np.integer) or rows.size == 0):
            message = f"Lexicon rows must be integers [n], not {rows.dtype} {list(rows.shape)}."
            raise InputError(message)
        if rows.size and (rows.min() < 0 or rows.max() >= self.n_genes):
            message = f"Lexicon rows must lie in [0, {self.n_genes}); found {rows.min()} to {rows.max()}."
            raise InputError(message)
        row_numbers = np.ascontiguousarray(rows, dtype=np.int64)
        vectors: NDArray[np.float32]
        if device == "cuda" and shares_memory():
            vectors = require_gpu().from_dlpack(gather_shared(self._session_on_gpu, row_numbers, device))
            self._refuse_not_finite(vectors, row_numbers)
            return vectors
        cupy = None if device == "cpu" else require_gpu()
        vectors = gather(self._session, row_numbers)
        self._refuse_not_finite(vectors, row_numbers)
        return vectors if cupy is None else cupy.asarray(vectors)

    @cached_property
    def stored(self) -> NDArray[np.floating[Any]]:
        """The table as it lies on disk, float16 or float32 ``[G, d]``: mapped, read-only."""
        file = self.path / TABLE_DATA
        dtype = np.dtype(self.info.dtype).newbyteorder("<")
        with reading_file(file, RESTORE):
            if file.stat().st_size != self.info.table_bytes:
                raise self._other_table()
            return np.memmap(file, dtype, mode="r", shape=(self.n_genes, self.dim))

    @property
    def card(self) -> str:
        """What a person should know about the lexicon, Markdown; made here for one written without."""
        if CARD_FILE not in self.info.files:
            return make_card(self.info, self.read_genes())
        with reading_file(self.path / CARD_FILE, RESTORE):
            return (self.path / CARD_FILE).read_text(encoding="utf-8")

    def read_notes(self) -> dict[str, bytes]:
        """Files for people that came with the lexicon ("NOTICE.md"), other than its card."""
        return {name: (self.path / name).read_bytes() for name in self.info.files if name not in OWN_FILES}

    @cached_property
    def _session(self) -> Any:
        return self._open_session("cpu")

    @cached_property
    def _session_on_gpu(self) -> Any:
        return self._open_session("cuda")

    def _check_table(self) -> None:
        # What comes with the package is trusted like its code; importing onnx would cost each start 0.3 s.
        if self.path.parent != _DATA:
            check_table(self.path, self.n_genes, self.dim, self.info.dtype)

    def _open_session(self, device: Device) -> Any:
        self._check_table()
        return open_table(self.path, device)


def _stamp(path: Path) -> tuple[Any, ...] | None:
    """What changes where a file of a folder does; None where that cannot be said, as just after a change."""
    try:
        files = {file.name: file.stat() for file in path.iterdir()}
    except OSError:
        return None
    if max((s.st_ctime for s in files.values()), default=0.0) > time.time() - _UNSETTLED:
        return None
    facts = ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
    return str(path), tuple((n, *(getattr(s, fact) for fact in facts)) for n, s in sorted(files.items()))


def _locate(lexicon: str | Path) -> Path:
    bundled = bundled_lexicons()
    if isinstance(lexicon, str) and lexicon in bundled:
        return _DATA / lexicon
    path = Path(lexicon)
    with reading_file(path, "name a lexicon or the folder of one", InputError):
        if path.exists():
            return path
    names = ", ".join(bundled) or "none"
    close = difflib.get_close_matches(str(lexicon), bundled, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    message = f"There is no lexicon {str(lexicon)!r}: neither a folder nor a bundled lexicon ({names}).{hint}"
    raise InputNotFoundError(message)
