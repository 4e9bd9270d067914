"""Text from a model: prompts in, completions out, with the order in which they were decoded.

types.py      what is asked, `Ask`, and what comes back, `Completed`
completer.py  `open_completer`: the one place where a model or engine is chosen
diffusing.py  families that denoise in place: Dream and the like
embedded.py   `mini`: bodies of functions, best first
served.py     engines: servers, and autoregressive models of this machine
chatml.py     a conversation as text
extract.py    from an answer to the program in it
arness.py     how far a decoding went from left to right
"""
