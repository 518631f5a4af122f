"""What the outside may look at, over HTTP: metrics, health, status. Nothing can be changed here."""

from agent.http.access import Access
from agent.http.pages import Sources
from agent.http.server import WebServer, serve

__all__ = ["Access", "Sources", "WebServer", "serve"]
