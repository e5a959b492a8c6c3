"""What crossed between host and device, for tests that count it. Real CuPy has nothing like it."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass
class Counters:
    """Events since `reset`.

    Attributes
    ----------
    compilations
        Sources handed to the compiler, cached or not; a `RawModule` compiles once.
    launches
        Kernels started.
    uploads
        Host arrays copied to the device.
    downloads
        Arrays and scalars copied to the host; each one waits for its stream, unless told not to.
    synchronisations
        Explicit waits for a stream, an event or the device.
    """

    compilations: int = 0
    launches: int = 0
    uploads: int = 0
    downloads: int = 0
    synchronisations: int = 0

    def reset(self) -> None:
        """Start again from 0."""
        for field in fields(self):
            setattr(self, field.name, 0)


counters = Counters()
