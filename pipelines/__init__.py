"""The jobs, and the only place where the parts are wired together."""
