"""What ``AuthService`` is made of, a module for each thing that it knows."""
