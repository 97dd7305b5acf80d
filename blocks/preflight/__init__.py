"""What a check before production has to look at outside: files, certificates, servers, scripts."""
