"""What KIS does wrong on a bad day: scenarios in TOML, and how they change calls and bars."""
