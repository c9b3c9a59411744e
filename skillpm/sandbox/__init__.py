"""The sandbox: a confined process that handles untrusted input (ADR 22).

skillpm starts a supervisor, and the supervisor starts one worker for each session. A worker runs
third-party code, such as a tokenizer, on untrusted files. The operating system denies the worker
access to the user's files, the network and other processes.
"""
