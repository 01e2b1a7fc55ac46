"""Real parts that the tests run against: a JACK server, sources whose every sample says where it belongs."""
