"""Exports a network: parameters as PyTorch arranges them, or an ONNX model."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from errors import UserError

if TYPE_CHECKING:
    from deepqnetwork import DeepQNetwork
    from network import Network

Array = NDArray[np.float32]
# Arrangements of exported tensors. CONVOLUTION: (filters, channels, height, width). VECTOR:
# (outputs,). SAME: as in a snapshot, which is (outputs, inputs) for a linear layer.
CONVOLUTION, VECTOR, SAME = "convolution", "vector", "same"
OPSET = 20  # version of ONNX's operators


def exported_tensors(network: DeepQNetwork) -> dict[str, tuple[str, Array]]:
    """Arrangement and values of each parameter and running statistic, by name."""
    from snapshot.torch_weights import tensors_of

    network.wait()
    layers, found = network.average.layers(), {}
    for name, array in tensors_of(network.average).items():
        prefix, _, part = name.rpartition(".")
        layer, arrangement = layers.get(prefix), SAME
        if layer and part == "weight" and layer.size:
            shape = (layer.outputs, layer.inputs[0], layer.size, layer.size)
            arrangement, array = CONVOLUTION, array.T.reshape(shape)
        elif layer and part in ("bias", "beta", "gamma"):
            arrangement, array = VECTOR, array[:, 0]
        # NB! Not ascontiguousarray, which turns a scalar's shape () into (1,).
        found[name] = (arrangement, np.asarray(array, order="C"))
    return found


def imported_tensor(arrangement: str, array: Array) -> Array:
    """The inverse: a tensor as in a snapshot. Raises ValueError if its shape is wrong."""
    if arrangement == CONVOLUTION and array.ndim == 4:
        return np.ascontiguousarray(array.reshape(len(array), -1).T)
    if arrangement == VECTOR and array.ndim == 1:
        return array[:, None]
    if arrangement != SAME:
        raise ValueError(f"a {arrangement} of shape {array.shape}")
    return array


def described_layers(network: DeepQNetwork) -> list[dict[str, Any]]:
    """The layers with weights, in the order of the forward pass."""
    return [
        {
            "name": name,
            "inputs": list(layer.inputs),
            "outputs": layer.outputs,
            "relu": layer.relu,
        }
        | (
            {"size": layer.size, "stride": layer.stride, "padding": layer.padding}
            if layer.size
            else {}
        )
        for name, layer in network.average.layers().items()
    ]


def onnx_model(network: DeepQNetwork) -> Any:
    """An ONNX model from `states` (N, history, height, width) uint8 to `q_values` (N, num_actions).

    Needs onnxscript.
    """
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

    class Exported(nn.Module):
        """The forward pass in plain operations."""

        def __init__(self, network: Network) -> None:
            super().__init__()
            self.features, self.head = network.features, network.head
            self.block, self.padding = network.block, network.padding
            self.divisor = 255 / network.pixel_max

        def forward(self, states: Tensor) -> Tensor:
            x = F.pad(states.float() / self.divisor, (self.padding,) * 4)
            block, (channels, height, width) = self.block, x.shape[1:]
            rows, columns = height // block, width // block
            x = x[..., : rows * block, : columns * block]
            x = x.reshape(-1, channels, rows, block, columns, block).permute(0, 1, 3, 5, 2, 4)
            x = x.reshape(-1, channels * block**2, rows, columns)
            q: Tensor = self.head.q_values(self.head(self.features(x)))
            return q

    network.wait()
    network.average.renew_noise(None)
    example = torch.zeros(2, *network.state_shape, dtype=torch.uint8, device=network.device)
    chatty = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    levels = [each.level for each in chatty]
    for each in chatty:
        each.setLevel(logging.CRITICAL)
    # What these packages print is for their own developers; an error is reported below.
    quiet = contextlib.redirect_stderr(io.StringIO())
    try:
        with warnings.catch_warnings(), torch.no_grad(), quiet:
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                Exported(network.average).eval(),
                (example,),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=["states"],
                output_names=["q_values"],
                dynamic_shapes={"states": {0: torch.export.Dim("batch")}},
            )
    except torch.onnx.OnnxExporterError as error:  # of somebody's own layers
        raise UserError(
            f"PyTorch cannot export this network as ONNX ({type(error.__cause__ or error).__name__}"
            "): use --format safetensors."
        ) from None
    finally:
        for each, level in zip(chatty, levels, strict=True):
            each.setLevel(level)
    assert program
    return program.model_proto
