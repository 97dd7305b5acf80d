"""Starting, watching and stopping the parts on one machine."""
