"""The package as a whole: what importing it costs, its errors, its layers and its promises to installers."""

from __future__ import annotations

import importlib
import importlib.resources
import inspect
import pickle
import re
import subprocess
import sys
import tomllib

import anndata
import pandas as pd
import pytest
import zarr

import lexicell
from lexicell import errors
from lexicell_kernels import InvalidCountsError

#: Never needed to say hello: GPU libraries, and those that take long to import.
HEAVY = ["anndata", "cudf", "cupy", "dask", "h5py", "llvmlite", "matplotlib", "numba", "onnx", "onnxruntime",
         "pandas", "pyarrow", "rmm", "scanpy", "scipy", "sklearn", "torch", "transformers", "umap",
         "zarr"]  # fmt: skip
GPU = ["cudf", "cuml", "cupy", "pynvml", "rapids_singlecell", "rmm", "tensorflow", "torch"]


def imported_by(code: str) -> set[str]:
    """Top-level modules that a fresh Python has after running `code`."""
    program = f"import sys\n{code}\nprint('\\n' + ' '.join({{m.partition('.')[0] for m in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines()[-1].split())


QUIT = """
from lexicell.cli import main
try:
    main({args})
except SystemExit:
    pass
"""


@pytest.mark.parametrize(
    "code",
    [
        "import lexicell",
        "import lexicell.errors, lexicell.cli",
        QUIT.format(args=["--help"]),
        QUIT.format(args=["embed", "--help"]),
        QUIT.format(args=["genes", "build", "--help"]),
        QUIT.format(args=["--version"]),
        QUIT.format(args=["embed"]),
    ],
    ids=["lexicell", "cli", "--help", "embed --help", "genes build --help", "--version", "embed, misused"],
)
def test_saying_hello_imports_nothing_heavy(code):
    modules = imported_by(code)
    assert "lexicell" in modules
    assert modules.isdisjoint(HEAVY)


@pytest.mark.slow
def test_embedding_imports_no_gpu_library_and_no_torch(tmp_path, cells):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    command = ["embed", str(tmp_path / "cells.h5ad"), str(tmp_path / "out.zarr")]
    modules = imported_by(QUIT.format(args=command))
    assert (tmp_path / "out.zarr").is_dir()
    assert modules.isdisjoint([*GPU, "matplotlib", "onnx", "scanpy", "sklearn", "transformers", "umap"])


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_embedding_a_file_imports_neither_anndata_nor_what_that_imports(tmp_path, cells, suffix):
    path = tmp_path / f"cells{suffix}"
    cells.obs["age"] = pd.array([None, *range(1, cells.n_obs)], dtype="Int16")
    if suffix == ".h5ad":
        cells.write_h5ad(path)
    else:
        with anndata.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False):
            cells.write_zarr(path)
    columns = ["bulk_labels", "age"]
    options = [part for name in columns for part in ("--obs-column", name)]
    modules = imported_by(QUIT.format(args=["embed", str(path), str(tmp_path / "out.zarr"), *options]))
    assert set(zarr.open(tmp_path / "out.zarr")["obs"].attrs["column-order"]) >= set(columns)
    assert modules.isdisjoint({"anndata", "dask", "xarray"})


def test_the_kernels_are_imported_without_numba_or_scipy_until_they_run():
    assert imported_by("import lexicell_kernels").isdisjoint({"numba", "scipy", "lexicell", *GPU})


@pytest.mark.parametrize(
    "module",
    ["lexicell", "lexicell.counts", "lexicell.store", "lexicell.packing",
     "lexicell.embedding", "lexicell.evaluation", "lexicell.explanation",
     "lexicell.lexicon", "lexicell.learn", "lexicell.projection", "lexicell.pl", "lexicell.tl",
     "lexicell.errors",
     "lexicell_kernels", "lexicell_kernels.parity", "lexicell_kernels.cpu", "lexicell_kernels.reference"],
)  # fmt: skip
def test_public_names_are_there_and_documented(module):
    found = importlib.import_module(module)
    assert found.__doc__
    for name in found.__all__:
        value = getattr(found, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, name


def test_names_that_are_not_there_are_attribute_errors():
    assert set(dir(lexicell)) == set(lexicell.__all__)
    for module in ("lexicell", "lexicell.lexicon"):
        with pytest.raises(AttributeError, match="nonsense"):
            _ = importlib.import_module(module).nonsense


ERRORS = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda k: k.__name__)
def test_errors_travel_say_one_thing_and_are_caught_as_the_builtin_too(kind):
    builtin = {
        "InputError": ValueError,
        "CountsError": ValueError,
        "CoverageError": ValueError,
        "GpuMemoryError": MemoryError,
        "InputNotFoundError": FileNotFoundError,
        "OutputExistsError": FileExistsError,
        "MissingExtraError": ImportError,
        "CorruptDataError": OSError,
        "ResourceError": OSError,
        "WriteError": OSError,
        "PartialError": OSError,
        "LexicellError": Exception,
    }[kind.__name__]
    assert issubclass(kind, builtin)
    assert issubclass(kind, errors.LexicellError)
    error = kind("cells.h5ad: is not there")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is kind
    assert str(again) == str(error) == "cells.h5ad: is not there"
    assert again.exit_code in (1, 2, 3, 4)
    with pytest.raises(builtin, match="is not there"):
        raise again
    assert str(kind()) == ""


def test_exit_codes_are_those_of_the_design():
    assert errors.LexicellError.exit_code == 1
    assert errors.CorruptDataError.exit_code == 4
    assert {k.exit_code for k in ERRORS} == {1, 2, 3, 4}
    error = errors.MissingExtraError.of(extra="demo", why="The demo")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own bytes
    assert 'pip install "lexicell[demo]"' in str(error)
    assert issubclass(InvalidCountsError, ValueError)


def test_both_packages_carry_their_types():
    for package in ("lexicell", "lexicell_kernels"):
        assert (importlib.resources.files(package) / "py.typed").is_file()


@pytest.fixture(scope="module")
def extras(repository) -> set[str]:
    with (repository / "pyproject.toml").open("rb") as file:
        return set(tomllib.load(file)["project"]["optional-dependencies"])


def test_extras_that_the_container_installs_exist(repository, extras):
    text = (repository / "Dockerfile.cuda").read_text()
    named = re.findall(r"^ARG EXTRAS=(\S+)", text, re.MULTILINE) + re.findall(r"lexicell\[([\w,]+)\]", text)
    named = {extra for group in named for extra in group.split(",")}
    assert any(extra.startswith("cuda") for extra in named)
    assert named <= extras


def test_extras_that_texts_and_messages_name_exist(repository, extras):
    files = [*repository.glob("*.md"), repository / "pyproject.toml"]
    for folder, kind in (("docs", "*.md"), ("engine", "*.py"), ("kernels", "*.py")):
        files += (repository / folder).rglob(kind)
    pattern = re.compile(r"lexicell\[([\w, ]+)\]|MissingExtraError\.of\(\s*(?:extra=)?\"(\w+)\"")
    named = {
        extra.strip()
        for path in files
        for group in pattern.findall(path.read_text(encoding="utf-8"))
        for extra in "".join(group).split(",")
    }
    named -= {"extra"}  # how a docstring writes "any of them"
    assert {"demo", "encoders"} <= named
    assert named <= extras


def test_package_citation_and_changelog_name_the_same_version(repository):
    with (repository / "pyproject.toml").open("rb") as file:
        assert lexicell.__version__ == tomllib.load(file)["project"]["version"]
    citation = (repository / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (\S+)$", citation, flags=re.MULTILINE) == [lexicell.__version__]
    changes = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = re.search(r"^## \[([^]]+)\](?: - (\d{4}-\d\d-\d\d))?$", changes, flags=re.MULTILINE)
    assert heading
    if heading[1] != "Unreleased":  # then it is a release, of a day
        assert heading.groups() == (
            lexicell.__version__,
            re.findall(r"^date-released: (\S+)$", citation, re.M)[0],
        )
