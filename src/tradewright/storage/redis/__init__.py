"""Redis: what several server processes share, and nothing that could not be had elsewhere."""
