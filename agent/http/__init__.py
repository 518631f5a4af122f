"""The read-only HTTP server: metrics, health and status."""

from agent.http.access import Access
from agent.http.pages import Sources
from agent.http.server import WebServer, serve

__all__ = ["Access", "Sources", "WebServer", "serve"]
