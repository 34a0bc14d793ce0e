"""What belongs to one person: their preferences and their keys. ``UserService`` is the way in."""
