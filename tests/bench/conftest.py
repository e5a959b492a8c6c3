import pytest


def by_group(groups):
    """Cases for each group of rows by its key; those with real cells are marked."""
    return [
        pytest.param(
            *([key] if isinstance(key, str) else key),
            marks=pytest.mark.data if any(row.data in ("pbmc3k", "baron") for row in rows) else (),
        )
        for key, rows in groups.items()
    ]


@pytest.fixture(scope="session")
def drawn():
    """300 synthetic cells, and random vectors for their genes; shared, so never written to."""
    from bench.gpu import cells

    block, described = cells.synthetic(300)
    return block, cells.random_table(described, 32, "float32", in_order=True)
