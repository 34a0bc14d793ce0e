"""Services: what the product does, between the web above and plugins and stores below."""
