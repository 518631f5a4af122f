"""Makes one document of a Compose project on the operator's machine. The agents read only documents.

`load` reads the files; `compile_project` merges them and rewrites what a document has no word for.
"""

from agent.compose.project import Compiled, compile_project
from agent.compose.sources import Project, load

__all__ = ["Compiled", "Project", "compile_project", "load"]
