"""HTTP messages, routing, request bodies and error responses: what all protocols share."""
