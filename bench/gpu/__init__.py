"""Whether the GPU kernel is right on a device, and how fast it and the engine are there; see `__main__`."""
