"""What every layer above needs to run: clock, ids, supervised tasks, retry, rate limits, logging."""
