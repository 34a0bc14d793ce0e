"""tradewright: a self-hosted trading platform in one program."""

__version__ = "0.1.0"
