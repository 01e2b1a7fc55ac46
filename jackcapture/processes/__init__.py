"""Starting, watching and ending processes: the engine, control, and a private JACK server."""
