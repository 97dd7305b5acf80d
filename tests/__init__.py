"""The suite: one folder per room, the tour and the house rules."""
