"""What exists where: chained records of published, evicted and superseded partitions."""
