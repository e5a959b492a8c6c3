"""HDF5 files and Zarr hierarchies, on a disk or at a URL: how they are opened, and read within bounds."""
