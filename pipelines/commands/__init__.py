"""One file a command: arguments in, a job called, a result printed; nothing else."""
