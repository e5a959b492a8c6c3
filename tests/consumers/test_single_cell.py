"""Packages of the field on our exports, each against a formula of its own contract."""

from __future__ import annotations

import json
import logging
import sys
import types

import numpy as np
import pytest

pytestmark = pytest.mark.slow

anndata = pytest.importorskip("anndata")


@pytest.fixture
def cells(exports):
    return anndata.read_h5ad(exports / "cells.h5ad")


def blocks(words, counts):
    """Sets of words of equal counts, from the highest."""
    pairs = list(zip(words, counts, strict=True))
    return [{word for word, x in pairs if x == at} for at in sorted(set(counts), reverse=True)]


def test_cell2sentence_reads_sentences_and_makes_the_same_of_the_counts(exports, cells):
    pytest.importorskip("cell2sentence", reason="make test-consumers")
    from cell2sentence.csdata import CSData
    from cell2sentence.prompt_formatter import C2SPromptFormatter
    from cell2sentence.utils import generate_sentences, generate_vocabulary
    from datasets import load_from_disk

    vocabulary = json.loads((exports / "sentences/_vocabulary.json").read_text())
    ours = CSData(vocab=vocabulary, data_path=str(exports / "sentences")).get_sentence_strings()
    theirs_words = generate_vocabulary(cells)
    theirs = generate_sentences(cells, theirs_words)
    assert {name: int(theirs_words[name]) for name in vocabulary} == vocabulary
    for one, other, row in zip(ours, theirs, cells.X.toarray(), strict=True):
        of_name = dict(zip(cells.var_names.str.upper(), row, strict=True))
        mine, yours = one.split(), other.split()
        counts = [of_name[word] for word in mine]
        assert blocks(mine, counts) == blocks(yours, [of_name[word] for word in yours])
        assert counts == sorted(counts, reverse=True)
    asked = C2SPromptFormatter("cell_type_prediction", top_k_genes=5).format_hf_ds(
        load_from_disk(str(exports / "sentences"))
    )
    assert " ".join(ours[0].split()[:5]) in asked[0]["model_input"]
    assert "T cell" in asked[0]["response"]


def test_transcriptformer_reads_tokens_in_column_order(exports, cells):
    pytest.importorskip("transcriptformer", reason="make test-consumers")
    from transcriptformer.data.dataloader import AnnDataset

    ids = cells.var["ensembl_id"].str.partition(".")[0].tolist()
    special = ["unknown", "[START]", "[END]", "[RD]", "[CELL]", "[PAD]", "[MASK]"]
    known = {name: at for at, name in enumerate([*special, *ids[::2]])}
    read = AnnDataset(
        [str(exports / "counts.h5ad")], known, max_len=300, pad_zeros=True, clip_counts=30, use_raw=False
    )
    assert len(read) == 90
    for at in (0, 17):
        item, row = read[at], cells.X[at].toarray()[0]
        here = [(known[one], x) for one, x in zip(ids, row, strict=True) if x > 0 and one in known][:300]
        tokens = np.asarray(item.gene_token_indices).ravel()[: len(here)]
        counts = np.asarray(item.gene_counts).ravel()[: len(here)]
        assert tokens.tolist() == [token for token, _ in here]
        assert counts.tolist() == [min(x, 30) for _, x in here]


def test_scimilarity_aligns_and_normalises_the_counts(exports, cells):
    pytest.importorskip("scimilarity", reason="make test-consumers")
    from scimilarity.utils import align_dataset, lognorm_counts

    order = [*cells.var_names[::-1][:5500], "none of ours"]
    found = lognorm_counts(align_dataset(anndata.read_h5ad(exports / "counts.h5ad"), order))
    x = cells[:, order[:-1]].X.toarray().astype(float)
    totals = np.maximum(x.sum(axis=1, keepdims=True), 1)
    assert np.allclose(found[:, order[:-1]].X.toarray(), np.log1p(1e4 * x / totals), rtol=1e-5)
    assert found.obs_names.tolist() == cells.obs_names.tolist()


def test_cell_load_takes_our_vectors(exports, tmp_path):
    pytest.importorskip("cell_load", reason="make test-consumers")
    from cell_load.data_modules import PerturbationDataModule

    (tmp_path / "data").mkdir()
    (tmp_path / "data/one.h5ad").write_bytes((exports / "counts.h5ad").read_bytes())
    settings = tmp_path / "split.toml"
    lines = ("[datasets]", f'one = "{tmp_path / "data"}"', "[training]", 'one = "train"', "[zeroshot]")
    settings.write_text("\n".join([*lines, '"one.NK" = "test"', "[fewshot]", ""]))
    module = PerturbationDataModule(
        toml_config_path=str(settings), batch_size=4, num_workers=0, pert_col="gene", batch_col="gem_group",
        cell_type_key="cell_type", control_pert="non-targeting", embed_key="X_lexicell",
        output_space="embedding", cell_sentence_len=2,
    )  # fmt: skip
    module.setup()
    batch = next(iter(module.train_dataloader()))
    dim = anndata.read_h5ad(exports / "counts.h5ad").obsm["X_lexicell"].shape[1]
    assert batch["pert_cell_emb"].shape[1] == dim == module.get_var_dims()["input_dim"]
    assert str(batch["ctrl_cell_emb"].dtype) == "torch.float32"


def test_a_bert_takes_a_batch_of_tokens(exports):
    datasets = pytest.importorskip("datasets", reason="make test-consumers")
    torch = pytest.importorskip("torch")
    from transformers import BertConfig, BertForMaskedLM

    read = datasets.load_from_disk(str(exports / "geneformer"))
    longest = max(read[:4]["length"])
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in read[:4]["input_ids"]])
    config = BertConfig(
        vocab_size=25426, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=2048, pad_token_id=0,
    )  # fmt: skip
    out = BertForMaskedLM(config)(input_ids=ids, attention_mask=(ids > 0).long())
    assert out.logits.shape == (4, longest, 25426)


@pytest.fixture
def scgpt(monkeypatch):
    """ScGPT without its ``__init__``, and with a stand-in for torchtext, which no torch of today loads."""
    spec = __import__("importlib.util").util.find_spec
    if spec("scgpt") is None:
        pytest.skip("make test-consumers")

    class Vocab:
        def __init__(self, known):
            self.known = dict(known.known if isinstance(known, Vocab) else known)
            self.vocab = self

        def __len__(self):
            return len(self.known)

        def __contains__(self, token):
            return token in self.known

        def __getitem__(self, token):
            return self.known[token]

        def get_stoi(self):
            return self.known

        def insert_token(self, token, at):
            self.known[token] = at

        def append_token(self, token):
            self.known[token] = len(self.known)

        def set_default_index(self, at):
            self.default = at

    text, module = types.ModuleType("torchtext"), types.ModuleType("torchtext.vocab")
    module.Vocab = Vocab
    module.vocab = lambda known, min_freq=1: Vocab({token: at for at, token in enumerate(known)})
    text.vocab = module
    bare = types.ModuleType("scgpt")
    bare.logger = logging.getLogger("scgpt")
    bare.__path__ = [str(one) for one in spec("scgpt").submodule_search_locations]
    for name, stand_in in (("torchtext", text), ("torchtext.vocab", module), ("scgpt", bare)):
        monkeypatch.setitem(sys.modules, name, stand_in)
    return bare


def test_scgpt_reads_a_bank_and_bins_its_counts(exports, cells, scgpt, tmp_path):
    import lexicell

    vocab = {name: at for at, name in enumerate(cells.var_names[::-1])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    options = {"vocab": tmp_path / "vocab.json"}
    lexicell.export("scbank", exports / "cells.h5ad", tmp_path / "x.scb", **options)
    lexicell.export("scbank", exports / "cells.h5ad", tmp_path / "b.scb", bins=51, **options)
    from scgpt.data_collator import DataCollator
    from scgpt.scbank import DataBank

    bank = DataBank.from_path(tmp_path / "x.scb")
    read = bank.data_tables["counts"].data
    row = cells.X[0].toarray()[0]
    assert read[0]["genes"] == [vocab[name] for name, x in zip(cells.var_names, row, strict=True) if x > 0]
    assert read[0]["expressions"] == row[row > 0].tolist()
    import torch

    written = json.loads((tmp_path / "x.scb/gene_vocab.json").read_text())
    examples = [
        {
            "id": at,
            "genes": torch.tensor([written["<cls>"], *read[at]["genes"]]),
            "expressions": torch.tensor([-2.0, *read[at]["expressions"]]),
        }
        for at in range(4)
    ]
    collate = DataCollator(
        do_padding=True, pad_token_id=written["<pad>"], pad_value=-2, do_mlm=False, do_binning=True,
        max_length=1200, sampling=False, keep_first_n_tokens=1,
    )  # fmt: skip
    made = collate(examples)
    assert made["gene"].shape == made["expr"].shape
    assert float(made["expr"].max()) == 50
    # Theirs are drawn from the bins that end in ours.
    ours = DataBank.from_path(tmp_path / "b.scb").data_tables["counts"].data[0]["expressions"][:1199]
    theirs = made["expr"][0, 1 : 1 + len(ours)].tolist()
    assert all(drawn <= upper for drawn, upper in zip(theirs, ours, strict=True))
    assert ours != theirs


@pytest.fixture
def scatter(monkeypatch):
    """Two functions of torch-scatter that MixMIL uses, which has no wheel; the real ones where they are."""
    if __import__("importlib.util").util.find_spec("torch_scatter") is not None:
        return
    torch = pytest.importorskip("torch")
    module = types.ModuleType("torch_scatter")

    def segment_add_csr(values, ends):
        whole = torch.cat([torch.zeros_like(values[:1]), values.cumsum(0)])
        return whole[ends[1:]] - whole[ends[:-1]]

    def scatter_softmax(values, of, dim=0):
        index = of.reshape(-1, *[1] * (values.dim() - 1)).expand_as(values)
        n = int(of.max()) + 1
        top = torch.full((n, *values.shape[1:]), -torch.inf).scatter_reduce(0, index, values, "amax")
        e = (values - top.gather(0, index)).exp()
        return e / torch.zeros(n, *values.shape[1:]).scatter_add(0, index, e).gather(0, index)

    module.segment_add_csr, module.scatter_softmax = segment_add_csr, scatter_softmax
    monkeypatch.setitem(sys.modules, "torch_scatter", module)


def test_mixmil_learns_of_bags(exports, scatter):
    pytest.importorskip("statsmodels", reason="make test-consumers")
    if __import__("importlib.util").util.find_spec("mixmil") is None:
        pytest.skip("make test-consumers")
    from itertools import pairwise

    import pandas as pd
    import torch
    from mixmil import MixMIL
    from safetensors.torch import load_file

    read = load_file(str(exports / "bags/cells.safetensors"))
    donors = pd.read_parquet(exports / "bags/donors.parquet")
    bags = [read["cells"][a:b] for a, b in pairwise(read["ptr"].tolist())]
    assert len(bags) == len(donors) == 9
    training = [at for at, split in enumerate(donors["split"]) if split == "train"]
    whole = torch.cat([bags[at] for at in training])
    assert float(whole.mean(0).abs().max()) < 1e-3
    assert torch.allclose(whole.std(0), torch.full((4,), 0.5), atol=1e-3)  # 1 / sqrt(Q)
    y = torch.tensor(donors["y"].to_numpy(), dtype=torch.float32)[:, None]
    model = MixMIL.init_with_mean_model(bags, torch.ones(9, 1), y, likelihood="binomial", n_trials=1)
    model.train(bags, torch.ones(9, 1), y, n_epochs=2)
    assert model.predict(bags).shape == (9, 1)
    assert [len(one) for one in model.get_weights(bags)[0]] == [len(bag) for bag in bags]
