"""The command line: scripts and their flags, where files are, errors and exit codes."""
