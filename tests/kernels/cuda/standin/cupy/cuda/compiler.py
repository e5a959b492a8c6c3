"""Errors of compilation."""


class CompileException(Exception):  # noqa: N818  # CuPy's name
    """The compiler refused the source."""

    def __init__(self, msg: str, source: str, name: str, options: tuple[str, ...],
                 backend: str = "nvrtc") -> None:  # fmt: skip
        super().__init__(msg)
        self._msg, self.source, self.name, self.options, self.backend = msg, source, name, options, backend

    def __str__(self) -> str:
        return self._msg

    def get_message(self) -> str:
        return self._msg
