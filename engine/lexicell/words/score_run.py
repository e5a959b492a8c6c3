"""Scores of an atlas as a folder of Parquet files: in bounded memory, and a run that can be continued."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import blake3
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lexicell.embedding import AlignedCells, Listener
from lexicell.embedding.continuing import about_inputs
from lexicell.embedding.inputs import Inputs, Output
from lexicell.embedding.run import run_sharded
from lexicell.embedding.tables import TableShards
from lexicell.store import Layout, ParquetSink, begun, check_identity, parquet_bytes
from lexicell.words.descriptions import Description
from lexicell.words.scoring import Question, ScoreEncoder, Scorer, ask
from lexicell.words.table import BEST, Search

if TYPE_CHECKING:
    import pyarrow as pa

    from lexicell.store import Bytes

__all__ = ["score_to_folder"]

#: Of what is written; a run of another number is not continued.
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class _ScoreSink(ParquetSink):
    """Remembers the best cells of each question, so that nobody has to read all again for them."""

    def encode(
        self, number: int, shard: pa.Table
    ) -> tuple[list[tuple[str, Sequence[Bytes]]], dict[str, Any]]:
        objects, facts = ParquetSink.encode(self, number, shard)
        names = shard.column("cell").to_pylist()
        best = []
        for column in shard.columns[1:]:
            scores = column.to_numpy()
            first = (-scores).argsort(kind="stable")[:BEST]
            best.append([[names[at], float(scores[at])] for at in first if scores[at] == scores[at]])
        return objects, facts | {"best": best}


def score_to_folder(
    cells: AlignedCells,
    descriptions: Sequence[Description],
    output: Output,
    inputs: Inputs | None,
    *,
    seed: int,
    workers: int | None,
    listener: Listener,
) -> Search:
    """Score all cells into a folder, shard by shard.

    Parameters
    ----------
    cells, descriptions, seed, listener
        See `lexicell.words.scoring.ask`. A run that goes on does not ask again: what the cells said of the
        genes is kept with it.
    output
        The folder, and whether a run to it goes on.
    inputs
        What ``cells.source`` was opened from; None for what is in memory only.
    workers
        Threads; None for as many as there are CPUs.

    Returns
    -------
    Search
        With the ten best cells of each question in place of all.

    Raises
    ------
    PartialError
        The run could not go on, but what is done can be continued.
    InputError, CountsError
        See `lexicell.words.scoring.ask`; or the run that is to go on was begun with something else.
    """
    read = cells.provenance()
    identity = {
        "format": _FORMAT,
        "made": "scores of sentences",
        **read,
        "input": read["input"] | about_inputs(inputs),
        "sentences": [[kind.name, kind.sentence] for kind in descriptions],
        "seed": seed,
    }
    sink = _ScoreSink(Layout.of(cells.source.n_cells, len(descriptions), "float32"))
    earlier = begun(output.path) if output.mode == "resume" else None
    if earlier is not None:  # before a minute goes into what the cells say
        asked = {name: value for name, value in earlier.identity.items() if name != "scorer"}
        check_identity(str(output.path), asked, identity | {"layout": asdict(sink.layout)})
    question = None if earlier is None or earlier.table is None else _from_bytes(earlier.table, cells)
    if question is None:
        question = ask(cells, descriptions, seed=seed, listener=listener)
    kept = _to_bytes(question)
    identity["scorer"] = blake3.blake3(kept).hexdigest()
    names = tuple(kind.name for kind in descriptions)
    source = cells.source
    encoder = ScoreEncoder(question.scorer, names)
    maker = TableShards(encoder, cells.values, source.label, source.var.index, names="cell")
    with run_sharded(
        sink, maker, source, output, inputs, identity, table=kept, workers=workers, listener=listener
    ) as (store, _):
        facts = {**identity, "fitted": question.n_fitted, "measured": question.types["measured"].to_dict()}
        if not store.complete:
            import pyarrow as pa

            genes = pa.Table.from_pandas(question.genes, preserve_index=False)
            store.finish({
                "_genes.parquet": parquet_bytes(genes),
                "_run.json": json.dumps(facts, indent=2).encode(),
            })  # fmt: skip
        best = [store.facts[number]["best"] for number in sorted(store.facts)]
    return Search(_best(best, names), question.genes, facts)


def _to_bytes(question: Question) -> bytes:
    """What the cells said of the genes, as safetensors."""
    import pyarrow as pa

    scorer = question.scorer
    arrays: dict[str, NDArray[Any]] = {
        "rows": scorer.genes.rows,
        "columns": scorer.columns.astype(np.int64),
        "linear": np.ascontiguousarray(scorer.linear),
        "offset": scorer.offset,
        "n_fitted": np.array([question.n_fitted]),
    }
    for name, table in (("genes", question.genes), ("types", question.types)):
        arrays[name] = np.frombuffer(parquet_bytes(pa.Table.from_pandas(table)), np.uint8)
    return save(arrays)


def _from_bytes(content: bytes, cells: AlignedCells) -> Question | None:
    """The same again; None where the bytes are damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        arrays = load(content)
        genes, types = (pq.read_table(pa.BufferReader(arrays[name].tobytes())) for name in ("genes", "types"))
        scorer = Scorer(
            cells.restrict(arrays["rows"]).genes,
            arrays["columns"].astype(np.intp),
            arrays["linear"],
            arrays["offset"],
        )
        n_fitted = int(arrays["n_fitted"][0])
    except (SafetensorError, KeyError, pa.ArrowException, OSError):
        return None
    return Question(scorer, types.to_pandas(), genes.to_pandas(), n_fitted)


def _best(shards: Sequence[Any], names: Sequence[str]) -> pd.DataFrame:
    """The best cells of all shards, NaN for questions that they are not among the best of."""
    columns = []
    for at, name in enumerate(names):
        found = sorted((pair for shard in shards for pair in shard[at]), key=lambda pair: -pair[1])[:BEST]
        index = pd.MultiIndex.from_tuples([(cell, at) for cell, _ in found], names=["cell", "question"])
        columns.append(pd.Series([score for _, score in found], index, dtype=np.float32, name=name))
    return pd.concat(columns, axis=1, sort=False).droplevel("question")
