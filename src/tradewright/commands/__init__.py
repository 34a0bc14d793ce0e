"""Groups of commands of ``tradewright``, one module each; ``cli`` puts them together."""
