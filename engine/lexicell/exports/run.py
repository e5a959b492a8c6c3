"""One export: cells are understood, a format says what becomes of them, and the journal writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import blake3
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lexicell._files import staged_path
from lexicell._say import listed, silent
from lexicell.containers.remote import is_url
from lexicell.embedding import Advanced, AlignedCells, Listener, Note
from lexicell.embedding.candidates import CandidateGenes
from lexicell.embedding.continuing import about_inputs
from lexicell.embedding.inputs import Inputs, Output
from lexicell.embedding.parts import PartsSink, TallySink
from lexicell.embedding.run import run_sharded
from lexicell.embedding.tables import Encoder, TableShards, Tallying
from lexicell.errors import InputError
from lexicell.explanation.sums import SumShards
from lexicell.exports.hf import HfSink
from lexicell.exports.prepared import FileAssembly, Prepared
from lexicell.store import Layout, ParquetSink, check_columns, parquet_bytes
from lexicell_kernels import CsrBlock
from lexicell_kernels.cpu import available_cpus

if TYPE_CHECKING:
    from lexicell.store import Bytes

__all__ = ["Container", "Exported", "write_tables"]

#: Kinds of files that tables are written as.
Container = Literal["hf", "parquet"]
#: Columns that exports write themselves.
RESERVED = frozenset({
    "cell_id", "cell_name", "cell_sentence", "counts", "embedding", "expressions", "gene_expression_nums",
    "gene_token_ids", "genes", "id", "input_ids", "length", "lexicell_coverage", "lexicell_n_genes",
    "lexicell_n_tied", "n_genes", "n_inexact", "n_tied", "n_total", "row", "values",
})  # fmt: skip
#: Of what is written; a run of another number is not continued.
_FORMAT = 2
#: Cells of a shard at most, which one worker holds in memory; and cells that a dry run looks at.
_ROWS, _FEW = 1 << 13, 1_000


@dataclass(frozen=True)
class Exported:
    """What an export did.

    Attributes
    ----------
    output
        Where it is.
    format
        See `lexicell.export`.
    cells
        How many were written.
    resumed_cells
        How many of them an earlier run had written.
    facts
        The run card, which lies beside the cells as ``_run.json``.
    """

    output: Path | str
    format: str
    cells: int
    resumed_cells: int
    facts: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {
            "output": str(self.output),
            "format": self.format,
            "cells": self.cells,
            "resumed_cells": self.resumed_cells,
            **self.facts,
        }


def write_tables(
    name: str,
    cells: AlignedCells,
    prepared: Prepared,
    output: Output,
    inputs: Inputs | None,
    *,
    container: Container,
    obs: Sequence[str],
    drop_empty: bool = False,
    dry_run: bool = False,
    workers: int | None,
    scheduler: str | None,
    listener: Listener,
) -> Exported:
    """Write tables of all cells, shard by shard, or what is put together of them; see `lexicell.export`.

    Raises
    ------
    InputError
        A column of ``obs`` is not there, or has a name that exports use themselves; or the run that is to go
        on was begun with something else.
    PartialError
        The run could not go on, but what is done can be continued.
    """
    source, assembly = cells.source, prepared.assembly
    columns = _obs_columns(cells, prepared, obs, listener)
    read = cells.provenance()
    table = pa.Table.from_pandas(prepared.genes, preserve_index=False).replace_schema_metadata(None)
    genes = parquet_bytes(table)
    identity = {
        "format": _FORMAT,
        "made": name,
        "container": container if assembly is None else name,
        "lexicell": version("lexicell"),
        **read,
        "input": read["input"] | about_inputs(inputs),
        "obs": list(columns),
        "drop_empty": drop_empty,
        **prepared.facts,
        "gene_table": blake3.blake3(genes).hexdigest(),
    }
    layout = Layout.of(source.n_cells, 1, "float32")
    layout = replace(layout, shard_rows=min(layout.shard_rows, _ROWS))
    fingerprint = blake3.blake3(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    sink: Any
    if assembly is not None:
        sink = PartsSink(layout)
    else:
        sink = HfSink(layout, fingerprint) if container == "hf" else ParquetSink(layout)
    if prepared.tallied is not None:
        sink = TallySink(sink)
    maker: SumShards | TableShards
    if isinstance(prepared.encoder, SumShards):
        maker = replace(prepared.encoder, drop_empty=drop_empty)
    else:
        encoder = _NotEmpty(prepared.encoder, *prepared.empty) if drop_empty else prepared.encoder
        maker = TableShards(encoder, cells.values, source.label, source.var.index, columns)
    if dry_run:
        return _foreseen(name, cells, prepared, output, maker, sink, identity)
    if output.is_h5ad:
        return _write_file(name, cells, prepared, output, maker, layout, identity, listener)
    with run_sharded(
        sink, maker, source, output, inputs, identity, workers=workers, scheduler=scheduler,
        listener=listener,
    ) as (store, resumed):  # fmt: skip
        facts = [store.facts[number] for number in sorted(store.facts)]
        n = sum(int(fact["rows"]) for fact in facts)
        card = identity | {"cells": n, "cells_read": source.n_cells}

        def beside(told: Mapping[str, Any]) -> dict[str, Bytes]:
            card.update(told)
            if str(output.path).endswith(".zarr"):  # it tells of itself
                return {}
            files = {"_genes.parquet": genes, **prepared.files}
            if prepared.tallied is not None:
                files |= prepared.tallied(sink.total(store.files))
            return files | {"_run.json": json.dumps(card, indent=2).encode()}

        if store.complete:
            written = Path(output.path, "_run.json")
            if not is_url(output.path) and written.exists():
                card = json.loads(written.read_bytes())
        elif assembly is not None:
            try:
                store.finish(lambda tables: beside(assembly(tables, store.files, card)))
            except InputError:  # what was asked for can't be, so that nothing could go on
                store.forget()
                raise
        elif container == "hf":
            store.finish(facts[0]["features"] if facts else {}, beside({}))
        else:
            store.finish(beside({}))
    return Exported(output.path, name, int(card["cells"]), resumed, card)


def _write_file(
    name: str,
    cells: AlignedCells,
    prepared: Prepared,
    output: Output,
    maker: SumShards | TableShards,
    layout: Layout,
    identity: Mapping[str, Any],
    listener: Listener,
) -> Exported:
    """Write one file, first row to last."""
    make, card = maker.start(cells.source, layout, 1), dict(identity)
    done = n = 0

    def tables() -> Iterator[pa.Table]:
        nonlocal done, n
        for number in range(layout.n_shards):
            table = make(*layout.rows(number), available_cpus, silent)
            n += table.num_rows
            yield table
            done = layout.rows(number)[1]
            listener(Advanced(done, cells.source.n_cells, 0))

    assembly: Any = prepared.assembly
    with staged_path(Path(output.path), replace=output.mode == "overwrite") as path:
        card |= assembly.write_file(tables(), path, card)
    return Exported(output.path, name, n, 0, card | {"cells": n, "cells_read": cells.source.n_cells})


def _foreseen(
    name: str,
    cells: AlignedCells,
    prepared: Prepared,
    output: Output,
    maker: SumShards | TableShards,
    sink: Any,
    identity: Mapping[str, Any],
) -> Exported:
    """What a run would write, from the first cells; nothing is written."""
    n = cells.source.n_cells
    few = min(n, _FEW)
    table = maker.start(cells.source, sink.layout, 1)(0, few, available_cpus, silent)
    parts, _ = sink.encode(0, table)
    size = sum(len(piece) for _, pieces in parts for piece in pieces)
    column, value = prepared.empty
    kept = table.num_rows
    per_cell = column in table.column_names
    empty = int((table.column(column).to_numpy() == value).sum()) if per_cell and kept else 0
    likely = {
        "dry_run": True,
        "cells_looked_at": few,
        "cells_left_out": few - kept if per_cell else 0,
        "cells_without_genes": empty,
        "likely_bytes": round(size / few * n) if few else 0,
        "files": sink.layout.n_shards,
    }
    if isinstance(prepared.assembly, FileAssembly):
        likely |= prepared.assembly.foresee(table)
    return Exported(output.path, name, 0, 0, {**identity, **likely, "cells_read": n})


@dataclass(frozen=True)
class _NotEmpty:
    """Leaves cells out in which a column has a value."""

    encoder: Encoder
    column: str
    value: int

    @property
    def genes(self) -> CandidateGenes:
        return self.encoder.genes

    @property
    def read_obs(self) -> Sequence[str]:
        return self.encoder.read_obs

    def tally(self, counts: CsrBlock) -> NDArray[np.int64]:
        return self.encoder.tally(counts) if isinstance(self.encoder, Tallying) else np.zeros(0, np.int64)

    def encode(
        self, counts: CsrBlock, start: int, obs: pd.DataFrame
    ) -> tuple[dict[str, pa.Array], NDArray[np.bool_] | None]:
        made, kept = self.encoder.encode(counts, start, obs)
        full = made[self.column].to_numpy(zero_copy_only=False) != self.value
        kept = np.ones(counts.n_rows, bool) if kept is None else kept.copy()
        kept[kept] = full
        return {name: column.filter(pa.array(full)) for name, column in made.items()}, kept


def _obs_columns(
    cells: AlignedCells, prepared: Prepared, asked: Sequence[str], listener: Listener
) -> tuple[str, ...]:
    """Columns of ``obs`` that go along."""
    columns = tuple(dict.fromkeys((*asked, *prepared.needs_obs)))
    if prepared.every_obs is not None and not asked:
        columns = tuple(name for name in cells.source.obs_columns if name not in RESERVED)
        left = sorted(RESERVED & set(cells.source.obs_columns))
        if left:
            listener(Note(f"obs has columns of names that the export uses itself, left out: {listed(left)}"))
        if anew := [name for name in prepared.every_obs if name in columns]:
            listener(Note(f"obs[{anew[0]!r}] is written anew, from the counts"))
            columns = tuple(name for name in columns if name not in anew)
        columns = _storable(cells, columns, listener)
    elif prepared.every_obs is not None:
        check_columns(cells.source, columns)
    cells.source.read_obs(columns, 0, 0)  # they are there
    if clash := [name for name in columns if name in RESERVED]:
        msg = f"obs[{clash[0]!r}] has a name that the export uses itself; rename the column"
        raise InputError(msg)
    return columns


def _storable(cells: AlignedCells, columns: Sequence[str], listener: Listener) -> tuple[str, ...]:
    """Columns that an AnnData can hold."""
    found = []
    for name in columns:
        try:
            check_columns(cells.source, [name])
        except InputError as error:
            listener(Note(f"{error}: it is left out", serious=True))
        else:
            found.append(name)
    return tuple(found)
