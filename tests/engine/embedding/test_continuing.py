"""A store has one gene table and one rounding, whichever machines make its shards."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from tests.torture.campaign import content

import lexicell
from lexicell.embedding import Committed, pipeline, plan
from lexicell.embedding.continuing import settle
from lexicell.embedding.default_projection import default_projection
from lexicell.embedding.inputs import Inputs, Output
from lexicell.errors import InputError
from lexicell.store import Layout, units, verify

TABLE = ".lexicell/table"


def embed(many_file: Path, out: Path, **options: object) -> None:
    lexicell.embed(many_file, out, top_k=40, workers=1, **options)


@pytest.fixture(scope="module")
def whole(many_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run that nobody interrupts writes."""
    out = tmp_path_factory.mktemp("whole") / "out.zarr"
    embed(many_file, out)
    return content(out)


@pytest.fixture
def begun(many_file: Path, tmp_path: Path) -> Path:
    """Output of a run that was interrupted after the first of four shards."""

    def interrupt(event: object) -> None:
        if isinstance(event, Committed):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(many_file, tmp_path / "out.zarr", listener=interrupt)
    return tmp_path / "out.zarr"


def up(array: np.ndarray) -> np.ndarray:
    """The next number for each: as a library rounds that sums in another order."""
    return np.nextafter(array, np.inf, dtype=array.dtype)


@pytest.fixture
def other_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the whitening of a lexicon, and so the table, comes out otherwise."""

    def otherwise(lexicon):
        projection = default_projection(lexicon)
        return replace(projection, weight=up(projection.weight))

    monkeypatch.setattr(plan, "default_projection", otherwise)


@pytest.fixture
def other_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the kernel rounds otherwise."""
    embed_rows = pipeline.embed_rows

    def otherwise(*args, **options):
        rows = embed_rows(*args, **options)
        return replace(rows, vectors=up(rows.vectors))

    monkeypatch.setattr(pipeline, "embed_rows", otherwise)


def lose(table: Path) -> None:
    table.unlink()


def shorten(table: Path) -> None:
    table.write_bytes(table.read_bytes()[:-1])


def empty(table: Path) -> None:
    table.write_bytes(b"")


def flip(table: Path) -> None:
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)


DAMAGE = [lose, shorten, empty, flip]


def test_a_run_goes_on_elsewhere_with_the_table_that_it_began_with(many_file, begun, whole, other_matrices):
    embed(many_file, begun, resume=True)
    assert content(begun) == whole


def test_two_machines_begin_with_their_own_tables(many_file, tmp_path, whole, request):
    request.getfixturevalue("other_matrices")
    embed(many_file, tmp_path / "other.zarr")
    assert content(tmp_path / "other.zarr").keys() == whole.keys()
    assert content(tmp_path / "other.zarr") != whole


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_run_whose_table_is_lost_does_not_go_on_elsewhere(
    many_file, begun, damage: Callable[[Path], None], other_matrices
):
    damage(Path(f"{begun}.partial", TABLE))
    with pytest.raises(InputError, match=r"gene table.*(not there|damaged)"):
        embed(many_file, begun, resume=True)
    assert Path(f"{begun}.partial").is_dir()


@pytest.mark.parametrize("damage", DAMAGE)
def test_where_the_table_comes_out_alike_it_is_not_missed(many_file, begun, whole, damage):
    damage(Path(f"{begun}.partial", TABLE))
    embed(many_file, begun, resume=True)
    assert content(begun) == whole


def test_a_run_does_not_go_on_where_cells_are_rounded_otherwise(many_file, begun, other_kernel):
    before = content(Path(f"{begun}.partial"))
    with pytest.raises(InputError, match="rounds otherwise"):
        embed(many_file, begun, resume=True)
    assert content(Path(f"{begun}.partial")) == before


@pytest.mark.parametrize("elsewhere", ["other_matrices", "other_kernel"])
def test_a_complete_store_is_recognised_elsewhere(many_file, begun, whole, elsewhere, request):
    embed(many_file, begun, resume=True)
    request.getfixturevalue(elsewhere)
    embed(many_file, begun, resume=True)
    assert content(begun) == whole


@pytest.mark.parametrize("elsewhere", ["other_matrices", "other_kernel"])
def test_another_option_is_named_and_not_the_machine(many_file, begun, elsewhere, request):
    request.getfixturevalue(elsewhere)
    with pytest.raises(InputError, match="dtype") as raised:
        embed(many_file, begun, resume=True, dtype="f16")
    assert "table" not in str(raised.value)
    assert "projection" not in str(raised.value)


def test_a_run_of_an_earlier_format_does_not_go_on(many_file, begun):
    record = Path(f"{begun}.partial", ".lexicell/run.json")
    run = units.unseal(record.read_bytes())
    for name in ("table", "arithmetic"):
        del run["identity"][name]
    run["identity"]["format"] = 1
    record.write_bytes(units.seal(run))
    with pytest.raises(InputError, match="format 1"):
        embed(many_file, begun, resume=True)


def test_a_finished_store_keeps_the_hash_of_its_table_but_not_the_table(many_file, begun):
    assert Path(f"{begun}.partial", TABLE).is_file()
    embed(many_file, begun, resume=True)
    assert not (begun / TABLE).exists()
    assert not verify(begun).extra
    identity = json.loads((begun / ".lexicell/run.json").read_bytes())["identity"]
    assert {len(identity[name]) for name in ("table", "arithmetic")} == {64}


def test_one_shard_needs_no_table(cells, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    told = []

    def look(event: object) -> None:
        if isinstance(event, Committed):
            told.append((tmp_path / "out.zarr.partial" / TABLE).exists())

    embed(tmp_path / "cells.h5ad", tmp_path / "out.zarr", listener=look)
    assert told == [False]


def test_what_identifies_a_run_stays_what_it_is(cells, tmp_path, bundled):
    """Runs that were begun go on with the next version only if this is the same."""
    cells.write_h5ad(tmp_path / "cells.h5ad")
    inputs = Inputs((str(tmp_path / "cells.h5ad"),))
    with inputs.open() as source:
        planned = plan.make_plan(source, plan.Options(top_k=40, mask_genes=("shared",)))
        output = Output(tmp_path / "out.zarr", "f16", ("bulk_labels",))
        identity = settle(planned, output, inputs, Layout.of(120, 384, "float16")).identity
    assert identity.pop("version") == version("lexicell")
    state = identity["input"]
    assert state.pop("bytes") == (tmp_path / "cells.h5ad").stat().st_size
    assert len(state.pop("state")) == len(state.pop("names")) == 64
    assert identity == {
        "format": 2,
        "recipe": "lexicell",
        "top_k": 40,
        "weight": "log1p",
        "normalise": True,
        "values": "counts",
        "device": "cpu",
        "lexicon": {"name": "human-go-minilm", "identity": bundled.identity},
        "projection": default_projection(bundled).identity,
        "input": {"cells": 120, "matrix": "X", "files": 1},
        "genes": {
            "column": "index",
            "organism": "human",
            "matched_columns": 739,
            "genes": 739,
            "columns": 765,
            "mask": "shared",
            "masked": 14,
        },
        "dtype": "f16",
        "obs_columns": ["bulk_labels"],
    }
