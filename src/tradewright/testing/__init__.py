"""What authors of plugins and stores get for their tests: conformance checks and a clock to drive."""
