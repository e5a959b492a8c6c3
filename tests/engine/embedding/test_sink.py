"""What is no embedding is made, continued, verified and made on a cluster by the same journal."""

from __future__ import annotations

import anndata
import pytest
from tests.engine.embedding.lines_sink import Lines, SelectLines

from lexicell.embedding import AlignOptions, Committed, align_cells
from lexicell.embedding.inputs import Inputs, Output
from lexicell.embedding.run import run_sharded
from lexicell.errors import CorruptDataError
from lexicell.store import Layout, verify

ROWS = 32


@pytest.fixture
def atlas(cells, tmp_path):
    anndata.concat([cells, cells[::-1]], index_unique="-").write_h5ad(tmp_path / "cells.h5ad")
    return Inputs((str(tmp_path / "cells.h5ad"),))


def run(inputs, target, mode="new", listener=lambda event: None, **options):
    with inputs.open() as source:
        aligned = align_cells(source, AlignOptions())
        sink = Lines(Layout(source.n_cells, 1, "float32", ROWS, ROWS))
        maker = SelectLines(aligned.genes, aligned.values, source.label, source.var.index)
        with run_sharded(
            sink,
            maker,
            source,
            Output(target, mode=mode),
            inputs,
            {"of": "lines"},
            listener=listener,
            **options,
        ) as (store, resumed):
            store.finish(source.n_cells)
        expected = [
            f"{part.genes[a:b].tolist()} {part.weights[a:b].tolist()}"
            for part in aligned.selections(10)
            for a, b in zip(part.indptr[:-1], part.indptr[1:], strict=True)
        ]
    return resumed, expected


def lines(target):
    files = sorted((target / "lines").iterdir(), key=lambda file: int(file.stem))
    return [line for file in files for line in file.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"workers": 1}, {"workers": 3}, {"scheduler": "local", "workers": 2}])
def test_its_shards_are_made_by_threads_and_by_processes(atlas, tmp_path, options):
    target = tmp_path / "out.zarr"
    resumed, expected = run(atlas, target, **options)
    assert resumed == 0
    assert lines(target) == expected
    assert verify(str(target)).shards == 8


def test_it_goes_on_after_an_interrupt(atlas, tmp_path):
    def interrupt(event):
        if isinstance(event, Committed) and event.done == 3:
            raise KeyboardInterrupt

    target = tmp_path / "out.zarr"
    with pytest.raises(KeyboardInterrupt):
        run(atlas, target, listener=interrupt, workers=1)
    assert not target.exists()
    resumed, expected = run(atlas, target, mode="resume", workers=1)
    assert resumed == 3 * ROWS
    assert lines(target) == expected
    assert verify(str(target)).shards == 8


def test_damage_to_it_is_found(atlas, tmp_path):
    target = tmp_path / "out.zarr"
    run(atlas, target, workers=1)
    file = target / "lines" / "2.txt"
    file.write_bytes(file.read_bytes().replace(b"[", b"(", 1))
    with pytest.raises(CorruptDataError, match=r"lines/2\.txt \(changed\)"):
        verify(str(target))
