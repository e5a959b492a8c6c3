"""Which columns are gene expression is one rule for every format, and what is left out is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anndata
import dask.array as da
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata.io import write_elem
from scipy import sparse
from tests.engine.counts.conftest import as_anndata, assemble, counts, same, write_mtx, write_tenx, write_zarr

from lexicell.counts import open_counts, open_many
from lexicell.counts.modality import choose_columns
from lexicell.errors import InputError
from lexicell.lexicon import Lexicon

GENES = ["CD4", "LYZ", "MT-CO1", "ENSG00000139618"]
#: Words for gene expression and for other types, as tools write them.
EXPRESSION = ["Gene Expression", "gene expression", "GEX", "RNA", "rna", "mRNA", "gene", "Gene_Expression"]
OTHERS = [
    "Antibody Capture", "antibody capture", "CRISPR Guide Capture", "Multiplexing Capture", "Antigen Capture",
    "Custom", "Peaks", "protein", "Protein", "prot", "ADT", "adt", "HTO", "atac", "Chromatin Accessibility",
    "AbSeq", "sgRNA", "VDJ-T", "Negative Control Probe", "Unassigned Codeword", "Cell_Hashing",
]  # fmt: skip
BIOTYPES = [
    "protein_coding", "lncRNA", "miRNA", "snRNA", "snoRNA", "rRNA", "scRNA", "Mt_tRNA", "misc_RNA", "TEC",
    "pseudogene", "IG_C_gene", "processed_pseudogene", "other", "ncRNA", "unknown", "biological-region",
    "exon", "CDS",
]  # fmt: skip
NO_GENES = [
    "chr1:1000-2000", "chr1-1000-2000", "chrX_155000_156000", "1:1000-2000", "X-10000-20000", "MT:1-16569",
    "chr1_KI270706v1_random:5-900", "GL000194.1:55758-56597", "KI270728.1-1000-2000",
    "chrUn_GL000219v1-1-200", "ADT_CD3", "ADT-CD3", "adt:CD3", "CD3-ADT", "CD3_ADT", "CD3_TotalSeqB",
    "CD3-TotalSeqC", "CD3.TotalSeqA", "CD3_TotalSeq", "TotalSeq-A0001", "AB_CD3", "prot_CD3",
    "anti-human_CD3", "anti-mouse CD4", "HTO_A", "HTO-1", "hto3", "Hashtag1", "Hashtag_2", "hashtag-10",
    "HashTag5_TotalC", "CMO301", "SampleTag01_hs|stAbO", "CD3:UCHT1|CD3E|AHS0231|pAbO", "sgRNA_GATA1_1",
    "gRNA-12", "non-targeting_1",
]  # fmt: skip
NOT_SO = [
    "14-3-3", "AB-DIP", "ABCB1", "LEPROT", "PROT", "HLA-A", "NKX2-1", "ERCC-00002", "AC007325.4",
    "RP11-34P13.7", "1-8D", "CD4.1", "CD4-1", "Hashimoto", "HTOR", "RNA28S5", "7SK", "ZADT",
    "hsa-mir-1302-2", "Chromogranin", "ANTI-1", "SGCA", "Sgca", "ADTRP", "GRNA", "1", "2-3-4",
]  # fmt: skip


def kept(var: pd.DataFrame, asked: str | None = None) -> list[str]:
    columns, notes = choose_columns(var, "x.h5ad", asked)
    assert (columns is None) == (not notes)
    return list(var.index if columns is None else var.index[columns])


@pytest.mark.parametrize("column", ["feature_types", "feature_type", "modality", "Feature Types", "MODALITY"])
def test_a_known_other_type_is_left_out_and_counted(column: str) -> None:
    for other in OTHERS:
        var = pd.DataFrame({column: ["Gene Expression", other, "Gene Expression", other]}, index=GENES)
        for stored in (var, var.astype("category"), var.astype("string")):
            assert kept(stored) == ["CD4", "MT-CO1"], other
        (note,) = choose_columns(var, "x.h5ad")[1]
        assert "2 of 4" in note
        assert f"{other} (2)" in note


@pytest.mark.parametrize("word", EXPRESSION)
def test_any_word_for_gene_expression_is_kept(word: str) -> None:
    assert kept(pd.DataFrame({"feature_types": [word, "ADT", word, word]}, index=GENES)) == [
        GENES[0],
        *GENES[2:],
    ]


@pytest.mark.parametrize("column", ["feature_type", "feature_types", "modality", "type"])
def test_a_word_that_is_not_known_leaves_nothing_out(column: str) -> None:
    for word in [*BIOTYPES, None, "10x 3' v3"]:
        assert kept(pd.DataFrame({column: ["gene", word, word, "gene"]}, index=GENES)) == GENES, word
        assert kept(pd.DataFrame({column: [word, word, word, word]}, index=GENES)) == GENES, word


def test_a_column_called_type_decides_only_where_all_its_words_are_known() -> None:
    assert kept(pd.DataFrame({"type": ["gene", "protein", "gene", "gene"]}, index=GENES)) == [
        GENES[0],
        *GENES[2:],
    ]
    assert kept(pd.DataFrame({"type": ["gene", "protein", "kinase", "gene"]}, index=GENES)) == GENES
    assert kept(pd.DataFrame({"biotype": ["gene", "protein", "gene", "gene"]}, index=GENES)) == GENES


@pytest.mark.parametrize("name", NO_GENES)
def test_names_that_no_gene_has_are_left_out_and_told(name: str) -> None:
    var = pd.DataFrame(index=["CD4", name, "LYZ"])
    assert kept(var) == ["CD4", "LYZ"]
    assert "by their names (1)" in choose_columns(var, "x")[1][0]


@pytest.mark.parametrize("name", NOT_SO)
def test_names_that_a_gene_may_have_are_kept(name: str) -> None:
    assert kept(pd.DataFrame(index=["CD4", name])) == ["CD4", name]


def test_no_symbol_alias_or_id_of_the_bundled_lexicon_is_taken_for_something_else(bundled: Lexicon) -> None:
    names: set[str] = set()
    for column in ("ncbi_id", "symbol", "ensembl_ids", "aliases", "mouse_symbols"):
        for value in bundled.genes.column(column).to_pylist():
            names.update(map(str, value if isinstance(value, list) else [value]))
    assert len(names) > 100_000
    for asked in (sorted(names), sorted(name.upper() for name in names)):
        assert choose_columns(pd.DataFrame(index=asked), "x") == (None, ())


def test_what_var_states_to_be_expression_is_not_doubted_by_its_name() -> None:
    var = pd.DataFrame(
        {"feature_types": ["Gene Expression", "Gene Expression", None]}, index=["CD4", "sgRNA_1", "ADT_CD3"]
    )
    assert kept(var) == ["CD4", "sgRNA_1"]


@pytest.mark.parametrize(
    ("var", "said"),
    [
        (
            pd.DataFrame({"feature_types": ["Antibody Capture"] * 2}, index=["CD4", "CD8A"]),
            "Antibody Capture (2)",
        ),
        (pd.DataFrame({"modality": ["atac", "protein"]}, index=["a", "CD8A"]), "atac (1), protein (1)"),
        (pd.DataFrame(index=["chr1:100-200", "chr2:5-900"]), "peaks"),
        (pd.DataFrame({"feature_types": ["Peaks", None]}, index=["chr1:100-200", "ADT_CD3"]), "Peaks (1)"),
    ],
)
def test_a_matrix_without_gene_expression_is_refused_with_what_it_has(var: pd.DataFrame, said: str) -> None:
    with pytest.raises(InputError) as caught:
        choose_columns(var, "x.h5ad")
    assert "x.h5ad" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("Antibody Capture", ["LYZ"]),
        ("antibody capture", ["LYZ"]),
        ("ADT", ["LYZ"]),
        ("Peaks", ["MT-CO1"]),
        ("atac", ["MT-CO1"]),
        ("rna", ["CD4", "ENSG00000139618"]),
        ("Gene Expression", ["CD4"]),
        ("transcribed", ["ENSG00000139618"]),
    ],
)
def test_the_users_word_is_the_type_that_is_read(asked: str, names: list[str]) -> None:
    types = ["Gene Expression", "Antibody Capture", "Peaks", "transcribed"]
    assert kept(pd.DataFrame({"feature_types": types}, index=GENES), asked) == names


@pytest.mark.parametrize("asked", ["protein", "VDJ", "nonsense", ""])
def test_a_type_that_is_not_there_is_refused_with_those_that_are(asked: str) -> None:
    with pytest.raises(InputError, match=r"Gene Expression, Peaks"):
        choose_columns(
            pd.DataFrame({"feature_types": ["Gene Expression", "Peaks"]}, index=["A", "B"]), "x", asked
        )
    with pytest.raises(InputError, match="no types"):
        choose_columns(pd.DataFrame(index=["A", "B"]), "x", asked)


def test_gene_expression_can_be_asked_of_a_matrix_that_tells_no_types() -> None:
    assert kept(pd.DataFrame(index=["CD4", "ADT_CD3"]), "RNA") == ["CD4"]


# Formats

TYPES = ["Antibody Capture" if j % 4 == 1 else "Gene Expression" for j in range(37)]
KEPT = [j for j, kind in enumerate(TYPES) if kind == "Gene Expression"]


def typed(matrix: Any, column: str = "feature_types") -> anndata.AnnData:
    adata = as_anndata(matrix)
    adata.var[column] = TYPES
    return adata


def _stored(matrix: Any, folder: Path, kind: str) -> Any:
    adata = typed(matrix)
    if kind.startswith("zarr"):
        return write_zarr(adata, folder / "c.zarr", int(kind[4]))
    adata.write_h5ad(folder / "c.h5ad")
    return anndata.read_h5ad(folder / "c.h5ad", backed="r") if kind == "backed" else folder / "c.h5ad"


FORMATS: dict[str, Callable[[Any, Path], Any]] = {
    "h5ad-csr": lambda m, f: _stored(m, f, "h5ad"),
    "h5ad-csc": lambda m, f: _stored(m.tocsc(), f, "h5ad"),
    "h5ad-dense": lambda m, f: _stored(m.toarray(), f, "h5ad"),
    "zarr2": lambda m, f: _stored(m, f, "zarr2"),
    "zarr3": lambda m, f: _stored(m, f, "zarr3"),
    "backed": lambda m, f: _stored(m, f, "backed"),
    "memory": lambda m, f: typed(m),
    "modality": lambda m, f: typed(m, "Modality"),
    "view": lambda m, f: typed(sparse.vstack([m, m]).tocsr())[: m.shape[0]],
    "dask": lambda m, f: typed(da.from_array(m.toarray(), chunks=(20, 10))),
    "10x-h5": lambda m, f: write_tenx(m, f / "c.h5", 3, TYPES),
    "10x-mtx": lambda m, f: write_mtx(m, f / "m", types=TYPES),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_reads_as_if_the_other_types_were_not_there(name: str, tmp_path: Path) -> None:
    matrix = counts()
    with open_counts(FORMATS[name](matrix, tmp_path)) as source:
        same(assemble(source, 50), matrix[:, KEPT])
        assert source.var.index.tolist() == [f"gene{j}" for j in KEPT]
        assert source.n_columns == len(KEPT)
        (note,) = source.notes
        assert "9 of 37" in note
        assert "Antibody Capture (9)" in note
    with open_counts(
        FORMATS[name](matrix, (tmp_path / "2").mkdir() or tmp_path / "2"), modality="ADT"
    ) as source:
        same(assemble(source, 50), matrix[:, [j for j in range(37) if j not in KEPT]])


def test_where_nothing_is_left_out_the_matrix_is_read_as_it_is(tmp_path: Path) -> None:
    from lexicell.counts.rows import CsrRows

    with open_counts(write_tenx(counts(), tmp_path / "c.h5", 3)) as source:
        assert isinstance(source._rows, CsrRows)
        assert (source.notes, source.picked) == ((), None)


def test_layers_are_picked_like_x_and_raw_by_its_own_types_or_those_of_the_same_names(tmp_path: Path) -> None:
    matrix = counts()
    adata = typed(matrix)
    adata.layers["twice"] = matrix * 2
    adata.raw = adata.copy()
    adata.var["feature_types"] = "Gene Expression"
    adata.write_h5ad(tmp_path / "own.h5ad")
    for data in (adata, tmp_path / "own.h5ad"):
        with open_counts(data, use_raw=True) as source:
            same(assemble(source), matrix[:, KEPT])
        with open_counts(data, layer="twice") as source:
            same(assemble(source), matrix * 2)
    bare = typed(matrix)
    bare.layers["twice"] = matrix * 2
    bare.raw = as_anndata(matrix)[:, 2:]
    bare = bare[:, 1:].copy()
    bare.write_h5ad(tmp_path / "bare.h5ad")
    write_zarr(bare, tmp_path / "bare.zarr", 3)
    for data in (bare, tmp_path / "bare.h5ad", tmp_path / "bare.zarr"):
        with open_counts(data, use_raw=True) as source:
            same(assemble(source), matrix[:, [j for j in KEPT if j >= 2]])
        with open_counts(data, layer="twice") as source:
            same(assemble(source), matrix[:, [j for j in KEPT if j >= 1]] * 2)


# MuData


def write_mudata(path: Path, parts: dict[str, anndata.AnnData]) -> Path:
    """What mudata writes: AnnData in ``mod``, and a user block before the HDF5."""
    suffix = path.suffix
    root: Any = (
        zarr.open_group(path, mode="w", zarr_format=2)
        if suffix == ".zarr"
        else h5py.File(path, "w", userblock_size=512)
    )
    root.attrs["encoding-type"], root.attrs["axis"] = "MuData", 0
    modalities = root.create_group("mod")
    options = {} if suffix == ".zarr" else {"dataset_kwargs": {"compression": "gzip"}}
    for name, adata in parts.items():
        write_elem(modalities, name, adata, **options)
    write_elem(root, "obs", next(iter(parts.values())).obs)
    names = pd.concat([adata.var[[]] for adata in parts.values()])
    write_elem(root, "var", names)
    if suffix != ".zarr":
        root.close()
    return path


@pytest.fixture
def parts() -> dict[str, anndata.AnnData]:
    rna, prot = as_anndata(counts()), as_anndata(counts(61, 5, seed=3))
    prot.var["feature_types"] = "Antibody Capture"
    return {"prot": prot, "rna": rna}


@pytest.mark.parametrize("name", ["c.h5mu", "c.h5ad", "c.zarr"])
def test_a_mudata_says_what_it_is_and_is_read_one_modality_at_a_time(
    name: str, parts: Any, tmp_path: Path
) -> None:
    path = write_mudata(tmp_path / name, parts)
    for asked in (None, "nonsense"):
        with pytest.raises(InputError, match=r"MuData.*prot, rna.*--modality rna") as caught:
            open_counts(path, modality=asked)
        assert name in str(caught.value)
    for asked, key in (
        ("rna", "rna"),
        ("RNA", "rna"),
        ("Gene Expression", "rna"),
        ("prot", "prot"),
        ("adt", "prot"),
    ):
        with open_counts(path, modality=asked) as source:
            same(assemble(source), parts[key].X)
            assert source.obs_columns == ("type",)
            assert key in source.label


def test_the_rna_of_a_mudata_is_held_to_its_own_types(parts: Any, tmp_path: Path) -> None:
    parts["rna"].var["feature_types"] = TYPES
    with open_counts(write_mudata(tmp_path / "c.h5mu", parts), modality="rna") as source:
        same(assemble(source), counts()[:, KEPT])


@pytest.mark.parametrize("names", [["rna", "prot"], ["atac"], []])
def test_a_mudata_in_memory_is_refused_with_the_way_to_its_modality(names: list[str]) -> None:
    with pytest.raises(InputError, match="MuData") as caught:
        open_counts(SimpleNamespace(mod=dict.fromkeys(names)))  # type: ignore[arg-type]
    assert f".mod['{names[0] if names else 'NAME'}']" in str(caught.value)


# Many inputs


def test_many_inputs_say_once_what_is_left_out_of_which(tmp_path: Path) -> None:
    for name in "abcde":
        typed(counts()).write_h5ad(tmp_path / f"{name}.h5ad")
    as_anndata(counts()).write_h5ad(tmp_path / "plain.h5ad")
    with open_many([tmp_path / f"{name}.h5ad" for name in "abcde"]) as source:
        assert source.n_columns == len(KEPT)
        same(assemble(source), sparse.vstack([counts()[:, KEPT]] * 5))
        (note,) = source.notes
        assert "a.h5ad, b.h5ad, c.h5ad, ..." in note
    with open_many([tmp_path / "plain.h5ad", tmp_path / "a.h5ad"]) as source:
        assert source.n_columns == 37
        assert [note.partition(":")[0] for note in source.notes] == ["a.h5ad"]


def test_notes_of_very_different_inputs_stay_few_lines(tmp_path: Path) -> None:
    for number in range(6):
        adata = as_anndata(counts())
        adata.var["feature_types"] = ["ADT"] * (number + 1) + ["RNA"] * (36 - number)
        adata.write_h5ad(tmp_path / f"{number}.h5ad")
    with open_many([tmp_path / f"{number}.h5ad" for number in range(6)]) as source:
        assert len(source.notes) == 4
        assert "3 more" in source.notes[-1]


def test_many_inputs_are_read_in_the_modality_that_is_asked_for(parts: Any, tmp_path: Path) -> None:
    paths = [write_mudata(tmp_path / name, parts) for name in ("a.h5mu", "b.zarr")]
    with open_many(paths, modality="rna") as source:
        same(assemble(source), sparse.vstack([counts()] * 2))


def test_a_gene_of_the_same_name_gets_nothing_from_an_antibody() -> None:
    matrix = sparse.csr_matrix(np.array([[1, 2, 500], [3, 0, 700]], np.int32))
    var = pd.DataFrame({"feature_types": ["rna", "rna", "adt"]}, index=["CD4", "LYZ", "CD4"])
    with pytest.warns(UserWarning, match="not unique"):
        adata = anndata.AnnData(matrix, var=var)
    with open_counts(adata) as source:
        same(assemble(source), matrix[:, :2])
