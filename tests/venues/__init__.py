"""Servers that speak the protocols of real venues, so that the real client code runs against them."""
