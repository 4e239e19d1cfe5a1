"""The command line. Its modules import what is heavy only when a command runs, so that `--help` comes at once."""
