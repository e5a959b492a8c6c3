"""ONNX Runtime's sessions: on the requested device, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexicell._limits import limit_reached
from lexicell.errors import CorruptDataError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lexicell_kernels import Device

__all__ = ["offers", "open_session", "require_device"]

_PROVIDERS: dict[Device, tuple[str, dict[str, str]]] = {
    "cpu": ("CPUExecutionProvider", {}),
    # Otherwise matrices are multiplied in TF32, which keeps three decimal digits.
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),
}


def offers(device: Device) -> bool:
    """Whether the installed ONNX Runtime was made for a device."""
    import onnxruntime as ort

    return _PROVIDERS[device][0] in ort.get_available_providers()


def require_device(device: Device) -> None:
    """Check that ONNX Runtime can use a device, as far as that shows before a model is opened.

    Raises
    ------
    InputError
        If it cannot; the message says what to install.
    """
    import onnxruntime as ort

    if not offers(device):
        raise _no_device(ort.get_available_providers())
    if device == "cuda" and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # finds CUDA where pip has put it


def open_session(model: Path, options: Any, device: Device, *, remedy: str) -> Any:
    """Open a model on a device; returns the ``InferenceSession``.

    Parameters
    ----------
    model
        The ``.onnx`` file.
    options
        ``SessionOptions``; errors are all that ONNX Runtime logs.
    device
        "cpu", or "cuda" for the first NVIDIA GPU.
    remedy
        What to do about a damaged model; ends a sentence.

    Raises
    ------
    InputError
        If ONNX Runtime cannot use the device.
    CorruptDataError
        If it refuses the model.
    """
    import onnxruntime as ort

    require_device(device)
    options.log_severity_level = 3
    provider = _PROVIDERS[device]
    try:
        session = ort.InferenceSession(str(model), sess_options=options, providers=[provider])
    except Exception as error:  # ONNX Runtime's errors have no common base but Exception
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        message = f"ONNX Runtime cannot open {model} ({reason}); {remedy}."
        raise limit_reached(str(model), error) or CorruptDataError(message) from error
    # It falls back to the CPU in silence, for instance where CUDA's libraries are missing.
    if session.get_providers()[0] != provider[0]:
        raise _no_device(session.get_providers())
    return session


def _no_device(offered: Sequence[str]) -> InputError:
    return InputError(
        f"The device cuda cannot be used, ONNX Runtime offers {', '.join(offered)}: with an NVIDIA driver in "
        'place, pip uninstall onnxruntime, then pip install "onnxruntime-gpu>=1.28" for CUDA 13 or '
        '"onnxruntime-gpu<=1.26" for CUDA 12 (never both packages), or use the device cpu.'
    )
