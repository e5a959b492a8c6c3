"""What goes wrong on people's machines: one sentence, the right exit code, and nothing half-written."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp


@pytest.fixture
def write(tmp_path, cells):
    """Write the cells with one thing changed."""

    def run(**changes) -> Path:
        for name, value in changes.items():
            setattr(cells, name, value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # anndata tells of duplicate names itself
            cells.write_h5ad(tmp_path / "cells.h5ad")
        return tmp_path / "cells.h5ad"

    return run


def with_value(cells, row: int, column: int, value: float) -> sp.csr_matrix:
    dense = cells.X.toarray()
    dense[row, column] = value
    return sp.csr_matrix(dense)


def test_a_missing_file(refused, tmp_path):
    assert "no such file" in refused(tmp_path / f"{'a' * 300}.h5ad")
    assert "no such file" in refused(tmp_path / "nowhere.h5ad")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("output", ["out.zarr", "out.h5ad"])
def test_a_truncated_h5ad(refused, h5ad, share, output):
    content = h5ad.read_bytes()
    h5ad.write_bytes(content[: int(len(content) * share)])
    assert str(h5ad) in refused(h5ad, code=4, output=output)


def test_garbage(refused, tmp_path):
    garbage = tmp_path / "garbage.h5ad"
    garbage.write_bytes(np.random.default_rng(0).bytes(5000))
    assert str(garbage) in refused(garbage, code=4)
    (tmp_path / "notes.doc").write_text("not counts")
    assert "files of this kind are not read" in refused(tmp_path / "notes.doc")
    (tmp_path / "notes.txt").write_text("not counts")
    assert "notes.txt names not counts, which does not exist" in refused(tmp_path / "notes.txt")


def test_hdf5_and_folders_that_are_no_counts(refused, tmp_path):
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["x"] = [1]
    assert "neither an AnnData nor a 10x matrix" in refused(tmp_path / "other.h5ad")
    (tmp_path / "folder").mkdir()
    assert "neither a Zarr" in refused(tmp_path / "folder")


def test_no_gene_in_common(refused, write, cells):
    names = pd.Index([f"CLUSTER_{i}" for i in range(cells.n_vars)])
    said = refused(write(var_names=names))
    assert "no gene in common" in said
    assert "CLUSTER_0, CLUSTER_1, CLUSTER_2" in said
    assert "--gene-column" in said


def test_mouse_ensembl_ids_get_their_own_advice(refused, write, cells):
    said = refused(write(var_names=pd.Index([f"ENSMUSG{i:011}" for i in range(cells.n_vars)])))
    assert "Ensembl ids of mouse genes" in said
    assert "symbol" in said


def test_low_coverage_says_what_to_try_and_can_be_accepted(refused, lexicell, write, cells, tmp_path):
    names = cells.var_names.to_numpy().copy()
    names[50:] = [f"x{i}" for i in range(len(names) - 50)]
    path = write(var_names=pd.Index(names))
    said = refused(path)
    assert all(part in said for part in ("of the counts lie in genes", "less than 50%", "--min-coverage"))
    assert lexicell("embed", path, tmp_path / "ok.zarr", "--min-coverage", "0").code == 0


def test_logarithms(refused, write, lexicell, cells, tmp_path):
    totals = np.asarray(cells.X.sum(axis=1)).ravel()
    path = write(X=sp.csr_matrix(sp.diags_array(1e4 / totals) @ cells.X).log1p())
    said = refused(path)
    assert "log1p" in said
    assert "--values lognorm" in said
    assert lexicell("embed", path, tmp_path / "ok.zarr", "--values", "lognorm").code == 0
    assert "--layer" in refused(path, "--layer", "counts") or "no layer" in refused(path, "--layer", "counts")


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("row", [0, 77, 119])
@pytest.mark.parametrize("output", ["out.zarr", "out.h5ad"])
def test_counts_that_are_none_name_the_first_cell(refused, write, cells, value, row, output):
    said = refused(write(X=with_value(cells, row, 5, value)), output=output)
    assert f"cell {cells.obs_names[row]!r} (row {row}) has {value} for gene {cells.var_names[5]!r}" in said


def test_a_negative_count_among_two_columns_of_one_gene(refused, write, cells):
    names = cells.var_names.to_numpy().copy()
    names[6] = names[5]
    dense = cells.X.toarray()
    dense[3, 5], dense[3, 6] = 9, -2
    said = refused(write(X=sp.csr_matrix(dense), var_names=pd.Index(names)))
    assert f"cell {cells.obs_names[3]!r} (row 3) has -2.0" in said


@pytest.mark.filterwarnings("ignore:(Observation|Variable) names are not unique:UserWarning")
def test_duplicate_genes_and_cell_names_are_kept_and_told(lexicell, write, cells, tmp_path):
    genes, names = cells.var_names.to_numpy().copy(), cells.obs_names.to_numpy().copy()
    genes[6], names[2] = genes[5], names[1]
    ended = lexicell(
        "embed", write(var_names=pd.Index(genes), obs_names=pd.Index(names)), tmp_path / "o.zarr"
    )
    assert ended.code == 0
    assert "1 columns are genes that another column is too: their counts are summed" in ended.err
    assert "1 cell names occur more than once; they are kept" in ended.err
    assert anndata.read_zarr(tmp_path / "o.zarr").obs_names.tolist() == names.tolist()


@pytest.mark.parametrize("shape", [(0, 765), (120, 0)])
def test_an_empty_matrix(refused, tmp_path, cells, shape):
    cells[: shape[0], : shape[1]].copy().write_h5ad(tmp_path / "empty.h5ad")
    assert f"empty ({shape[0]} cells x {shape[1]} genes)" in refused(tmp_path / "empty.h5ad")


def test_a_matrix_of_nothing_but_zeros(refused, write, cells):
    assert "of the counts" in refused(write(X=sp.csr_matrix(cells.shape, dtype=np.float32)))


def test_a_cell_without_counts_is_told_and_kept(lexicell, write, cells, tmp_path):
    dense = cells.X.toarray()
    dense[4] = 0
    ended = lexicell("embed", write(X=sp.csr_matrix(dense)), tmp_path / "out.zarr")
    assert ended.code == 0
    assert "1 cells have no described gene" in ended.err
    written = anndata.read_zarr(tmp_path / "out.zarr")
    assert not written.obsm["X_lexicell"][4].any()
    assert written.obs["lexicell_n_genes"].iloc[4] == 0


@pytest.mark.parametrize("name", ["genes.parquet", "table.bin", "lexicon.json"])
def test_a_lexicon_whose_files_were_changed(refused, h5ad, bundled, tmp_path, name):
    changed = tmp_path / "lexicon"
    shutil.copytree(bundled.path, changed)
    content = bytearray((changed / name).read_bytes())
    content[len(content) // 2] ^= 4
    (changed / name).write_bytes(content)
    assert name in refused(h5ad, "--lexicon", changed, code=4)


def test_a_lexicon_that_is_none(refused, h5ad, tmp_path):
    assert "human-go-minilm" in refused(h5ad, "--lexicon", "klingon")
    (tmp_path / "folder").mkdir()
    assert str(tmp_path / "folder") in refused(h5ad, "--lexicon", tmp_path / "folder")


@pytest.mark.parametrize("ending", ["zarr", "h5ad"])
def test_an_output_that_exists_is_kept_unless_it_may_be_replaced(lexicell, h5ad, tmp_path, ending):
    out = tmp_path / f"out.{ending}"
    assert lexicell("embed", h5ad, out, "-k", 5).code == 0
    read = anndata.read_zarr if ending == "zarr" else anndata.read_h5ad
    again = lexicell("embed", h5ad, out, "-k", 6)
    assert again.code == 2
    assert "--overwrite" in again.complaint
    assert read(out).uns["lexicell"]["top_k"] == 5
    assert lexicell("embed", h5ad, out, "-k", 6, "--overwrite").code == 0
    assert read(out).uns["lexicell"]["top_k"] == 6
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.h5ad", out.name]


@pytest.mark.parametrize("output", ["out.zarr", "out.h5ad"])
def test_a_folder_that_is_not_ours_is_never_replaced(refused, h5ad, tmp_path, output):
    theirs = tmp_path / "outputs" / output / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("years of work")
    assert "choose another name" in refused(h5ad, "--overwrite", output=output)
    assert theirs.read_text() == "years of work"


def test_an_output_of_another_kind(refused, h5ad):
    assert "or an .h5ad; give it one of these endings" in refused(h5ad, output="out.csv")


def test_a_zarr_that_is_its_own_input(lexicell, cells, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        cells.write_zarr(tmp_path / "cells.zarr")
    ended = lexicell("embed", tmp_path / "cells.zarr", tmp_path / "cells.zarr", "--overwrite")
    assert ended.code == 2
    assert "is the input" in ended.complaint
    assert (anndata.read_zarr(tmp_path / "cells.zarr").X != cells.X).nnz == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(lexicell, h5ad, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    ended = lexicell("embed", h5ad, locked / "out.zarr")
    assert ended.code in (1, 2)
    assert str(locked) in ended.complaint


def test_an_output_below_a_file(lexicell, h5ad, tmp_path):
    (tmp_path / "file").write_text("")
    ended = lexicell("embed", h5ad, tmp_path / "file" / "out.zarr")
    assert ended.code in (1, 2)
    assert str(tmp_path / "file") in ended.complaint


@pytest.mark.parametrize("output", ["out.zarr", "out.h5ad"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(refused, h5ad, monkeypatch, output):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("lexicell.store.objects.write_all", full)
    monkeypatch.setattr("lexicell.store.h5ad_output.H5adOutput._write", full)
    assert "No space left on device" in refused(h5ad, code=1, output=output)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
@pytest.mark.parametrize(
    ("output", "limit"),
    [("out.zarr", 2_000), ("out.zarr", 100_000),
     *(("out.h5ad", limit) for limit in (2_000, 100_000, 180_000, 220_000, 280_000, 380_000))],
)  # fmt: skip
def test_a_file_system_that_refuses_more_bytes_is_one_sentence_and_leaves_nothing(
    h5ad, tmp_path, output, limit
):
    """The system itself fails the write, as a full disk does, wherever the libraries happen to write."""
    folder = tmp_path / "outputs"
    folder.mkdir()
    program = textwrap.dedent(f"""
        import resource, signal, sys
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        import lexicell_kernels.cpu  # may write its cache before the limit
        from lexicell.cli import main
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        main(sys.argv[1:])
    """)
    command = [sys.executable, "-c", program, "embed", h5ad, folder / output]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("lexicell: error: ") == 1
    assert list(folder.iterdir()) == []


def test_more_genes_a_cell_than_there_are(refused, h5ad):
    said = refused(h5ad, "-k", 5000)
    assert "top_k is 5000, more than the" in said
    assert "genept-w" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--recipe", "soup"], "no recipe 'soup'; there are lexicell, paper, genept-w"),
        (["--weight", "heavy"], "'heavy'"),
        (["--dtype", "f8"], "'f8'"),
        (["--values", "raw"], "'raw'"),
        (["-k", "0"], "--top-k"),
        (["-k", "many"], "--top-k"),
        (["--min-coverage", "2"], "--min-coverage"),
        (["--organism", "yeast"], "it has human and mouse"),
        (["--gene-column", "symbol"], "no column 'symbol'; it has the index"),
        (["--layer", "counts"], "counts"),
        (["--use-raw"], "raw"),
        (["--obs-column", "age"], "no column 'age'; it has bulk_labels"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_options_that_do_not_exist_or_fit(refused, h5ad, options, says):
    assert says in refused(h5ad, *options)


def test_unknown_verbs_and_missing_arguments(lexicell):
    for args in (["frobnicate"], ["embed"], ["embed", "only-one"], ["genes", "frobnicate"]):
        ended = lexicell(*args)
        assert ended.code == 2
        assert "--help" in ended.complaint


def test_genes_align_refuses_with_one_sentence_too(lexicell, h5ad, tmp_path, write, cells):
    assert lexicell("genes", "align", tmp_path / "nowhere.h5ad").code == 2
    ended = lexicell("genes", "align", h5ad, "--gene-column", "symbol")
    assert (ended.code, ended.out) == (2, "")
    assert "no column 'symbol'" in ended.complaint
    assert lexicell("genes", "info", "klingon").code == 2


def test_a_10x_folder_cut_in_the_middle(refused, tmp_path, cells):
    import scipy.io

    folder = tmp_path / "tenx"
    folder.mkdir()
    scipy.io.mmwrite(folder / "matrix.mtx", cells.X.T.astype(int), field="integer")
    (folder / "barcodes.tsv").write_text("".join(f"{n}\n" for n in cells.obs_names))
    (folder / "genes.tsv").write_text("".join(f"{n}\t{n}\n" for n in cells.var_names))
    whole = (folder / "matrix.mtx").read_bytes()
    (folder / "matrix.mtx").write_bytes(whole[: len(whole) // 2])
    assert "matrix.mtx" in refused(folder, code=4)
    (folder / "matrix.mtx").unlink()
    (folder / "matrix.mtx.gz").write_bytes(gzip.compress(whole)[:-100])
    assert "matrix.mtx.gz" in refused(folder, code=4)


@pytest.mark.parametrize("output", ["out.zarr", "out.h5ad"])
def test_an_interrupt_in_the_middle_leaves_nothing(refused, h5ad, monkeypatch, output):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("lexicell.embedding.pipeline.embed_rows", interrupted)
    assert "interrupted; no output was written" in refused(h5ad, code=130, output=output)


def test_an_interrupt_while_replacing_keeps_the_old_output_and_the_work(
    lexicell, h5ad, tmp_path, monkeypatch
):
    out = tmp_path / "out.zarr"
    assert lexicell("embed", h5ad, out, "-k", 5).code == 0
    rename = Path.rename

    def interrupted(self, target):
        if self.name.endswith(".partial"):
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", interrupted)
        ended = lexicell("embed", h5ad, out, "-k", 6, "--overwrite")
    assert ended.code == 130
    assert "1 of 1 shards are kept: go on with --resume" in ended.err
    assert anndata.read_zarr(out).uns["lexicell"]["top_k"] == 5
    assert lexicell("embed", h5ad, out, "-k", 6, "--resume").code == 0
    assert anndata.read_zarr(out).uns["lexicell"]["top_k"] == 6
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.h5ad", "out.zarr"]


def test_a_link_that_is_replaced_leaves_what_it_points_at(lexicell, h5ad, tmp_path):
    assert lexicell("embed", h5ad, tmp_path / "real.zarr", "-k", 5).code == 0
    (tmp_path / "link.zarr").symlink_to(tmp_path / "real.zarr")
    assert lexicell("embed", h5ad, tmp_path / "link.zarr", "-k", 6, "--overwrite").code == 0
    assert anndata.read_zarr(tmp_path / "real.zarr").uns["lexicell"]["top_k"] == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.h5ad", "link.zarr", "real.zarr"]


def test_debug_shows_where(h5ad, tmp_path):
    from lexicell.cli import main
    from lexicell.errors import InputNotFoundError

    with pytest.raises(InputNotFoundError, match="no such file"):
        main(["--debug", "embed", str(tmp_path / "nowhere.h5ad"), str(tmp_path / "out.zarr")])


def test_the_unexpected_is_one_sentence_that_names_debug(refused, h5ad, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("the moon is full")

    monkeypatch.setattr("lexicell.embedding.pipeline.embed_rows", broken)
    said = refused(h5ad, code=1)
    assert "unexpected RuntimeError: the moon is full" in said
    assert "lexicell --debug" in said


@pytest.mark.parametrize("missing", ["scanpy", "umap"])
def test_a_demo_without_its_extra_gives_the_pip_line(lexicell, monkeypatch, tmp_path, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    ended = lexicell("demo", "--out", tmp_path / "demo")
    assert ended.code == 2
    assert 'pip install "lexicell[demo]"' in ended.complaint
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("module", ["typer", "lexicell.cli._app", "lexicell.cli.embed", "lexicell.embedding"])
def test_a_signal_before_the_verb_runs_ends_as_one_in_the_middle(h5ad, tmp_path, sent, module):
    """As a scheduler sends it that changes its mind at once."""
    program = textwrap.dedent(f"""
        import os, signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell

        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name == {module!r}:
                    os.kill(os.getpid(), signal.{sent})

        sys.meta_path.insert(0, Finder())
        from lexicell.cli import main
        main(["embed", {str(h5ad)!r}, {str(tmp_path / "out.zarr")!r}])
    """)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr == "lexicell: error: interrupted; no output was written\n"


@pytest.mark.slow
@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
def test_a_signal_in_the_middle_leaves_nothing(h5ad, tmp_path, sent):
    folder = tmp_path / "outputs"
    folder.mkdir()
    program = textwrap.dedent(f"""
        import os, signal, time
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell
        import lexicell.embedding.pipeline as pipeline

        def stopped(*args, **options):
            os.kill(os.getpid(), signal.{sent})
            time.sleep(30)

        pipeline.embed_rows = stopped
        from lexicell.cli import main
        main(["embed", {str(h5ad)!r}, {str(folder / "out.zarr")!r}])
    """)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 130, ended.stderr
    assert "interrupted; no output was written" in ended.stderr
    assert not list(folder.iterdir())
