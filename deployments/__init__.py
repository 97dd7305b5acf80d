"""How, when and where things run: the command line, the processes, the schedules."""
