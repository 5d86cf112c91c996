"""The demo's ground: an invented operation with its areas and conditions, where nations stand, and people to log in as.

What a nation said in public carries its address. Everything else is invented and marked illustrative, and is the same
every time.
"""
