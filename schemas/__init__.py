"""Cap'n Proto schemas, shipped inside the package as `jackcapture._schemas`."""
