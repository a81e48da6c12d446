"""What a KIS on a bad day does: scenarios in TOML, and how they reach calls and bars."""
