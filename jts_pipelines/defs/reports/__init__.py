"""What is made of a trading day after it has ended: reports and certificates."""
