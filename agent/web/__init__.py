"""What the outside may look at, over HTTP: metrics, health, status. Nothing can be changed here."""

from agent.web.access import Access
from agent.web.metrics import Metrics
from agent.web.pages import Sources
from agent.web.server import WebServer, serve

__all__ = ["Access", "Metrics", "Sources", "WebServer", "serve"]
