"""A network of your own: docs/your_own_network.md walks through it."""

import torch
from torch import Tensor, nn

from config import NetworkSettings


class MyNetwork(nn.Module):
    """Two convolutions, each followed by pooling, as in networks for photographs."""

    hidden = 256  # units of the hidden layer after the features

    def __init__(self, settings: NetworkSettings) -> None:
        """`settings` has the value of every flag, such as the number and size of screens."""
        super().__init__()
        self.first = nn.Conv2d(settings.history_length, 16, kernel_size=5, stride=2)
        self.second = nn.Conv2d(16, 32, kernel_size=3)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, channels, height, width) of screens (N, history_length, height, width)."""
        x = self.pool(torch.relu(self.first(x)))
        features: Tensor = self.pool(torch.relu(self.second(x)))
        return features
