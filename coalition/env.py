"""The one reader of the environment. Every reader takes a default, so an empty environment works.

``NAME_FILE`` (a Docker secret) is read where ``NAME`` is not set. A value that cannot be understood stops the start
with a sentence: a mistyped "flase" must not open a door.
"""

from environs import FileAwareEnv

_env = FileAwareEnv()

text = _env.str
number = _env.int
flag = _env.bool
words = _env.list
path = _env.path
