"""Cells and genes by words: sentences about cell types, and the genes whose texts answer to them."""

__all__: list[str] = []
