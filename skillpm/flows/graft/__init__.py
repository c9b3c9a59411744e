"""Write the grafted model, reuse an earlier graft, export one skill."""
