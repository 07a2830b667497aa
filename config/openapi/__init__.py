"""The API's description: DRF's routes (operations.py), the routes that Channels serves (channels.py), and the
shapes that both speak of (shapes.py). It is served at /api/schema, and to read at /api/docs."""
