"""Answers to requests for stored responses, as OpenAI gives them.

`request` reads what is asked, `answers` looks it up and answers, in the ingester;
`service` asks it while traffic passes. Nothing here knows mitmproxy.
"""
