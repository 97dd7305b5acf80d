"""How each kind of chart puts its data on a sheet."""
