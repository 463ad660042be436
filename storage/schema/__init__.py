"""One declaration per dataset; DDL, Arrow and Parquet options are derived from it."""
