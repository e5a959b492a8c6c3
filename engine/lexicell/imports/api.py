"""``lexicell.import_embedding``: vectors that other tools made become a store like lexicell's own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import blake3
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lexicell.embedding import Listener
from lexicell.embedding.events import log
from lexicell.embedding.inputs import inputs_of, open_data, run_mode
from lexicell.errors import InputError
from lexicell.imports.joining import join_vectors
from lexicell.imports.sources import Kind, Source, checked_ids, open_sources
from lexicell.imports.tables import read_lengths
from lexicell.store import QUALITY, EmbeddingSink, Layout, Shard, check_output, create_store, write_obs

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Imported", "import_embedding"]

#: ``lexicell_n_genes`` of a vector of which only its maker knows the genes.
_UNKNOWN_GENES = -1
_REMEDY = 'extract again with emb_label=["cell_id"]'


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes
    ----------
    output
        Where the vectors are.
    kind
        Who made them; see `lexicell.import_embedding`.
    cells, dim
        Their shape, ``[N, p]``.
    vectors
        Cells that have one.
    missing, extra, unusable
        See `lexicell.imports.Joined`.
    seconds
        Wall time.
    """

    output: Path | str
    kind: str
    cells: int
    dim: int
    vectors: int
    missing: int
    extra: int
    unusable: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {**asdict(self), "output": str(self.output)}


def import_embedding(
    files: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    kind: Kind,
    data: str | Path | Sequence[str | Path] | AnnData | None = None,
    key: str | None = None,
    ids: str | Path | None = None,
    order_by: Literal["length"] | None = None,
    by_position: bool = False,
    overwrite: bool = False,
    listener: Listener = log,
) -> Imported:
    """Import vectors that another tool made into a store, joined to cells by their ids.

    Parameters
    ----------
    files
        What the tool wrote, on this machine; of several files, the cells follow one another.
    output
        ``.zarr``, here or at a URL: a store as `lexicell.embed` writes it, which `lexicell.open_embedding`
        reads. ``lexicell_n_genes`` is 0 for a cell without a vector, whose row is zero, and -1 for all
        others, since how many genes the tool used is not known; for the same reason ``lexicell_coverage`` is
        NaN and ``lexicell_n_tied`` 0.
    kind
        Where they are from: "geneformer" (CSV of its EmbExtractor), "scgpt", "uce", "state",
        "transcriptformer" or "scimilarity" (``obsm`` of an ``.h5ad`` or AnnData-Zarr), or "npy", "parquet"
        or "csv" of whatever else.
    data
        The cells, see `lexicell.embed`: their order and number are the store's. None for the ids and the
        order of `files`.
    key
        Of ``obsm``, where it is not the one that the tool uses; of a table, the column with the ids,
        ``cell_id`` if None.
    ids
        Of an ``.npy``: text with one id on each line, or another ``.npy``.
    order_by
        "length": a CSV of Geneformer without ids is in the order of the cells' lengths, as its EmbExtractor
        sorts them; `data` is then the folder that ``lexicell.export("geneformer", ...)`` wrote. Refused where
        two cells have the same length, since their order is then not known.
    by_position
        Row i is cell i, for files without ids and with as many rows as `data` has cells.
    overwrite
        Replace an existing store.
    listener
        Is told which ids are missing and which are extra, and how far it is.

    Returns
    -------
    Imported
        What was joined.

    Raises
    ------
    InputError, InputNotFoundError, OutputExistsError
        See `lexicell.imports.join_vectors` and `lexicell.imports.open_sources`; or `output` exists.
    CorruptDataError
        A file is damaged.
    WriteError
        The disk is full, or refuses; nothing is left.

    Examples
    --------
    >>> import lexicell
    >>> lexicell.import_embedding("uce.h5ad", "uce.zarr", kind="uce", data="pbmc.h5ad")  # doctest: +SKIP
    """
    began = time.perf_counter()
    paths = [files] if isinstance(files, str | Path) else list(files)
    _check_options(kind, data, order_by, by_position=by_position)
    target = _check(output, paths, data, overwrite=overwrite)
    with ExitStack() as opened:
        sources = open_sources(paths, kind, opened, key=key, ids=ids)
        if kind == "geneformer" and order_by is None and sources[0].ids is None:
            msg = (
                f"{sources[0].label} has no column cell_id, and Geneformer sorts cells by length before it "
                f" embeds them; {_REMEDY}"
            )
            raise InputError(msg)
        cells: Any
        if order_by is not None:
            cells, sources = _by_length(Path(str(data)), sources)
        elif data is not None:
            cells = opened.enter_context(open_data(data))
        else:
            cells = _Ids(*_own_ids(sources))
        names = np.asarray(cells.read_obs((), 0, cells.n_cells).index.astype(str), object)
        n, d = len(names), sources[0].shape[1]
        rows = opened.enter_context(_Rows(n, d))
        joined = join_vectors(
            sources, names, cells.label, rows.put, by_position=by_position, listener=listener
        )
        card = {
            "from": kind,
            "files": [Path(source.label).name for source in sources],
            "blake3": [source.digest for source in sources],
            "key": sources[0].key,
            "joined_by": "length" if order_by else "position" if by_position else "cell_id",
            "missing": joined.missing,
            "extra": joined.extra,
            "unusable": joined.unusable,
        }
        identity = {"format": 1, "made": "import", "version": version("lexicell"), "imported": card}
        identity["cells"] = blake3.blake3("\n".join(names).encode("utf-8", "surrogatepass")).hexdigest()
        sink = EmbeddingSink(Layout.of(n, d, "float32"))
        mode = run_mode(overwrite=overwrite, resume=False)
        with create_store(target, sink, identity, mode=mode, keep=False) as store:
            for number in store.pending:
                start, stop = sink.layout.rows(number)
                shard = _shard(rows.read(start, stop), joined.present[start:stop])
                store.commit(store.writer.write(number, shard))
            uns = {"version": version("lexicell"), "imported": card}
            store.finish(lambda root: write_obs(root, cells, (), present=QUALITY), uns)
    seconds = time.perf_counter() - began
    there = int(joined.present.sum())
    return Imported(target, kind, n, d, there, joined.missing, joined.extra, joined.unusable, seconds)


def _check_options(kind: Kind, data: Any, order_by: str | None, *, by_position: bool) -> None:
    if order_by not in (None, "length"):
        msg = f"cells can be in the order of their length (--order-by length), not of {order_by!r}"
        raise InputError(msg)
    if order_by is not None and (kind != "geneformer" or by_position or not isinstance(data, str | Path)):
        msg = (
            "the order by length is that of Geneformer, and needs the lengths: name the folder that "
            "`lexicell export geneformer` wrote (--data), and leave --by-position out"
        )
        raise InputError(msg)
    if by_position and (data is None or kind == "geneformer"):
        what = (
            "the cells of Geneformer are not in their order"
            if data is not None
            else "name the cells (--data)"
        )
        msg = f"rows can't be taken by their position: {what}"
        raise InputError(msg)


def _check(output: str | Path, files: Sequence[str | Path], data: Any, *, overwrite: bool) -> Path | str:
    if not str(output).rstrip("/").endswith(".zarr"):
        msg = f"{output}: vectors are imported to a .zarr; give the output this ending"
        raise InputError(msg)
    inputs = None if data is None else inputs_of(data, None, None, use_raw=False)
    for path in (*files, *(() if data is None else (data,) if inputs is None else inputs.paths)):
        target = check_output(output, overwrite=overwrite, data=path)
    return target


@dataclass(frozen=True)
class _Ids:
    """Cells of which only names are known."""

    label: str
    names: NDArray[np.object_]

    @property
    def n_cells(self) -> int:
        return len(self.names)

    def read_obs(self, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
        return pd.DataFrame(index=pd.Index(self.names[start:stop], dtype=object), columns=list(columns))


def _own_ids(sources: Sequence[Source]) -> tuple[str, NDArray[np.object_]]:
    known = [source.ids for source in sources if source.ids is not None]
    if len(known) < len(sources):
        msg = f"{sources[0].label}: without ids, name the cells too (--data)"
        raise InputError(msg)
    return sources[0].label, np.concatenate(known)


def _by_length(folder: Path, sources: Sequence[Source]) -> tuple[_Ids, list[Source]]:
    """The cells of an export, and the one source with the ids that its rows must have."""
    source = sources[0]
    names, lengths = read_lengths(folder)
    if source.ids is not None or len(sources) > 1:
        msg = "the order by length is for one CSV without ids; leave --order-by out"
        raise InputError(msg)
    if source.shape[0] != len(names):
        msg = (
            f"{source.label} has {source.shape[0]:,} rows and {folder} {len(names):,} cells: EmbExtractor "
            f"drew some of them (max_ncells), and which is not known; {_REMEDY}"
        )
        raise InputError(msg)
    if (tied := len(lengths) - len(np.unique(lengths))) > 0:
        msg = (
            f"{source.label} can't be put in order: {tied:,} cells of {folder} are as long as another one, "
            f"and how Geneformer orders these is not certain; {_REMEDY}"
        )
        raise InputError(msg)
    ordered = names[np.argsort(-lengths, kind="stable")]
    label = str(folder)
    return _Ids(label, checked_ids(names, label)), [
        Source(source.label, ordered, source.shape, source.blocks, "length", source.digest)
    ]


class _Rows:
    """Vectors of cells in a temporary file, put in any order and read in theirs; zero where none was put."""

    def __init__(self, n: int, d: int) -> None:
        self._d, self._size = d, d * 4
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="lexicell-import-")  # noqa: SIM115 -- `__exit__`
        self._file.truncate(n * self._size)

    def put(self, places: NDArray[np.intp], rows: NDArray[np.float32]) -> None:
        """Keep the vectors of some cells; those of neighbours are written together."""
        if not len(places):
            return
        order = np.argsort(places, kind="stable")
        places, rows = places[order], np.ascontiguousarray(rows[order])
        edges = np.flatnonzero(np.diff(places, prepend=-2) != 1)
        try:
            for first, last in zip(edges, [*edges[1:], len(places)], strict=True):
                self._file.seek(int(places[first]) * self._size)
                self._file.write(rows[first:last].data)
            self._file.flush()
        except OSError as error:
            msg = (
                f"{tempfile.gettempdir()} can't hold the vectors while they are put in order "
                f"({error.strerror}); set TMPDIR to a folder with room"
            )
            raise InputError(msg) from error

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Vectors of cells ``start:stop``."""
        self._file.seek(start * self._size)
        content = self._file.read((stop - start) * self._size)
        return np.frombuffer(content, np.float32).reshape(stop - start, self._d)

    def __enter__(self) -> _Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _shard(vectors: NDArray[np.float32], present: NDArray[np.bool_]) -> Shard:
    return Shard(
        vectors,
        np.where(present, _UNKNOWN_GENES, 0).astype(np.int32),
        np.where(present, np.nan, 0).astype(np.float32),
        np.zeros(len(present), np.int32),
    )
