"""``python -m tradewright`` is the command ``tradewright``."""

from tradewright.cli import main

main()
