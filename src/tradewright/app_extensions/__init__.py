"""What is opened before the server serves and closed after it: logging, secrets, databases, buses."""
