"""Exports: what others can run or read without lexicell."""

from lexicell.exports.api import FORMATS, Format, export
from lexicell.exports.cell_onnx import export_cell
from lexicell.exports.run import Exported

__all__ = ["FORMATS", "Exported", "Format", "export", "export_cell"]
