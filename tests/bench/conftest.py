import pytest


@pytest.fixture(scope="session")
def drawn():
    """300 synthetic cells, and random vectors for their genes; shared, so never written to."""
    from bench import gpu_cells

    block, described = gpu_cells.synthetic(300)
    return block, gpu_cells.random_table(described, 32, "float32", in_order=True)
