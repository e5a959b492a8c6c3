"""What cells have told of genes is kept whole, found again by genes, and known by its cells."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexicell.errors import CorruptDataError, InputError, InputNotFoundError, OutputExistsError
from lexicell.lexicon import AtlasCells, GeneAtlas, cell_hashes, gene_scales, open_gene_atlas, subset_lexicon


def hashes(first, n):
    return cell_hashes([f"cell {i}" for i in range(first, first + n)], 100.0 + np.arange(first, first + n))


@pytest.fixture(scope="module")
def atlas(few):
    """Loadings of two data sets, of 300 cells and of 30,000, on three components and on two."""
    rng = np.random.default_rng(0)
    loadings, foretold, words = (rng.standard_normal((few.n_genes, n)).astype(np.float32) for n in (5, 5, 4))
    loadings[::2, :3] = 0
    scale = rng.uniform(0.05, 4, few.n_genes).astype(np.float32)
    data = (
        AtlasCells.of("one", 300, few.n_genes // 2, (0, 3), hashes(0, 300)),
        AtlasCells.of("two", 20_000, few.n_genes, (3, 5), hashes(10**6, 30_000)),
    )
    detected = rng.uniform(0, 1, (few.n_genes, 2)).astype(np.float32)
    return GeneAtlas(loadings, foretold, words, detected, scale, data, {"lexicon": few.name, "seed": 7})


@pytest.fixture
def saved(atlas, few, tmp_path):
    return atlas.save(tmp_path / "atlas.parquet", few)


def _as_saved(atlas, name):
    part = getattr(atlas, name)
    if name == "detected":
        return part.astype(np.float16).astype(np.float32)
    unit = (np.abs(part).max(axis=1, keepdims=True) / np.float32(127)).astype(np.float32)
    return np.rint(part / unit).astype(np.float32) * unit


def test_a_saved_atlas_comes_back(atlas, few, saved):
    again = open_gene_atlas(few, saved)
    for name in ("loadings", "foretold", "words", "detected"):
        part = getattr(again, name)
        assert part.dtype == np.float32
        np.testing.assert_array_equal(part, _as_saved(atlas, name))
        largest = np.abs(getattr(atlas, name)).max(axis=1, keepdims=True)
        assert (np.abs(part - getattr(atlas, name)) <= largest / 250).all()
    np.testing.assert_array_equal(again.scale, atlas.scale)
    assert again.card == atlas.card
    for one, other in zip(atlas.data, again.data, strict=True):
        for field in fields(AtlasCells):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))
    with pytest.raises(OutputExistsError, match="exists"):
        atlas.save(saved, few)
    empty = atlas.apart_from(hashes(0, 300)).apart_from(hashes(10**6, 300))
    assert (empty.loadings.shape, empty.foretold.shape) == ((few.n_genes, 0),) * 2
    with pytest.raises(InputError, match="of no data set"):
        empty.save(saved, few, overwrite=True)


@pytest.mark.parametrize(
    ("first", "n", "kept"),
    [
        (0, 300, ["two"]),  # all cells
        (10, 20, ["two"]),  # some of them
        (290, 150, ["two"]),  # 6 % are its
        (295, 150, ["one", "two"]),  # 3 % are: names of a few recur
        (10**6, 30_000, ["one"]),
        (10**6 + 12_000, 9_000, ["one"]),  # of a data set that only the lowest 1,000 hashes are kept of
        (5_000, 9_000, ["one", "two"]),
        (0, 0, ["one", "two"]),
    ],
)
def test_a_data_set_that_shares_cells_is_left_out_and_no_other(atlas, first, n, kept):
    apart = atlas.apart_from(hashes(first, n))
    assert [cells.name for cells in apart.data] == kept
    columns = np.r_[[0, 1, 2] if "one" in kept else [], [3, 4] if "two" in kept else []].astype(int)
    np.testing.assert_array_equal(apart.loadings, atlas.loadings[:, columns])
    np.testing.assert_array_equal(apart.foretold, atlas.foretold[:, columns])
    np.testing.assert_array_equal(apart.words, atlas.words)
    for cells in apart.data:  # its columns have moved with it
        old = next(of for of in atlas.data if of.name == cells.name)
        np.testing.assert_array_equal(
            apart.loadings[:, slice(*cells.columns)], atlas.loadings[:, slice(*old.columns)]
        )
    assert [cells.name for cells in apart.apart_from(hashes(0, 300)).data] == [n for n in kept if n != "one"]


def test_renamed_cells_of_an_experiment_are_known_by_how_often_genes_are_seen(atlas):
    rng = np.random.default_rng(0)
    rates = rng.uniform(0.05, 0.9, len(atlas.words)).astype(np.float32)
    seen = replace(atlas, detected=np.stack([rates, rates[::-1]], axis=1))
    strangers = np.arange(10**9, 10**9 + 400, dtype=np.uint64)
    drawn = rng.binomial(400, rates) / 400
    assert [cells.name for cells in seen.apart_from(strangers, drawn).data] == [
        cells.name for cells in atlas.data[1:]
    ]
    other = rng.binomial(400, np.clip(rates + rng.normal(0, 0.2, len(rates)), 0, 1)) / 400
    assert len(seen.apart_from(strangers, other).data) == len(atlas.data)


def test_a_cell_is_its_name_and_its_counts_in_any_type_and_order():
    names = np.array(["a", "b", "c"], object)
    known = cell_hashes(names, np.array([5, 7, 0.1]))
    np.testing.assert_array_equal(cell_hashes(list("abc"), np.array([5, 7, 0.1], np.float32)), known)
    np.testing.assert_array_equal(cell_hashes(names[::-1], np.array([0.1, 7, 5])), known[::-1])
    assert len({*known, *cell_hashes(names, np.array([7, 5, 1]))}) == 6


def test_genes_are_found_by_number_or_symbol_and_others_are_unknown(atlas, few, saved):
    symbols, numbers = (few.genes.column(name).to_pylist() for name in ("symbol", "ncbi_id"))
    at = {name: symbols.index(name) for name in ("CD3E", "INS")}
    genes = pa.table({"ncbi_id": [None, numbers[at["INS"]], -5], "symbol": ["Cd3e", "Other", "NO-GENE"]})
    other = SimpleNamespace(name="other", read_genes=genes.select)
    found = open_gene_atlas(other, saved)
    np.testing.assert_array_equal(found.words[:2], _as_saved(atlas, "words")[[at["CD3E"], at["INS"]]])
    for part in (found.loadings, found.foretold, found.words):
        assert part.shape[0] == 3
        assert not part[2].any()
    expected = [atlas.scale[at["CD3E"]], atlas.scale[at["INS"]], np.median(atlas.scale)]
    np.testing.assert_array_equal(found.scale, np.array(expected, np.float32))
    none = SimpleNamespace(name="made-up", read_genes=genes.slice(2).select)
    with pytest.raises(InputError, match=r"atlas\.parquet"):
        open_gene_atlas(none, saved)


def test_the_bundled_one_says_what_it_learned_from_and_fits_any_lexicon(bundled, few, tmp_path):
    atlas = open_gene_atlas(bundled)
    assert [cells.columns for cells in atlas.data] == [(0, 50), (50, 100)]
    assert len(atlas.loadings) == len(atlas.foretold) == len(atlas.words) == bundled.n_genes
    symbols = bundled.genes.column("symbol").to_pylist()
    part = open_gene_atlas(subset_lexicon("human-go-minilm", tmp_path / "two", genes=["INS", "CD3E"]))
    rows = sorted(symbols.index(name) for name in ("INS", "CD3E"))
    np.testing.assert_array_equal(part.loadings, atlas.loadings[rows])
    np.testing.assert_array_equal(gene_scales(few), open_gene_atlas(few).scale)


def test_any_flipped_bit_is_one_sentence(atlas, few, saved):
    whole = saved.read_bytes()
    rng = np.random.default_rng(0)
    places = [*rng.choice(len(whole), 40), *rng.choice(np.arange(len(whole) - 30_000, len(whole)), 40)]
    noticed = 0
    for at in places:
        changed = bytearray(whole)
        changed[at] ^= 1 << rng.integers(8)
        saved.write_bytes(changed)
        try:
            again = open_gene_atlas(few, saved)
        except (CorruptDataError, InputError) as error:
            assert str(saved) in str(error)  # noqa: PT017 -- or nothing that is read was changed
            noticed += 1
        else:
            np.testing.assert_array_equal(again.loadings, _as_saved(atlas, "loadings"))
            assert again.card == atlas.card
    assert noticed > len(places) / 2


def test_what_is_no_atlas_is_said_to_be_none(few, saved, tmp_path):
    with pytest.raises(InputNotFoundError, match=r"nothing\.parquet"):
        open_gene_atlas(few, tmp_path / "nothing.parquet")
    with pytest.raises(InputNotFoundError, match="no such gene atlas"):
        open_gene_atlas(few, tmp_path)
    table = pq.read_table(saved)
    pq.write_table(table.replace_schema_metadata(None), tmp_path / "table.parquet")
    (tmp_path / "text.parquet").write_text("gene,loading\nCD3E,1\n")
    (tmp_path / "empty.parquet").write_bytes(b"")
    for name in ("table", "text", "empty"):
        with pytest.raises(InputError, match=rf"{name}\.parquet.*`lexicell.*learn`"):
            open_gene_atlas(few, tmp_path / f"{name}.parquet")
    whole = saved.read_bytes()
    saved.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((InputError, CorruptDataError), match=r"atlas\.parquet"):
        open_gene_atlas(few, saved)


def _described(saved, change):
    table = pq.read_table(saved)
    described = json.loads(table.schema.metadata[b"lexicell"])
    change(described)
    pq.write_table(table.replace_schema_metadata({b"lexicell": json.dumps(described).encode()}), saved)


def test_a_newer_file_asks_for_an_upgrade_and_a_changed_one_is_noticed(few, saved):
    _described(saved, lambda described: described.update(format_version=3, more={}))
    with pytest.raises(InputError, match="upgrade"):
        open_gene_atlas(few, saved)
    _described(saved, lambda described: described.update(format_version=2, more={}))
    with pytest.raises(CorruptDataError, match="was changed"):
        open_gene_atlas(few, saved)
    _described(saved, lambda described: described.update(format_version="x"))
    with pytest.raises(CorruptDataError, match=r"atlas\.parquet"):
        open_gene_atlas(few, saved)


@pytest.mark.parametrize("part", ["loadings", "foretold", "words", "detected", "scale"])
def test_numbers_that_are_not_finite_are_not_written(atlas, few, tmp_path, part):
    spoiled = getattr(atlas, part).copy()
    spoiled.flat[3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        replace(atlas, **{part: spoiled}).save(tmp_path / "spoiled.parquet", few)
    assert not list(tmp_path.glob("spoiled*"))
