"""A judge from outside: docker on all hosts and the document decide, and nothing of the product is imported or asked.

It reads each dockerd by its socket and the document as plain YAML. tests/tools/test_judge.py checks that no module of
`agent` is loaded by it.
"""
