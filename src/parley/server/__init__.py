"""The only place that speaks ASGI: the web server with its routes, sockets, streams and page."""
