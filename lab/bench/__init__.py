"""`make bench`: speed as ratios, on the lab and on clusters made up."""
