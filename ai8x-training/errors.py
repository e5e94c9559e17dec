"""The one exception that the command line turns into a message and exit status 1."""


class UserError(Exception):
    """Something that the user can put right; the text says what must hold, what was given and what to do."""
