"""Vectors of other tools, in the layouts that these write, find their cells by id, whatever the order."""

from __future__ import annotations

import json

import anndata as ad
import blake3
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

import lexicell
from lexicell.embedding import Note
from lexicell.embedding.events import ignore
from lexicell.errors import CorruptDataError, InputError, OutputExistsError
from lexicell.store import verify

N, D = 40, 6
NAMES = np.array([f"zellé-{i}" for i in range(N)], object)
#: Rows of the file: other cells in another order, and one that the data do not have.
ROWS = np.random.default_rng(3).permutation(N)[:35]
IDS = [*NAMES[ROWS], "细胞"]


@pytest.fixture
def data(tmp_path):
    x = sp.csr_matrix(np.ones((N, 3), np.float32))
    path = tmp_path / "cells.h5ad"
    ad.AnnData(x, pd.DataFrame(index=NAMES), pd.DataFrame(index=["A", "B", "C"])).write_h5ad(path)
    return path


@pytest.fixture
def vectors():
    """Of all cells; the file has those of `ROWS`, a broken one among them, and one more."""
    return np.random.default_rng(4).standard_normal((N, D)).astype(np.float32)


@pytest.fixture
def written(vectors):
    return np.vstack([vectors[ROWS], np.ones((1, D), np.float32)])


def wrong_at(rows, at, value=np.nan):
    rows = rows.copy()
    rows[at, 2] = value
    return rows


def in_obsm(key, rows, ids=IDS):
    adata = ad.AnnData(obs=pd.DataFrame({"kind": "a"}, index=ids))
    adata.obsm[key] = rows
    return adata


def write(layout, folder, rows, ids=IDS):
    """The file as the tool writes it; returns what to call with."""
    path = folder / layout
    if layout == "geneformer":  # pandas' own index is the number of the row
        table = pd.DataFrame(rows, columns=[str(i) for i in range(rows.shape[1])])
        table.assign(cell_id=ids, length=7).to_csv(path)
        return path, {}
    if layout == "csv":
        pd.DataFrame(rows, columns=[f"dim_{i + 1}" for i in range(D)]).assign(name=ids).to_csv(
            path, index=False
        )
        return path, {"key": "name"}
    if layout == "npy":
        np.save(folder / "v.npy", rows.astype(np.float64))
        (folder / "ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
        return folder / "v.npy", {"ids": folder / "ids.txt"}
    if layout == "parquet":
        lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), D)
        pq.write_table(pa.table({"embedding": lists, "cell_id": ids, "n": range(len(ids))}), path)
        return path, {}
    if layout == "scimilarity":
        in_obsm("X_any", rows, ids).write_zarr(path)
        return path, {"key": "X_any"}
    key = {"scgpt": "X_scGPT", "uce": "X_uce", "state": "X_state", "transcriptformer": "embeddings"}[layout]
    adata = in_obsm(key, rows, ids)
    adata.obsm["other"] = np.zeros((len(ids), 1))
    adata.write_h5ad(path)
    return path, {}


LAYOUTS = ("geneformer", "scgpt", "uce", "state", "transcriptformer", "scimilarity", "npy", "parquet", "csv")


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_vector_finds_its_cell(layout, data, vectors, written, tmp_path):
    path, options = write(layout, tmp_path, wrong_at(written, 5))
    notes = []
    done = lexicell.import_embedding(
        path, tmp_path / "out.zarr", kind=layout, data=data, listener=notes.append, **options
    )
    assert (done.cells, done.dim, done.vectors) == (N, D, 34)
    assert (done.missing, done.extra, done.unusable) == (5, 1, 1)
    store = lexicell.open_embedding(tmp_path / "out.zarr")
    assert list(store.obs_names) == list(NAMES)
    expected = np.zeros((N, D), np.float32)
    there = np.delete(ROWS, 5)
    expected[there] = vectors[there]
    np.testing.assert_array_equal(store.obsm["X_lexicell"], expected)
    has = np.isin(np.arange(N), there)
    np.testing.assert_array_equal(store.obs["lexicell_n_genes"], np.where(has, -1, 0))
    np.testing.assert_array_equal(np.isnan(store.obs["lexicell_coverage"]), has)
    said = " ".join(event.text for event in notes if isinstance(event, Note))
    assert "5 cells have no vector" in said
    assert f"1 vectors have no cell in {data} (细胞)" in said
    assert f"1 rows are no vectors, with NaN, infinite or only zeros ({NAMES[ROWS[5]]})" in said
    assert not verify(tmp_path / "out.zarr").problems


def test_the_run_card_has_the_hash_of_each_file(data, written, tmp_path):
    first, second = (write(kind, tmp_path, rows, ids)[0] for kind, rows, ids in (
        ("state", written[:20], IDS[:20]), ("uce", written[20:], IDS[20:]),
    ))  # fmt: skip
    done = lexicell.import_embedding([first], tmp_path / "one.zarr", kind="state", data=data, listener=ignore)
    assert (done.vectors, done.missing) == (20, 20)
    both = [first, tmp_path / "more.h5ad"]
    in_obsm("X_state", written[20:], IDS[20:]).write_h5ad(both[1])
    lexicell.import_embedding(both, tmp_path / "out.zarr", kind="state", data=data, listener=ignore)
    card = lexicell.open_embedding(tmp_path / "out.zarr").uns["lexicell"]["imported"]
    assert list(card["blake3"]) == [blake3.blake3(path.read_bytes()).hexdigest() for path in both]
    assert list(card["files"]) == ["state", "more.h5ad"]
    assert (card["from"], card["joined_by"], card["missing"], card["extra"]) == ("state", "cell_id", 5, 1)
    assert second.exists()


def test_without_cells_the_rows_are_those_of_the_file(written, tmp_path):
    path, _ = write("uce", tmp_path, written)
    done = lexicell.import_embedding(path, tmp_path / "out.zarr", kind="uce", listener=ignore)
    assert (done.vectors, done.missing, done.extra) == (36, 0, 0)
    store = lexicell.open_embedding(tmp_path / "out.zarr")
    assert list(store.obs_names) == IDS
    np.testing.assert_array_equal(store.obsm["X_lexicell"], written)


def test_many_shards_and_any_order_give_the_same_bytes(tmp_path):
    n = 10_000
    rng = np.random.default_rng(0)
    names, rows = (
        np.array([f"c{i}" for i in range(n)], object),
        rng.standard_normal((n, 3)).astype(np.float32),
    )
    cells = ad.AnnData(sp.csr_matrix((n, 1), dtype=np.float32), pd.DataFrame(index=names))
    stores = []
    for name, order in (("a", np.arange(n)), ("b", rng.permutation(n))):
        np.save(tmp_path / "v.npy", rows[order])
        np.save(tmp_path / "ids.npy", names[order].astype(str))
        lexicell.import_embedding(
            tmp_path / "v.npy", tmp_path / f"{name}.zarr", kind="npy", data=cells, ids=tmp_path / "ids.npy",
            listener=ignore,
        )  # fmt: skip
        stores.append(lexicell.open_embedding(tmp_path / f"{name}.zarr"))
    np.testing.assert_array_equal(stores[0].obsm["X_lexicell"], rows)
    np.testing.assert_array_equal(stores[1].obsm["X_lexicell"], rows)
    assert len(list((tmp_path / "a.zarr/obsm/X_lexicell/c").iterdir())) == 3


def test_our_own_export_comes_back(cells, tmp_path):
    lexicell.export("vectors", cells, tmp_path / "vectors", listener=ignore)
    lexicell.tl.embed(cells)
    lexicell.import_embedding(
        tmp_path / "vectors", tmp_path / "out.zarr", kind="parquet", data=cells[::-1], listener=ignore
    )
    back = lexicell.open_embedding(tmp_path / "out.zarr").obsm["X_lexicell"]
    np.testing.assert_array_equal(back, cells.obsm["X_lexicell"][::-1])


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_what_is_not_finite_is_no_vector(value, data, written, tmp_path):
    path, options = write("npy", tmp_path, wrong_at(written.astype(np.float64), 0, value))
    done = lexicell.import_embedding(
        path, tmp_path / "out.zarr", kind="npy", data=data, listener=ignore, **options
    )
    assert done.unusable == 1


def test_zeros_and_missing_lists_are_no_vectors(data, written, tmp_path):
    lists = [None if i == 1 else [0.0] * D if i == 2 else row.tolist() for i, row in enumerate(written)]
    table = pa.table({"cell_id": IDS, "v": pa.array(lists, pa.list_(pa.float32()))})
    pq.write_table(table, tmp_path / "v.parquet")
    done = lexicell.import_embedding(
        tmp_path / "v.parquet", tmp_path / "out.zarr", kind="parquet", data=data, listener=ignore
    )
    assert (done.unusable, done.vectors) == (2, 33)


def test_by_position_only_where_a_person_says_so_and_the_number_is_right(data, vectors, tmp_path):
    out = tmp_path / "out.zarr"
    np.save(tmp_path / "v.npy", vectors)
    np.save(tmp_path / "short.npy", vectors[1:])

    def run(name, **options):
        return lexicell.import_embedding(
            tmp_path / name, out, kind="npy", data=data, listener=ignore, **options
        )

    with pytest.raises(InputError, match=r"has no ids"):
        run("v.npy")
    with pytest.raises(InputError, match=r"has 39 rows and .* 40 cells"):
        run("short.npy", by_position=True)
    assert not out.exists()
    assert run("v.npy", by_position=True).vectors == N
    np.testing.assert_array_equal(lexicell.open_embedding(out).obsm["X_lexicell"], vectors)


def tokenised(folder, lengths, names=NAMES):
    """What `lexicell export geneformer` writes, as far as it is read."""
    folder.mkdir()
    table = pa.table({"cell_id": pa.array(names, pa.string()), "length": pa.array(lengths, pa.int64())})
    with pa.ipc.new_stream(str(folder / "data.arrow"), table.schema) as stream:
        stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    return folder


def test_an_order_by_length_is_taken_back_where_it_is_certain(vectors, tmp_path):
    lengths = np.random.default_rng(1).permutation(N) + 10
    pd.DataFrame(vectors[np.argsort(-lengths)], columns=range(D)).to_csv(tmp_path / "g.csv")
    out = tmp_path / "out.zarr"

    def run(folder, **options):
        return lexicell.import_embedding(
            tmp_path / "g.csv", out, kind="geneformer", data=folder, listener=ignore, **options
        )

    folder = tokenised(tmp_path / "tokens", lengths)
    with pytest.raises(InputError, match=r'cell_id.*emb_label=\["cell_id"\]'):
        run(folder)
    lengths[3] = lengths[4]
    with pytest.raises(InputError, match=r'1.*emb_label=\["cell_id"\]'):
        run(tokenised(tmp_path / "tied", lengths), order_by="length")
    with pytest.raises(InputError, match=r"40.*39.*EmbExtractor"):
        run(tokenised(tmp_path / "short", np.arange(39), NAMES[1:]), order_by="length")
    with pytest.raises(InputError, match="not in their order"):
        run(folder, by_position=True)
    assert not out.exists()
    run(folder, order_by="length")
    store = lexicell.open_embedding(out)
    assert list(store.obs_names) == list(NAMES)
    np.testing.assert_allclose(store.obsm["X_lexicell"], vectors, rtol=1e-6)
    assert store.uns["lexicell"]["imported"]["joined_by"] == "length"


def saved(folder, rows):
    np.save(folder / "v.npy", rows)
    return folder / "v.npy"


def stored(folder, rows, ids=IDS, key="X_uce"):
    in_obsm(key, rows, ids).write_h5ad(folder / "more.h5ad")
    return folder / "more.h5ad"


def typed(folder, text):
    (folder / "v.csv").write_text(text)
    return folder / "v.csv"


def listed(folder, lists):
    pq.write_table(pa.table({"cell_id": ["zellé-0", "b"], "v": lists}), folder / "v.parquet")
    return folder / "v.parquet"


def cut(path):
    path.write_bytes(path.read_bytes()[:3000])
    return path


#: What is wrong, what makes such a file and options, and what is said.
WRONG = {
    "twice in a file": (
        lambda t, w: (write("csv", t, w, [*IDS[:-1], IDS[0]])[0], {"kind": "csv", "key": "name"}),
        f"the id '{IDS[0]}' occurs more than once",
    ),
    "twice in two files": (
        lambda t, w: ([write("uce", t, w)[0], stored(t, w)], {}),
        f"the id '{IDS[0]}' occurs more than once",
    ),
    "twice in the cells": (
        lambda t, w: (stored(t, w), {"data": NAMES_TWICE}),
        "AnnData: the id 'a' occurs more than once",
    ),
    "no id": (
        lambda t, w: (write("csv", t, w, ["", *IDS[1:]])[0], {"kind": "csv", "key": "name"}),
        "cell 0 has no id",
    ),
    "other ids": (
        lambda t, w: (stored(t, w, [f"o{i}" for i in range(36)]), {}),
        r"no id of .*\('o0', 'o1', 'o2', \.\.\.\) is one of .*\('zellé-0', 'zellé-1', 'zellé-2', \.\.\.\)",
    ),
    "other key": (
        lambda t, w: (write("uce", t, w)[0], {"kind": "scgpt"}),
        r"has no key 'X_scGPT' \(--key\); it has X_uce, other",
    ),
    "which key": (
        lambda t, w: (write("uce", t, w)[0], {"kind": "scimilarity"}),
        r"say which key of obsm to read \(--key\); it has X_uce, other",
    ),
    "ids and positions": (lambda t, w: (stored(t, w), {"by_position": True}), "leave --by-position out"),
    "few ids": (
        lambda t, w: (saved(t, w), {"kind": "npy", "ids": typed(t, "a\nb\n")}),
        "has 36 rows, and there are 2 ids",
    ),
    "ids of what has some": (
        lambda t, w: (stored(t, w), {"ids": typed(t, "a\nb\n")}),
        r"a file of ids is for an \.npy",
    ),
    "two lengths": (
        lambda t, w: ([write("uce", t, w)[0], stored(t, w[:, 1:], [f"o{i}" for i in range(36)])], {}),
        "vectors have 5 and 6 numbers",
    ),
    "lists of two lengths": (
        lambda t, w: (listed(t, [[1.0, 2.0], [3.0]]), {"kind": "parquet"}),
        "has vectors of different lengths",
    ),
    "sparse": (lambda t, w: (stored(t, sp.csr_matrix(w)), {}), "is no dense matrix"),
    "who": (lambda t, w: (stored(t, w), {"kind": "nope"}), "vectors are from geneformer, .* not 'nope'"),
    "no columns": (
        lambda t, w: (typed(t, "cell_id,a\nzellé-0,1\n"), {"kind": "csv"}),
        "no columns that are called 0, 1, 2",
    ),
    "no numbers": (lambda t, w: (typed(t, "cell_id,0\nzellé-0,x\n"), {"kind": "csv"}), "cannot be read"),
    "objects": (lambda t, w: (saved(t, np.array([[None]])), {"kind": "npy"}), r"is no \.npy of numbers"),
    "no vectors": (lambda t, w: (saved(t, w[0]), {"kind": "npy"}), r"holds float32 \[6\], and no vectors"),
    "nothing": (lambda t, w: (t / "nowhere.h5ad", {}), r"nowhere\.h5ad: no such file"),
    "damaged": (lambda t, w: (cut(stored(t, w)), {}), "truncated or damaged"),
}  # fmt: skip
NAMES_TWICE = ad.AnnData(np.ones((2, 1), np.float32))
NAMES_TWICE.obs_names = ["a", "a"]


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_joined_is_one_sentence(what, data, written, tmp_path):
    made, says = WRONG[what]
    files, options = made(tmp_path, written)
    with pytest.raises((InputError, CorruptDataError), match=says) as raised:
        lexicell.import_embedding(
            files, tmp_path / "out.zarr", **{"kind": "uce", "data": data, "listener": ignore, **options}
        )
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("*out.zarr*"))


def test_nothing_is_replaced_unasked_and_never_an_input(data, written, tmp_path):
    path, _ = write("uce", tmp_path, written)
    out = tmp_path / "out.zarr"
    lexicell.import_embedding(path, out, kind="uce", data=data, listener=ignore)
    with pytest.raises(OutputExistsError):
        lexicell.import_embedding(path, out, kind="uce", data=data, listener=ignore)
    lexicell.import_embedding(path, out, kind="uce", overwrite=True, listener=ignore)
    assert lexicell.open_embedding(out).n_obs == 36
    with pytest.raises(InputError, match="is the input"):
        lexicell.import_embedding(out, out, kind="uce", key="X_lexicell", overwrite=True, listener=ignore)
    with pytest.raises(InputError, match=r"\.zarr"):
        lexicell.import_embedding(path, tmp_path / "out.h5ad", kind="uce", listener=ignore)


def test_an_import_is_searched_by_a_cell_and_not_by_a_sentence(written, tmp_path):
    path, _ = write("uce", tmp_path, written)
    lexicell.import_embedding(path, tmp_path / "out.zarr", kind="uce", listener=ignore)
    found = lexicell.search(tmp_path / "out.zarr", like=IDS[0], listener=ignore)
    assert found.scores.iloc[0, 0] == pytest.approx(1, abs=1e-5)
    with pytest.raises(InputError, match="another model"):
        lexicell.search(tmp_path / "out.zarr", genes=["INS"], listener=ignore)
