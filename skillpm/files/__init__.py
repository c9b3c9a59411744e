"""Files that others may have touched: who may write them, and how they are read."""
