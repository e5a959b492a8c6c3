"""Real data sets, a targeted panel of mouse brain among them, named by sentences as people write them."""

from __future__ import annotations

import json

import numpy as np
import pytest

import lexicell
from lexicell.embedding.events import ignore

pytest.importorskip("sklearn")
metrics = pytest.importorskip("sklearn.metrics")


def macro_f1(named, truth, types) -> float:
    known = np.isin(truth, types)
    label = named.cells["label"].astype(str).to_numpy()
    return metrics.f1_score(truth[known], label[known], labels=types, average="macro", zero_division=0)


@pytest.fixture
def sentences(data):
    return json.loads(data("./descriptions.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "least"),
    [("pbmc3k_raw_labelled", 0.8), ("baron_h1_pancreas", 0.85), ("merfish_mouse_brain_1000x1122", 0.85)],
)
def test_sentences_name_most_cells_and_shuffled_ones_none(data, sentences, tmp_path, name, least):
    import anndata

    query, types = data(f"{name}.h5ad"), sentences[name]
    lines = "".join(f"{kind}\t{sentence}\n" for kind, sentence in types.items())
    (tmp_path / "types.txt").write_text(lines, encoding="utf-8")
    out = tmp_path / "named.h5ad"
    named = lexicell.annotate(
        query, out, describe=tmp_path / "types.txt", min_coverage=0, threshold=0, listener=ignore
    )
    written = anndata.read_h5ad(out)
    truth = written.obs["cell_type"].astype(str).to_numpy()
    kinds = [kind for kind in types if (truth == kind).any()]
    assert macro_f1(named, truth, kinds) >= least
    assert (written.obs["lexicell_label"].astype(str) == named.cells["label"].astype(str)).all()
    assert list(written.uns["lexicell_label"]["types"].index) == list(types)
    moved = dict(zip(types, [*types.values()][1:] + [*types.values()][:1], strict=True))
    shuffled = lexicell.annotate(query, describe=moved, min_coverage=0, threshold=0, listener=ignore)
    assert macro_f1(shuffled, truth, kinds) < 0.3


def test_ten_types_that_are_not_there_cost_little(data, sentences):
    truth_of = "pbmc3k_raw_labelled"
    types = sentences[truth_of]
    absent = [
        *(
            "hepatocyte",
            "retinal rod cell",
            "type B pancreatic cell",
            "oligodendrocyte",
            "cardiac muscle cell",
        ),
        *("keratinocyte", "GABAergic neuron", "pancreatic ductal cell", "melanocyte", "Purkinje cell"),
    ]
    query = lexicell.annotate(
        data(f"{truth_of}.h5ad"), describe=types, types=absent, threshold=0, listener=ignore
    )
    import anndata

    truth = anndata.read_h5ad(data(f"{truth_of}.h5ad")).obs["cell_type"].astype(str).to_numpy()
    assert macro_f1(query, truth, list(types)) > 0.75
    assert query.types["present"][list(types)].all()
    assert query.types["present"][absent].sum() <= 3
