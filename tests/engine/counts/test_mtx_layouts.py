"""Matrices of the common tools are found and read under the names that each tool gives its files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import io, sparse
from tests.engine.counts.conftest import assemble, counts, same, write_mtx

from lexicell.counts import expand_inputs, fingerprint, open_counts
from lexicell.errors import CorruptDataError, InputError, InputNotFoundError

#: Names of genes of a matrix of v columns, as ids.
IDS = [f"ENSG{j:011d}" for j in range(37)]


def _lines(names: list[str]) -> str:
    return "".join(f"{name}\n" for name in names)


def _mtx(path: Path, matrix: Any, field: str) -> None:
    io.mmwrite(path, sparse.coo_matrix(matrix), field=field, symmetry="general")


def write_fry(matrix: Any, folder: Path, *, names: list[str] | None = None) -> Path:
    """What ``alevin-fry quant`` leaves: cells x genes in a folder of its own."""
    (folder / "alevin").mkdir(parents=True)
    (folder / "quant.json").write_text("{}")
    _mtx(folder / "alevin" / "quants_mat.mtx", matrix, "real")
    cells = [f"cell{i}" for i in range(matrix.shape[0])]
    (folder / "alevin" / "quants_mat_rows.txt").write_text(_lines(cells))
    (folder / "alevin" / "quants_mat_cols.txt").write_text(_lines(names or IDS[: matrix.shape[1]]))
    return folder


def write_kallisto(matrix: Any, folder: Path, *, symbols: bool = True, kind: str = "") -> Path:
    """What ``kb count`` leaves: cells x genes."""
    folder.mkdir(exist_ok=True)
    n, v = matrix.shape
    _mtx(folder / f"cells_x_genes{kind}.mtx", matrix, "real")
    (folder / "cells_x_genes.barcodes.txt").write_text(_lines([f"cell{i}" for i in range(n)]))
    (folder / "cells_x_genes.genes.txt").write_text(_lines(IDS[:v]))
    if symbols:
        named = [f"gene{j}" if j != 1 else "" for j in range(v)]
        (folder / "cells_x_genes.genes.names.txt").write_text(_lines(named))
    return folder


def write_parse(matrix: Any, folder: Path, name: str = "count_matrix") -> Path:
    """What Parse's split-pipe leaves: cells x genes."""
    folder.mkdir()
    n, v = matrix.shape
    _mtx(folder / f"{name}.mtx", matrix, "integer")
    cells = "".join(f"{i:02d}_01_{i:02d},sample{i % 2},{i}\n" for i in range(n))
    (folder / "cell_metadata.csv").write_text("bc_wells,sample,tscp_count\n" + cells)
    genes = "".join(f"{IDS[j]},gene{j},hg38\n" for j in range(v))
    (folder / "all_genes.csv").write_text("gene_id,gene_name,genome\n" + genes)
    return folder


def write_star(matrix: Any, folder: Path) -> Path:
    """What STARsolo leaves with ``--soloMultiMappers EM``: genes x cells, twice."""
    write_mtx(matrix, folder)
    _mtx(folder / "UniqueAndMult-EM.mtx", matrix.T * 0.5, "real")
    text = (folder / "UniqueAndMult-EM.mtx").read_text()
    (folder / "UniqueAndMult-EM.mtx").write_text(text.replace("coordinate real", "coordinate float", 1))
    return folder


def _gzipped(folder: Path) -> Path:
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return folder


TOOLS: dict[str, Callable[[Any, Path], Path]] = {
    "alevin-fry": write_fry,
    "alevin-fry-inner": lambda m, f: write_fry(m, f) / "alevin",
    "alevin-fry-file": lambda m, f: write_fry(m, f) / "alevin" / "quants_mat.mtx",
    "alevin-fry-gz": lambda m, f: _gzipped(write_fry(m, f)),
    "kallisto": write_kallisto,
    "kallisto-ids": lambda m, f: write_kallisto(m, f, symbols=False),
    "kallisto-gz": lambda m, f: _gzipped(write_kallisto(m, f)),
    "kallisto-mature": lambda m, f: write_kallisto(m, f, kind=".mature"),
    "kallisto-mature-file": lambda m, f: write_kallisto(m, f, kind=".mature") / "cells_x_genes.mature.mtx",
    "parse": write_parse,
    "parse-before-1.1": lambda m, f: write_parse(m, f, "DGE"),
    "parse-gz": lambda m, f: _gzipped(write_parse(m, f)),
    "starsolo": write_star,
    "starsolo-gz": lambda m, f: _gzipped(write_star(m, f)),
}


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_leaves_is_read_the_right_way_round(tool: str, square: bool, tmp_path: Path) -> None:
    matrix = counts(37, 37) if square else counts()
    path = TOOLS[tool](matrix, tmp_path / "out")
    with open_counts(path) as source:
        same(assemble(source), matrix)
        by_symbol = tool not in ("kallisto-ids",) and "fry" not in tool
        assert source.var.index[5] == ("gene5" if by_symbol else IDS[5])
        assert source.var["gene_ids"].iloc[5] == ("ENSG5" if "star" in tool else IDS[5])
        assert source.names(2, 3)[0] == ("02_01_02" if "parse" in tool else "cell2")
        assert source.notes == ()
    assert expand_inputs([path]) == [str(path)]
    assert fingerprint(path).files == (4 if tool.startswith("kallisto") and "ids" not in tool else 3)


def test_a_gene_without_a_symbol_is_called_by_its_id(tmp_path: Path) -> None:
    with open_counts(write_kallisto(counts(), tmp_path / "k")) as source:
        assert source.var.index[:3].tolist() == ["gene0", IDS[1], "gene2"]


def test_the_cells_of_parse_keep_what_is_known_of_them(tmp_path: Path) -> None:
    with open_counts(write_parse(counts(), tmp_path / "p")) as source:
        table = source.read_obs(["sample", "tscp_count"], 1, 3)
        assert table["sample"].tolist() == ["sample1", "sample0"]
        assert table["tscp_count"].tolist() == [1, 2]
        assert source.var["genome"].tolist() == ["hg38"] * 37


def test_what_alevin_fry_counted_by_splicing_is_summed_and_told(tmp_path: Path) -> None:
    parts = [counts(61, 12, seed=seed) for seed in range(3)]
    names = [*IDS[:12], *(f"{gene}-U" for gene in IDS[:12]), *(f"{gene}-A" for gene in IDS[:12])]
    folder = write_fry(sparse.hstack(parts).tocsr(), tmp_path / "fry", names=names)
    with open_counts(folder) as source:
        assert source.var.index.tolist() == IDS[:12]
        same(assemble(source), sum(parts))
        (note,) = source.notes
        assert "unspliced" in note
    text = (folder / "alevin" / "quants_mat.mtx").read_text()
    for bad in ("37 1 2", "0 1 2"):  # a column outside stays one
        _, size, *_ = [line for line in text.splitlines() if not line.startswith("%%")]
        entries = text.replace(size, f"61 36 {int(size.split()[-1]) + 1}") + f"1 {bad.split()[0]} 2\n"
        (folder / "alevin" / "quants_mat.mtx").write_text(entries)
        with open_counts(folder) as source, pytest.raises(CorruptDataError, match="outside 0:12"):
            assemble(source)


def test_names_that_only_end_like_alevin_frys_stay_columns(tmp_path: Path) -> None:
    names = ["a", "b", "a-U", "b-U", "a-A", "c-A"]
    with open_counts(write_fry(counts(9, 6), tmp_path / "fry", names=names)) as source:
        assert source.var.index.tolist() == names


def test_starsolos_other_matrix_is_read_by_its_path_with_the_same_tables(tmp_path: Path) -> None:
    for folder in (write_star(counts(), tmp_path / "s"), _gzipped(write_star(counts(), tmp_path / "g"))):
        (path,) = folder.glob("UniqueAndMult-EM*")
        with open_counts(path) as source:
            same(assemble(source), counts() * 0.5)
            assert source.var.index[5] == "gene5"


def test_kinds_of_counts_beside_each_other_are_listed(tmp_path: Path) -> None:
    for kind in (".mature", ".nascent", ".ambiguous"):
        write_kallisto(counts(), tmp_path / "k", kind=kind)
    with pytest.raises(InputError, match=r"cells_x_genes\.ambiguous\.mtx, cells_x_genes\.mature\.mtx"):
        open_counts(tmp_path / "k")
    with open_counts(tmp_path / "k" / "cells_x_genes.nascent.mtx") as source:
        same(assemble(source), counts())
    write_kallisto(counts() * 2, tmp_path / "k")
    with open_counts(tmp_path / "k") as source:  # all counts, whatever their kind
        same(assemble(source), counts() * 2)


@pytest.mark.parametrize(
    ("tool", "table"),
    [
        ("alevin-fry", "alevin/quants_mat_rows.txt"),
        ("alevin-fry", "alevin/quants_mat_cols.txt"),
        ("kallisto", "cells_x_genes.barcodes.txt"),
        ("kallisto", "cells_x_genes.genes.txt"),
        ("parse", "cell_metadata.csv"),
        ("parse", "all_genes.csv"),
        ("starsolo", "barcodes.tsv"),
        ("starsolo", "features.tsv"),
    ],
)
def test_tables_that_are_missing_or_of_another_length_are_named(
    tool: str, table: str, tmp_path: Path
) -> None:
    folder = TOOLS[tool](counts(), tmp_path / "out")
    text = (folder / table).read_text()
    (folder / table).write_text(text + text.splitlines()[-1] + "x\n")
    with pytest.raises(CorruptDataError, match=r"61 x 37|37 x 61|has 37 lines for 38") as caught:
        open_counts(folder)
    assert str(folder) in str(caught.value)
    (folder / table).unlink()
    with pytest.raises(InputNotFoundError, match=table.rpartition("/")[2]):
        open_counts(folder)


@pytest.mark.parametrize("hidden", ["._matrix.mtx", "._other_matrix.mtx.gz", ".matrix.mtx"])
def test_hidden_files_are_no_matrices(hidden: str, tmp_path: Path) -> None:
    folder = write_mtx(counts(), tmp_path / "m")
    (folder / hidden).write_bytes(b"\0\5\26\7")
    with open_counts(folder) as source:
        same(assemble(source), counts())
    for path in folder.glob("[!.]*"):
        path.unlink()
    with pytest.raises(InputError, match="neither a Zarr"):
        open_counts(folder)


@pytest.mark.parametrize("field", ["integer", "real", "float"])
def test_values_are_read_whatever_their_word_in_the_header(field: str, tmp_path: Path) -> None:
    folder = write_mtx(counts(), tmp_path / "m")
    text = (folder / "matrix.mtx").read_text()
    (folder / "matrix.mtx").write_text(text.replace("integer", field, 1))
    with open_counts(folder) as source:
        same(assemble(source), counts())
        assert source.read(0, 3).data.dtype.kind == ("i" if field == "integer" else "f")


def test_tables_under_the_name_of_the_matrix_go_before_those_of_the_folder(tmp_path: Path) -> None:
    folder = write_mtx(counts(), tmp_path / "m", prefix="GSM1_")
    for name in ("barcodes", "features"):
        (folder / f"{name}.tsv").write_text("of another matrix\n")
    before = fingerprint(folder)
    with open_counts(folder) as source:
        same(assemble(source), counts())
    (folder / "barcodes.tsv").write_text("changed\n")
    assert fingerprint(folder) == before
    assert np.array_equal(before.files, 3)
