"""The overlays, from the leader's side: created, made anew, and whether their hosts hear of each other."""
