"""One file a command: `SUMMARY`, `add_arguments(parser)`, `run(args) -> exit code`. Heavy imports stand inside `run`."""
