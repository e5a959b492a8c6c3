"""Groups of cells explained: one pass over the counts, and all else of its sums."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import blake3
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lexicell.containers.remote import is_url
from lexicell.embedding import Advanced, Listener, Note, Plan
from lexicell.embedding.continuing import about_inputs
from lexicell.embedding.inputs import Inputs, Output
from lexicell.embedding.parts import PartsSink
from lexicell.embedding.run import run_sharded
from lexicell.errors import InputError
from lexicell.explanation.cells import GeneRows
from lexicell.explanation.directions import Direction
from lexicell.explanation.evidence import Contrast, Donors, adjusted
from lexicell.explanation.grouping import Groups
from lexicell.explanation.pathways import Pathways
from lexicell.explanation.result import Explanation
from lexicell.explanation.sums import GroupSums, SumShards
from lexicell.store import Layout, parquet_bytes
from lexicell_kernels.cpu import available_cpus

if TYPE_CHECKING:
    from lexicell.store import Bytes

__all__ = ["GroupQuestion", "columns_of", "explain_groups"]

#: Of what is written; a run of another number is not continued.
_FORMAT = 1
#: Bytes of the sums of groups and genes at most.
_MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class GroupQuestion:
    """What is asked of groups.

    Attributes
    ----------
    groups
        Which cells are compared.
    direction
        What cells are scored by; None for the difference of the two sides.
    pathways
        Sets of genes; None for none.
    permutations, seed
        Of the nulls.
    gsea
        See `Pathways.contributions`.
    about
        What identifies it, as plain JSON.
    """

    groups: Groups
    direction: Direction | None
    pathways: Pathways | None
    permutations: int
    seed: int
    gsea: bool
    about: dict[str, Any]


def explain_groups(
    plan: Plan,
    question: GroupQuestion,
    inputs: Inputs | None,
    output: Output | None,
    *,
    workers: int | None,
    scheduler: str | None,
    listener: Listener,
) -> Explanation:
    """Read all cells once, in memory or shard by shard into a folder; see `lexicell.explain`.

    Raises
    ------
    InputError
        There are too many groups and donors to keep their sums; or a run that is to go on was begun with
        something else.
    CountsError
        A count is negative, NaN or infinite; the message names cell and gene.
    PartialError
        The run could not go on, but what is done can be continued.
    """
    source, groups, rows = plan.cells.source, question.groups, GeneRows.of(plan)
    strata = len(groups.group)
    need = 3 * 8 * len(groups.names) * len(rows.rows)
    if need > _MOST_BYTES:
        msg = (
            f"{source.label}: {len(groups.names):,} groups of {len(rows.rows):,} genes need "
            f"{need / 2**30:.0f} GiB; name a column with fewer groups"
        )
        raise InputError(msg)
    maker = SumShards.of_plan(plan, groups.codes, strata)
    layout = Layout.of(source.n_cells, 1, "float32")
    facts = {**plan.provenance(), **question.about}

    def explained(tables: Iterable[pa.Table]) -> Explanation:
        sums = GroupSums.read(tables, strata, len(rows.rows), maker.scale)
        return _explain(sums, question, rows, plan, facts, listener)

    if output is None:
        return explained(_in_memory(maker, plan, layout, listener))
    read = plan.cells.provenance()
    identity = {
        "format": _FORMAT,
        "made": "contributions",
        "lexicell": version("lexicell"),
        **facts,
        "input": read["input"] | about_inputs(inputs),
        "table": plan.folded.digest,
        "strata": blake3.blake3(groups.codes.tobytes()).hexdigest(),
    }
    identity.pop("projection_card", None)
    found: list[Explanation] = []

    def write(tables: Iterable[pa.Table]) -> dict[str, Bytes]:
        found.append(explained(tables))
        files: dict[str, Bytes] = {
            f"{name}.parquet": parquet_bytes(pa.Table.from_pandas(table, preserve_index=False))
            for name, table in found[0].tables().items()
        }
        return files | {"_run.json": json.dumps(dict(found[0].facts), indent=2).encode()}

    with run_sharded(
        PartsSink(layout), maker, source, output, inputs, identity, workers=workers, scheduler=scheduler,
        listener=listener,
    ) as (store, _):  # fmt: skip
        if not store.complete:
            store.finish(write)
    return found[0] if found else _read(output.path)


def _in_memory(maker: SumShards, plan: Plan, layout: Layout, listener: Listener) -> Iterator[pa.Table]:
    make, n = maker.start(plan.cells.source, layout, 1), plan.cells.source.n_cells
    done = decoded = 0

    def tick(cells: int, size: int) -> None:
        nonlocal done, decoded
        done, decoded = done + cells, decoded + size
        listener(Advanced(done, n, decoded))

    for number in range(layout.n_shards):
        yield make(*layout.rows(number), available_cpus, tick)


def _read(path: str | Path) -> Explanation:
    """Read what a finished run wrote."""
    if is_url(path):
        msg = f"{path} is complete; read its tables, or replace it with --overwrite"
        raise InputError(msg)
    tables = {file.stem: pd.read_parquet(file) for file in Path(path).glob("*.parquet")}
    similarity = tables.get("similarity")
    return Explanation(
        tables["genes"],
        tables["groups"].set_index("group"),
        tables.get("pathways"),
        None if similarity is None else similarity.set_index("group"),
        json.loads(Path(path, "_run.json").read_bytes()),
    )


def _explain(
    sums: GroupSums,
    question: GroupQuestion,
    rows: GeneRows,
    plan: Plan,
    facts: dict[str, Any],
    listener: Listener,
) -> Explanation:
    groups = question.groups
    if lost := int(sums.without.sum()):
        text = f"{lost:,} cells have no gene in use, or genes that cancel out: they are left out"
        listener(Note(text, serious=True))
    columns = columns_of(plan)
    used = np.flatnonzero(np.diff(sums.found.tocsc().indptr))
    genes, about, pathways = [], {}, []
    for name, (first, second) in zip(groups.names, groups.sides, strict=True):
        contrast, donors = _contrast(sums, question, rows, first, second)
        genes.append(_table(name, contrast, donors, rows, columns, used, question))
        about[name] = _row(contrast, donors)
        if question.pathways is not None:
            found = question.pathways.contributions(
                rows.symbols,
                contrast.contributions,
                contrast.sides.means.mean(axis=0),
                contrast.used,
                permutations=question.permutations,
                seed=question.seed,
                gsea=question.gsea,
            )
            found.insert(0, "group", name)
            pathways.append(found)
    told = [of["inference"] for of in about.values() if of["inference"].startswith("no inference")]
    if groups.donors and told:
        text = f"{len(told):,} of {len(about):,} groups are without inference ({told[0].partition(': ')[2]})"
        listener(Note(text, serious=True))
    return Explanation(
        pd.concat(genes, ignore_index=True),
        pd.DataFrame.from_dict(about, orient="index").rename_axis("group"),
        pd.concat(pathways, ignore_index=True) if pathways else None,
        _similarity(sums, question, rows),
        {**facts, "cells": int(sums.cells.sum()), "cells_without_direction": lost},
    )


def _contrast(
    sums: GroupSums,
    question: GroupQuestion,
    rows: GeneRows,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> tuple[Contrast, Donors | None]:
    groups, direction = question.groups, question.direction
    members = [np.isin(groups.group, side) for side in ((first, second) if len(second) else (first,))]
    sides = sums.merged(np.stack(members))
    contrast = rows.contrast(sides, None if direction is None else direction.vector)
    if not groups.donors or len(members) < 2:
        return contrast, None
    is_donor = np.arange(len(groups.donors))[:, None] == groups.donor
    by_donor = [sums.merged(is_donor & member) for member in members]
    return contrast, Donors.of(contrast, *by_donor)


def _table(
    name: str,
    contrast: Contrast,
    donors: Donors | None,
    rows: GeneRows,
    columns: NDArray[np.object_],
    used: NDArray[np.intp],
    question: GroupQuestion,
) -> pd.DataFrame:
    means, shares, contributions = contrast.means, contrast.sides.shares, contrast.contributions
    p_values = contrast.p_values(question.permutations, question.seed)
    nothing = np.full(len(contributions), np.nan)
    by_donor = nothing if donors is None else donors.p_values
    by_name: dict[str, Any] = {
        "group": np.full(len(contributions), name, object),
        "gene": rows.symbols,
        "column": columns,
        "contribution": contributions,
        "agreement": contrast.agreement,
        "more": contrast.more,
        "in_group": means[0],
        "in_rest": means[1] if len(means) > 1 else nothing,
        "share_of_cells": shares[0],
        "share_of_rest": shares[1] if len(shares) > 1 else nothing,
        "effect": contrast.effects,
        "p_value": p_values,
        "p_adjusted": adjusted(p_values),
        "donor_p_value": by_donor,
        "donor_p_adjusted": adjusted(by_donor),
    }
    table = pd.DataFrame({key: column[used] for key, column in by_name.items()})
    return table.sort_values(["more", "contribution"], ascending=False, kind="stable", ignore_index=True)


def _row(contrast: Contrast, donors: Donors | None) -> dict[str, Any]:
    scores, bias, cells = contrast.scores, contrast.of_bias, contrast.sides.cells
    alone = len(scores) < 2
    numbers = (0, 0) if donors is None else donors.numbers
    return {
        "score": float(scores[0] if alone else scores[0] - scores[1]),
        "in_group": float(scores[0]),
        "in_rest": float("nan") if alone else float(scores[1]),
        "bias": float(bias[0] if alone else bias[0] - bias[1]),
        "cells": int(cells[0]),
        "rest": 0 if alone else int(cells[1]),
        "donors": numbers[0],
        "donors_rest": numbers[1],
        "inference": "no inference: no donors were named" if donors is None else donors.inference,
    }


def _similarity(sums: GroupSums, question: GroupQuestion, rows: GeneRows) -> pd.DataFrame | None:
    """Cosines of the groups' mean vectors, seen from the mean of all cells."""
    groups = question.groups
    if len(groups.names) < 2:
        return None
    numbers = np.concatenate([first for first, _ in groups.sides])
    merged = sums.merged(np.concatenate([numbers[:, None] == groups.group, np.ones((1, len(groups.group)))]))
    vectors = merged.means @ rows.table.astype(np.float64) + np.outer(merged.mean_inverse, rows.bias)
    centred = vectors[:-1] - vectors[-1]
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    centred /= np.where(length > 0, length, 1)
    return pd.DataFrame(centred @ centred.T, list(groups.names), list(groups.names))


def columns_of(plan: Plan) -> NDArray[np.object_]:
    """Name in the data of each candidate gene's first column, ``[m]``."""
    rank = plan.folded.genes.rank
    at = np.flatnonzero(rank >= 0)[::-1]
    first = np.zeros(len(plan.folded.genes.rows), np.int64)
    first[rank[at]] = at
    return np.asarray(plan.cells.source.var.index.astype(str), object)[first]
