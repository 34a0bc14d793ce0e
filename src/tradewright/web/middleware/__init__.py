"""What every request passes: ids, host and origin rules, security headers, the error handler."""
