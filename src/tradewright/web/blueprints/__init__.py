"""One module for each group of routes; each exports ``build(…) -> Blueprint``."""
