"""The notebook's network in plain PyTorch, as someone who uses that would write it; with the weights of Keras' one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cloudseg_sdk import ModelConfig


class UNetPlusPlus(torch.nn.Module):  # type: ignore[misc]  # typed as Any
    """UNet++ of plain convolutions and ELU: standardized grey images ``(N, 1, H, W)`` in, maps ``(N, C, H, W)`` out.

    Parameters
    ----------
    config
        :meth:`ModelConfig.notebook`, of any filters and classes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        filters = config.filters
        levels = len(filters)
        layers: dict[str, torch.nn.Module] = {}
        for row in range(1, levels + 1):
            width = filters[row - 1]
            for column in range(1, levels - row + 2):
                before = column * width if column > 1 else (1, *filters)[row - 1]
                layers[f"conv{row}{column}_1"] = torch.nn.Conv2d(before, width, 3, padding=1)
                layers[f"conv{row}{column}_2"] = torch.nn.Conv2d(width, width, 3, padding=1)
                if column > 1:
                    layers[f"up{row}{column}"] = torch.nn.ConvTranspose2d(filters[row], width, 2, stride=2)
        layers[f"output_{levels - 1}"] = torch.nn.Conv2d(filters[0], len(config.classes), 1)
        self.layers = torch.nn.ModuleDict(layers)
        self.levels = levels

    def forward(self, x: Any) -> Any:
        """Run a batch."""
        nodes: dict[tuple[int, int], Any] = {}
        for deepest in range(1, self.levels + 1):
            below = x if deepest == 1 else torch.nn.functional.max_pool2d(nodes[deepest - 1, 1], 2)
            nodes[deepest, 1] = self._unit(below, f"conv{deepest}1")
            for row in range(deepest - 1, 0, -1):
                column = deepest - row + 1
                up = self.layers[f"up{row}{column}"](nodes[row + 1, column - 1])
                merged = torch.cat([up, *(nodes[row, left] for left in range(1, column))], 1)
                nodes[row, column] = self._unit(merged, f"conv{row}{column}")
        return torch.sigmoid(self.layers[f"output_{self.levels - 1}"](nodes[1, self.levels]))

    def _unit(self, x: Any, name: str) -> Any:
        for step in (1, 2):
            x = torch.nn.functional.elu(self.layers[f"{name}_{step}"](x))
        return x

    def take_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Take the weights of Keras' network; both kinds of kernel are (height, width, ..., ...) there."""
        for name, layer in self.layers.items():
            kernel = weights[f"{name}/kernel"].transpose(3, 2, 0, 1)
            layer.weight.data = torch.from_numpy(np.ascontiguousarray(kernel))
            layer.bias.data = torch.from_numpy(weights[f"{name}/bias"].copy())
