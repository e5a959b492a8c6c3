"""Errors of launches."""


class CUDADriverError(RuntimeError):
    """A call of the driver failed."""

    def __init__(self, status: int, text: str = "") -> None:
        self.status = status
        super().__init__(text or f"CUDA_ERROR {status}")
