"""What several test modules share: a venue whose whole truth is known, and applications over it."""
