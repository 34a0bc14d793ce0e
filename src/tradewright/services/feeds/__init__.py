"""Feeds: one upstream stream each, from the venue to numbered messages on the bus, and their hubs."""
