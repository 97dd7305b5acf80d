"""FastGPT's plugin service: every generation of its HTTP contract, answered by one process.

Generation A is ``/tool``, ``/model`` and ``/workflow`` with the header ``authtoken``; B and C share ``/api`` and bearer tokens.
``docs/fastgpt.md`` says which FastGPT speaks which, and where we differ from the service whose place this takes.
"""
