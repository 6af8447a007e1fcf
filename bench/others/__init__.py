"""What Trident is measured against, on the same servers in the same run."""
