"""The network on Neon, the library of 2015."""
