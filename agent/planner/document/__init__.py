"""What becomes of the newest document: accepted, refused or held, and which bytes its tags mean."""
