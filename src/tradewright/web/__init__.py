"""The HTTP and WebSocket face, and the pages: parse, authorise, call one service, encode."""
