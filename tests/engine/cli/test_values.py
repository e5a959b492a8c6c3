"""What the numbers of a matrix are taken for is the same for every verb."""

from __future__ import annotations

import typing

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

import lexicell
from lexicell.cli._options import ValuesOption
from lexicell.counts import Values
from lexicell.errors import CountsError

VERBS = {
    "embed": ["embed", "DATA", "OUT.zarr"],
    "embed to h5ad": ["embed", "DATA", "OUT.h5ad"],
    "align": ["genes", "align", "DATA"],
    "train": ["train", "DATA", "OUT", "--label", "type", "--n-top-genes", "200"],
    "annotate": ["annotate", "DATA", "--reference", "GOOD", "--label", "type"],
    "evaluate": [
        "evaluate",
        "DATA",
        "--label",
        "type",
        "--scenario",
        "few-shot",
        "--n",
        "2",
        "--draws",
        "1",
        "--methods",
        "paper",
    ],
}


@pytest.fixture
def run(lexicell, tmp_path, cells):
    """Run a verb on the cells, of which `change` made another matrix; return how it ended."""
    cells.obs["type"] = np.where(cells.obs["bulk_labels"].str.startswith("CD"), "CD", "other")
    cells.X = sp.csr_matrix(cells.X)
    cells.write_h5ad(tmp_path / "good.h5ad")

    def call(verb, data, *options):
        data.write_h5ad(tmp_path / "data.h5ad")
        places = {"DATA": tmp_path / "data.h5ad", "GOOD": tmp_path / "good.h5ad"}
        places |= {f"OUT{end}": tmp_path / f"out{end}" for end in ("", ".zarr", ".h5ad")}
        return lexicell(*(places.get(word, word) for word in VERBS[verb]), *options)

    return call


def scaled(cells):
    dense = cells.X.toarray()
    return (dense - dense.mean(0)) / (dense.std(0) + 1)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("holds", ["nothing", "raw", "layer"])
def test_scaled_values_are_refused_by_every_verb_with_the_way_out(run, cells, verb, holds):
    if holds == "raw":
        cells.raw = cells.copy()
    elif holds == "layer":
        cells.layers["umi counts"] = cells.X.copy()
    cells.X = scaled(cells)
    ended = run(verb, cells)
    assert ended.code == 2
    assert all(part in ended.complaint for part in (repr(cells.obs_names[0]), "for gene", "not negative"))
    assert ("--use-raw (whole numbers)" in ended.complaint) == (holds == "raw")
    assert ("--layer 'umi counts' (whole numbers)" in ended.complaint) == (holds == "layer")
    if holds == "raw" and verb in ("embed", "align"):
        assert run(verb, cells, "--use-raw").code == 0


def test_embed_align_and_tl_embed_say_the_same_of_scaled_values(run, cells, tmp_path):
    values = np.array([[3, -1, 2, -2], [4, -3, 1, -1]], np.float32)
    small = anndata.AnnData(values, var={"x": [0] * 4})
    small.var_names = ["CD3E", "x1", "LYZ", "x2"]
    small.raw = anndata.AnnData(np.abs(values).clip(0), var=small.var)
    said = {run(verb, small).complaint for verb in ("embed", "embed to h5ad", "align")}
    assert len(said) == 1
    with pytest.raises(CountsError) as caught:
        lexicell.tl.embed(small)
    assert str(caught.value).removeprefix("AnnData") in said.pop()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("value", [-2.0, np.nan, np.inf])
def test_a_value_beyond_the_sample_is_named_by_every_verb(run, cells, verb, value, monkeypatch):
    monkeypatch.setattr("lexicell.counts.values.SAMPLE_CELLS", 6)
    dense = cells.X.toarray()
    dense[77, 5] = value
    cells.X = sp.csr_matrix(dense)
    ended = run(verb, cells)
    assert ended.code == 2
    assert (
        f"cell {cells.obs_names[77]!r} (row 77) has {value} for gene {cells.var_names[5]!r}"
        in ended.complaint
    )


@pytest.mark.parametrize("verb", ["embed", "align", "train"])
@pytest.mark.parametrize("values", ["normalised", "counts"])
def test_fractions_that_could_be_logarithms_are_what_the_user_says(run, cells, verb, values):
    rng = np.random.default_rng(0)
    dense = np.minimum(cells.X.toarray(), 18)
    cells.X = sp.csr_matrix(
        np.where(rng.random(dense.shape) < 0.9, dense * rng.uniform(0.2, 0.9, dense.shape), dense)
    )
    ended = run(verb, cells)
    assert ended.code == 2
    assert "--values normalised" in ended.complaint
    ended = run(verb, cells, "--values", values)
    assert ended.code == 0
    assert f"taken as {values}" in ended.err


@pytest.mark.parametrize("verb", ["embed", "align"])
@pytest.mark.parametrize("kind", ["EM counts", "shares"])
def test_fractions_that_cannot_be_logarithms_are_taken_and_told(run, cells, verb, kind):
    rng = np.random.default_rng(0)
    part = np.minimum(cells.X.toarray(), 18) * np.where(rng.random(cells.shape) < 0.1, 0.5, 1)
    cells.X = sp.csr_matrix(part if kind == "EM counts" else part / part.sum(1, keepdims=True))
    alone, said = (
        run(verb, cells),
        run(verb, cells, "--values", "normalised", *["--overwrite"][: verb == "embed"]),
    )
    assert alone.code == said.code == 0
    for ended in (alone, said):
        assert {"EM counts": "fractional counts", "shares": "counts over size factors"}[kind] in ended.err
        assert "logarithm" not in ended.err
        assert "but" not in ended.err


@pytest.mark.parametrize(
    ("values", "encode"),
    [
        ("lognorm", np.log1p),
        ("log2", lambda x: np.log2(1 + x)),
        ("log10", lambda x: np.log10(1 + x)),
        ("sqrt", np.sqrt),
        ("normalised", lambda x: x),
    ],
)
def test_each_kind_of_values_gives_the_vectors_of_the_counts(cells, values, encode):
    counts = cells.copy()
    lexicell.tl.embed(counts)
    dense = cells.X.toarray().astype(np.float64)
    cells.X = sp.csr_matrix(encode(dense * 1e4 / dense.sum(1, keepdims=True)).astype(np.float32))
    lexicell.tl.embed(cells, values=values)
    np.testing.assert_allclose(cells.obsm["X_lexicell"], counts.obsm["X_lexicell"], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(cells.obs["lexicell_n_tied"], counts.obs["lexicell_n_tied"])


def test_the_option_and_the_docstring_name_all_kinds_of_values():
    choices = typing.get_args(typing.get_args(typing.get_args(ValuesOption)[0])[0])
    assert list(choices) == list(Values)
    assert all(f'``"{kind}"``' in lexicell.embed.__doc__ for kind in Values)
