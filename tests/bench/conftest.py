import pytest

from lexicell.embedding import pipeline


def by_group(groups):
    """Cases for each group of rows by its key; those with real cells are marked."""
    return [
        pytest.param(
            *([key] if isinstance(key, str) else key),
            marks=pytest.mark.data if any(row.data in ("pbmc3k", "baron") for row in rows) else (),
        )
        for key, rows in groups.items()
    ]


def spoil_vectors(monkeypatch):
    """Let the kernel be wrong in one number of each block."""
    right = pipeline.embed_rows

    def wrong(*args, **options):
        made = right(*args, **options)
        made.vectors[-1, 5] += 0.01
        return made

    monkeypatch.setattr(pipeline, "embed_rows", wrong)


@pytest.fixture(scope="session")
def drawn():
    """300 synthetic cells, and random vectors for their genes; shared, so never written to."""
    from bench.gpu import cells

    block, described = cells.synthetic(300)
    return block, cells.random_table(described, 32, "float32", in_order=True)
