"""How history is fetched on request: plans, one venue's manners, jobs at work, repairs, and who watches."""
