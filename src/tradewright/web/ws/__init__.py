"""The live socket: strict decoding, a session without I/O, a bounded outbox, and what joins them."""
