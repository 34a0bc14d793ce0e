"""Venues behind one interface: ``MarketPlugin``, the plugins, and the ``PluginLoader`` that finds them."""
