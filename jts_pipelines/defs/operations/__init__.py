"""What watches the runs."""
