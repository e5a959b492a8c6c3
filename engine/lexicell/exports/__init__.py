"""Exports: what others can run or read without lexicell."""

from lexicell.exports.api import FORMATS, export
from lexicell.exports.cell_onnx import export_cell
from lexicell.exports.run import Exported

__all__ = ["FORMATS", "Exported", "export", "export_cell"]
