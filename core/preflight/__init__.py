"""The checks before production: each takes what it judges, and says whether it is fit, and what to do."""
