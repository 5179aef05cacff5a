"""The acting state is the last screens, oldest first."""

from __future__ import annotations

import numpy as np

from state_buffer import StateBuffer


def test_holds_the_last_screens_in_order() -> None:
    buffer = StateBuffer(history_length=3, screen_height=2, screen_width=5)
    assert buffer.state().shape == (3, 2, 5)
    assert not buffer.state().any()
    for i in range(1, 6):
        buffer.add(np.full((2, 5), i, np.uint8))
    assert buffer.state()[:, 0, 0].tolist() == [3, 4, 5]
    buffer.reset()
    assert not buffer.state().any()
