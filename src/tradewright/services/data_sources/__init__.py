"""Where bars come from: each source answers what it can and says what it could not."""
