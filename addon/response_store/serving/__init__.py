"""Answering requests for stored responses, the way OpenAI does.

`request` reads what is asked, `stored` says what a store gives, `serve` brings the two together;
what they use is from values to values. `service` does it while traffic passes, on the threads of
`readers`. Nothing here knows mitmproxy or a database.
"""
