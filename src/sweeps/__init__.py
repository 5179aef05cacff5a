"""Many runs: their plan, the machines that compute them, their progress and their results."""
