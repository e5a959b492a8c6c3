"""One export: cells are understood, a format says what becomes of them, and the journal writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import blake3
import pandas as pd
import pyarrow as pa

from lexicell.atlas.store import Layout, ParquetSink, parquet_bytes
from lexicell.embedding import AlignedCells, Listener
from lexicell.embedding.continuing import about_inputs
from lexicell.embedding.inputs import Inputs, Output
from lexicell.embedding.run import run_sharded
from lexicell.embedding.tables import Encoder, TableShards
from lexicell.errors import InputError
from lexicell.exports.hf import HfSink

if TYPE_CHECKING:
    from lexicell.atlas.store._objects import Bytes

__all__ = ["Container", "Exported", "Prepared", "write_tables"]

#: Kinds of files that tables are written as.
Container = Literal["hf", "parquet"]
#: Columns that exports write themselves.
RESERVED = frozenset({
    "cell_id", "cell_name", "cell_sentence", "counts", "embedding", "expressions", "gene_expression_nums",
    "gene_token_ids", "genes", "id", "input_ids", "length", "lexicell_coverage", "lexicell_n_genes",
    "lexicell_n_tied", "n_genes", "n_tied", "n_total", "row", "values",
})  # fmt: skip
#: Of what is written; a run of another number is not continued.
_FORMAT = 1


@dataclass(frozen=True)
class Prepared:
    """What a format makes of a data set, before the first cell is read.

    Attributes
    ----------
    encoder
        Makes columns of cells.
    genes
        Table of the genes in use.
    facts
        Plain JSON: dictionaries, what was matched and what was not.
    files
        Small files beside, by their names.
    """

    encoder: Encoder
    genes: pd.DataFrame
    facts: Mapping[str, Any]
    files: Mapping[str, Bytes]


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
    workers: int | None,
    scheduler: str | None,
    listener: Listener,
) -> Exported:
    """Write tables of all cells, shard by shard; see `lexicell.export`.

    Raises
    ------
    InputError
        A column of ``obs`` is not there, or has a name that exports use themselves; or the run that is to go
        on was begun with something else.
    PartialError
        The run could not go on, but what is done can be continued.
    """
    check_obs(cells, obs)
    read = cells.provenance()
    table = pa.Table.from_pandas(prepared.genes, preserve_index=False).replace_schema_metadata(None)
    genes = parquet_bytes(table)
    identity = {
        "format": _FORMAT,
        "made": name,
        "container": container,
        "lexicell": version("lexicell"),
        **read,
        "input": read["input"] | about_inputs(inputs),
        "obs": list(obs),
        **prepared.facts,
        "gene_table": blake3.blake3(genes).hexdigest(),
    }
    layout = Layout.of(cells.source.n_cells, 1, "float32")
    fingerprint = blake3.blake3(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    sink = HfSink(layout, fingerprint) if container == "hf" else ParquetSink(layout)
    source = cells.source
    maker = TableShards(prepared.encoder, cells.values, source.label, source.var.index, tuple(obs))
    with run_sharded(
        sink, maker, source, output, inputs, identity, workers=workers, scheduler=scheduler,
        listener=listener,
    ) as (store, resumed):  # fmt: skip
        facts = [store.facts[number] for number in sorted(store.facts)]
        n = sum(int(fact["rows"]) for fact in facts)
        card = identity | {"cells": n, "cells_read": cells.source.n_cells}
        if not store.complete:
            beside = {
                "_genes.parquet": genes,
                "_run.json": json.dumps(card, indent=2).encode(),
                **prepared.files,
            }
            if container == "hf":
                store.finish(facts[0]["features"] if facts else {}, beside)
            else:
                store.finish(beside)
    return Exported(output.path, name, n, resumed, card)


def check_obs(cells: AlignedCells, obs: Sequence[str]) -> None:
    """Raise where a column of ``obs`` can't go along."""
    cells.source.read_obs(obs, 0, 0)  # they are there
    if taken := [name for name in obs if name in RESERVED]:
        msg = f"obs[{taken[0]!r}] has a name that the export uses itself; rename the column"
        raise InputError(msg)
