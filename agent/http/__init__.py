"""The read-only HTTP server: metrics, health and status."""

from agent.http.access import Access
from agent.http.server import Sources, WebServer, serve

__all__ = ["Access", "Sources", "WebServer", "serve"]
