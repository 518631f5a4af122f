"""What the outside may look at, over HTTP: metrics, health, status. Nothing can be changed here."""

from agent.http.access import Access
from agent.http.server import Sources, WebServer, serve

__all__ = ["Access", "Sources", "WebServer", "serve"]
