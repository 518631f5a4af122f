"""The addresses of copies on overlays: which are pinned, who has them, and which were given out twice."""
