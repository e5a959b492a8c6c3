"""Exports: what others can run or read without lexicell."""

from lexicell.export.cell_onnx import export_cell

__all__ = ["export_cell"]
