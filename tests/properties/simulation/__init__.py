"""Whole agents on three to seven hosts in memory live through histories of whatever can happen, and are watched."""
