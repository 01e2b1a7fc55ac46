"""The protocol between engine, control and clients: ZeroMQ frames that hold Cap'n Proto messages.

- envelope: one request or reply on a ROUTER socket; both carry the same id.
- broadcast: one event on a PUB socket, with a sequence number.
- command: what control asks of the engine; operation: what a client asks of control.

The specification is docs/protocol.md; the schemas are in schemas/.
"""
