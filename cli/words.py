"""Every word the services write about a symbol or a cycle, as a sentence for a person.

A reason that is not here is shown as it stands; a test holds this table to what the services can write.
"""

from __future__ import annotations

LEFT_OUT = {
    "missing_mark": "there is no mark price for it, and without one its value cannot be told",
    "stale_mark": "its mark price has stopped updating, and a value made of an old price would be wrong",
    "non_positive_mark": "its mark price is zero or negative",
    "non_finite": "one of its numbers is too large, too small or no number at all",
    "stale_open_interest": "its last good open interest is too old to be published",
    "zero_open_interest": "the exchange says that its open interest is zero",
    "not_in_universe": "it left the universe while the sweep was under way",
    "symbol_collision": "the backend would take it for another symbol of the same spelling",
    "fetch_failed": "asking the exchange for its open interest failed",
}

FAILURES = {
    "timeout": "the exchange did not answer in time when asked for its open interest",
    "connection": "the connection to the exchange failed while its open interest was asked for",
    "server_error": "the exchange answered with a fault of its own (5xx) when asked for its open interest",
    "rate_limited": "the exchange asked for quiet (429) before it answered for this symbol",
    "banned": "the exchange has banned this address (418): nothing may be asked until the ban ends",
    "out_of_weight": "this minute's request weight was used up before its turn came",
    "refused": "the exchange refuses everything from this address: firewall (403), location (451) or maintenance",
    "rejected": "the exchange rejected the request for its open interest",
    "bad_reply": "the exchange's answer for its open interest could not be trusted: malformed, or not a number",
    "not_trading": "the exchange says that it does not trade (-4108): delisted, settling, or not open yet",
    "invalid_symbol": "the exchange knows no such symbol (-1121)",
    "unreadable": "the number in the stored sweep cannot be read",
}

SERVED = {
    "verified": "served as sent",
    "missing": "sent, and not served: the backend took the batch and does not show this symbol",
    "outdated": "an earlier value of ours is still served: the backend took the batch and did not update this symbol",
    "foreign": "a value is served that nobody here sent: another writer feeds the backend",
    "unreadable": "served in a form that is no number: what it is worth there cannot be told",
    "ghost": "still served though it has left the universe: an old value that nobody updates",
    "kept": "not in the last batch: the backend still serves an earlier value, which grows old",
}

VERDICTS = {
    "VERIFIED": "every symbol sent is served with the value that was sent",
    "PARTIAL": "not everything that was sent is served as it was sent",
    "UNVERIFIED": "what is served could not be read back",
    "FOREIGN": "values are served that nobody here sent: another writer feeds the backend",
    "UNAUDITED": "BACKEND_AUDIT=off: nobody looks at what is served",
}

DOUBTS = {
    "stale": "too old to be added up: it was last believed more than 30 s ago",
    "unknown_sides": "nobody tells whether it counts one side or both, so it is not added up",
    "both_sides": "it counts both sides",
    "no_mark": "it has no price",
    "no_price": "nothing proves which coin it is",
    "price_off": "its price is another coin's, or its figure is in another unit",
    "absurd": "far more than Binance has; believed when it was so for a day",
    "jump": "it changed more at once than a market does; believed when it was so for a day",
    "frozen": "its figure stands still while its price moves",
    "time_back": "its time went back",
    "astray": "the venue's rows do not belong to their names",
    "late": "the venue sends an old answer",
    "meaning_changed": "all of the venue's figures changed at once: they count something else now",
}


def sentence(table: dict[str, str], word: str) -> str:
    return table.get(word, word)
