"""The MCP server: a door for agents, over stdio (`jackcapture mcp`) and over HTTP (`http.py`).

tools.py says which operations are tools, and when an agent needs them; what their arguments and results are, control
tells. Everything goes through the client. Importing the SDK takes more than a second: only what runs the server does.
"""
