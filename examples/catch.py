"""Catch: balls fall, a paddle catches them. docs/your_own_environment.md walks through it."""

import numpy as np
from numpy.typing import NDArray

ROWS, COLUMNS, CELL = 9, 9, 8  # of the board; a cell is 8 x 8 pixels
BALLS = 10  # per game
PADDLE, BALL = (90, 160, 255), (255, 200, 60)  # red, green, blue


class Catch:
    """A paddle three cells wide: +1 for a ball it catches, -1 for one it misses."""

    action_names = ("NOOP", "RIGHT", "LEFT")
    frames_per_second = 8  # when somebody watches

    def __init__(self, *, random_seed: int = 0) -> None:
        """The same seed gives the same balls."""
        self.rng = np.random.default_rng(random_seed)
        self.restart()

    def restart(self) -> None:
        """Begin a new game."""
        self.balls = BALLS
        self.paddle = COLUMNS // 2
        self.drop()

    def drop(self) -> None:
        """Put a new ball into a random column at the top."""
        self.row, self.column = 0, int(self.rng.integers(COLUMNS))

    def act(self, action: int) -> float:
        """Move the paddle, let the ball fall by one cell, and return the reward."""
        self.paddle = min(max(self.paddle + (0, 1, -1)[action], 1), COLUMNS - 2)
        self.row += 1
        if self.row < ROWS - 1:
            return 0.0
        caught = abs(self.paddle - self.column) <= 1
        self.balls -= 1
        self.drop()
        return 1.0 if caught else -1.0

    def screen(self) -> NDArray[np.uint8]:
        """What the player sees, (72, 72, 3) uint8."""
        board = np.zeros((ROWS, COLUMNS, 3), np.uint8)
        board[-1, self.paddle - 1 : self.paddle + 2] = PADDLE
        board[self.row, self.column] = BALL
        return board.repeat(CELL, axis=0).repeat(CELL, axis=1)

    def is_terminal(self) -> bool:
        """Whether the game is over."""
        return self.balls == 0
