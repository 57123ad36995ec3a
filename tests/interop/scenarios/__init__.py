"""One scenario a file; each has `run(devnet)`, whose docstring says what it proves."""
