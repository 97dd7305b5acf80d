"""Who somebody is: accounts and their passwords, what a login is worth, and which directories vouch for people."""
