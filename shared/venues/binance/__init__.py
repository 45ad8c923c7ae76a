"""All that is Binance USDⓈ-M's and not ours: what is sent and read there, what its answers mean, its oddities.

stream.py    the address of the streams, and how a connection to it is opened
frames.py    a frame of the stream -> rows, a row -> a mark price or a volume
rest.py      a request: routes, what each weighs, the ban that is obeyed
answers.py   an answer -> a good one, or the error that says what to do next
bodies.py    the body of a good answer -> facts
"""
