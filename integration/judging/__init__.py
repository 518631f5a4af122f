"""Random edits and faults on the lab, with the outside judge (integration/judge) at every statement of the product."""
