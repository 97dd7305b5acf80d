"""The audit log: who did what, when, from where and with what outcome, so that it can be proved that nothing was changed."""
