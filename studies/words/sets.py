"""Labelled cells, and what hands wrote about their types before anybody looked at a result."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
from bench.real_data import data_folder
from numpy.typing import NDArray

from lexicell.embedding import AlignedCells, AlignOptions, align_cells
from lexicell.embedding.inputs import open_data
from lexicell.words import shipped_types

__all__ = ["OUTSIDE", "SENTENCES", "SETS", "LabelledSet", "labelled_set", "outside_sets"]

SENTENCES = Path(__file__).with_name("sentences.json")
#: The sets that the setting was chosen on, by the names of their files.
SETS = {
    "pbmc3k_raw_labelled": "PBMC3k",
    "baron_h1_pancreas": "Baron",
    "merfish_mouse_brain_1000x1122": "MERFISH",
}
#: Sets of ``$LEXICELL_OUTSIDE``; the last one comes with scanpy.
OUTSIDE = {
    "heart_san_human": "heart, human",
    "brain_zeisel550_mouse": "brain, mouse",
    "lymphnode_human330": "lymph node, human",
    "pancreas_baron_mouse": "pancreas, mouse",
    "pbmc68k_reduced": "PBMC68k, 765 genes",
}
#: The third hand: the shipped sentence of each label; chosen by names, before any result.
_SHIPPED = {
    "pbmc3k_raw_labelled": {
        "B cells": "B cell",
        "CD14+ Monocytes": "classical monocyte",
        "CD4 T cells": "CD4-positive, alpha-beta T cell",
        "CD8 T cells": "CD8-positive, alpha-beta T cell",
        "Dendritic cells": "conventional dendritic cell",
        "FCGR3A+ Monocytes": "non-classical monocyte",
        "Megakaryocytes": "megakaryocyte",
        "NK cells": "natural killer cell",
    },
    "baron_h1_pancreas": {
        "beta": "type B pancreatic cell",
        "alpha": "pancreatic A cell",
        "delta": "pancreatic D cell",
        "gamma": "pancreatic PP cell",
        "acinar": "pancreatic acinar cell",
        "ductal": "pancreatic ductal cell",
        "endothelial": "endothelial cell",
        "activated_stellate": "pancreatic stellate cell",
        "quiescent_stellate": "pericyte",
        "macrophage": "macrophage",
        "mast": "mast cell",
    },
    "merfish_mouse_brain_1000x1122": {
        name: name
        for name in (
            "glutamatergic neuron",
            "GABAergic neuron",
            "oligodendrocyte",
            "astrocyte",
            "endothelial cell",
            "microglial cell",
            "oligodendrocyte precursor cell",
        )
    },
}
#: Group of the shipped types that somebody with such cells would ask for.
_GROUP = dict(zip(SETS, ("blood", "pancreas", "brain"), strict=True))
#: Types of the other sets that are relatives of types that are there: not absent.
_RELATIVES = {
    "pbmc3k_raw_labelled": {"macrophage", "mast", "microglial cell"},
    "baron_h1_pancreas": {
        "CD14+ Monocytes", "FCGR3A+ Monocytes", "Dendritic cells", "CD4 T cells", "CD8 T cells",
        "endothelial cell", "microglial cell",
    },
    "merfish_mouse_brain_1000x1122": {
        "CD14+ Monocytes", "FCGR3A+ Monocytes", "Dendritic cells", "macrophage", "endothelial",
        "activated_stellate", "quiescent_stellate",
    },
}  # fmt: skip
#: Types of the second hand's lists that are there, labelled but not described, or under another name.
_THERE = {
    "baron_h1_pancreas": {"Schwann cell", "pericyte"},
    "merfish_mouse_brain_1000x1122": {"ependymal cell", "pericyte"},
    "heart_san_human": {"cardiomyocyte"},
}
_MERGED = {
    "Astrocyte1": "astrocyte",
    "Astrocyte2": "astrocyte",
    "Endothelial2": "endothelial",
    "Hippocampus_Excitatory": "excitatory neuron",
    "S1_Excitatory_L23": "excitatory neuron",
    "S1_Excitatory_L45a": "excitatory neuron",
    "Interneuron": "interneuron",
    "Oligo_MF": "oligodendrocyte",
    "Oligo_Mature": "oligodendrocyte",
    "Pvm": "perivascular macrophage",
    "Vsmc": "vascular smooth muscle",
}


@dataclass(frozen=True)
class LabelledSet:
    """Labelled cells and sentences about their types.

    Attributes
    ----------
    key
        Name of the file.
    adata
        Counts.
    labels
        ``[N]`` str.
    sentences, markers
        For each hand, by label; the first hand is the one that controls are made for.
    absent
        Sentences of types that are not there, by the name of the list.
    group
        Shipped types of the tissue, those of the third hand under their labels; empty outside.
    """

    key: str
    adata: ad.AnnData
    labels: NDArray[np.str_]
    sentences: dict[str, dict[str, str]]
    markers: dict[str, dict[str, list[str]]]
    absent: dict[str, dict[str, str]]
    group: dict[str, str]

    @property
    def types(self) -> list[str]:
        """Labels that are described."""
        return list(next(iter(self.sentences.values())))

    @contextmanager
    def aligned(self) -> Iterator[AlignedCells]:
        """Open the counts and align their genes to the default lexicon."""
        with open_data(self.adata, None, None, use_raw=False, follow_links=False) as source:
            yield align_cells(source, AlignOptions())


def outside_sets() -> list[str]:
    """Keys of the sets outside that are here; none without ``$LEXICELL_OUTSIDE``."""
    folder = os.environ.get("LEXICELL_OUTSIDE")
    if not folder:
        return []
    return [key for key in OUTSIDE if key == "pbmc68k_reduced" or (Path(folder) / f"{key}.h5ad").is_file()]


@cache
def labelled_set(key: str) -> LabelledSet:
    """Read a set of `SETS` or `OUTSIDE`."""
    own = json.loads(SENTENCES.read_text(encoding="utf-8"))
    listed = own["absent"]
    there = _THERE.get(key, set())
    ten = dict([one for one in listed["unrelated"].items() if one[0] not in there][:10])
    if key in OUTSIDE:
        hands = {"blind": own["outside"][key]}
        sentences = {hand: given["sentences"] for hand, given in hands.items()}
        markers = {hand: _genes(given["markers"]) for hand, given in hands.items()}
        adata, labels = _read_outside(key)
        return LabelledSet(key, adata, labels, sentences, markers, {"ten": ten}, {})
    first = json.loads((data_folder() / "descriptions.json").read_text(encoding="utf-8"))
    shipped = {kind.name: kind.sentence for kind in shipped_types()}
    third = {label: shipped[name] for label, name in _SHIPPED[key].items()}
    sentences = {"1": first[key], "2": own["sentences"][key], "3": third}
    markers = {"1": _genes(first["markers"][key]), "2": _genes(own["markers"][key])}
    other_sets = {
        name: sentence
        for other in SETS
        if other != key
        for name, sentence in first[other].items()
        if name not in _RELATIVES[key]
    }
    everything = {name: text for part in listed.values() for name, text in part.items() if name not in there}
    group = third | {
        kind.name: kind.sentence for kind in shipped_types(_GROUP[key]) if kind.sentence not in third.values()
    }
    adata = ad.read_h5ad(data_folder() / "expr" / f"{key}.h5ad")
    labels = adata.obs["cell_type"].astype(str).to_numpy()
    absent = {"other sets": other_sets, "ten": ten, "all": everything}
    return LabelledSet(key, adata, labels, sentences, markers, absent, group)


def _read_outside(key: str) -> tuple[ad.AnnData, NDArray[np.str_]]:
    if key == "pbmc68k_reduced":
        from lexicell.cli.demo import load_cells

        adata = load_cells()
        return adata, adata.obs["bulk_labels"].astype(str).to_numpy()
    adata = ad.read_h5ad(Path(os.environ["LEXICELL_OUTSIDE"]) / f"{key}.h5ad")
    labels = adata.obs["cell_type"].astype(str).to_numpy()
    if key == "brain_zeisel550_mouse":
        labels = np.array([_MERGED[label] for label in labels.tolist()])
    return adata, labels


def _genes(lists: dict[str, Any]) -> dict[str, list[str]]:
    return {label: genes.split() for label, genes in lists.items()}
