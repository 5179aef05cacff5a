"""Where the replay memory keeps its screens."""
