"""Many runs: what they are, where they are computed, how far they are, and what came of them."""
