"""Watching an agent play: window, terminal, joystick, film."""
