"""The style of pages of HTML: the same blocks look the same in a file and in a web page.

Colours come in pairs, for light and for dark; each has a contrast of 4.5 or more to its ground.
Nothing is loaded, no font either, and no element has a style of its own: a page may allow
this text alone, by its digest.
"""

from __future__ import annotations

import base64
import hashlib

STYLE = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --raised: #f6f8fa; --line: #d1d9e0; --text: #1f2328; --quiet: #59636e;
  --user: #0550ae; --answer: #116329; --call: #6639ba; --error: #b3121d; --cut: #7d4e00;
  --word: #a40e26; --string: #0a3069; --number: #0550ae; --name: #6639ba;
  --added: #116329; --removed: #b3121d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1117; --raised: #161b22; --line: #3d444d; --text: #e6edf3; --quiet: #9ea7b3;
    --user: #79c0ff; --answer: #7ee787; --call: #d2a8ff; --error: #ff9492; --cut: #f0b72f;
    --word: #ff9492; --string: #a5d6ff; --number: #79c0ff; --name: #d2a8ff;
    --added: #7ee787; --removed: #ff9492;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; background: var(--page);
  color: var(--text); font: 1rem/1.55 system-ui, sans-serif;
}
h1 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 .4rem; overflow-wrap: anywhere; }
code, pre, .result > .text > .plain {
  font: .875em/1.5 ui-monospace, "SFMono-Regular", Menlo, monospace;
}
a { color: var(--user); overflow-wrap: anywhere; }
.head { color: var(--quiet); margin: 0 0 .5rem; }
.head > span:not(:last-child)::after { content: " \\b7"; }
.head .state { color: var(--cut); font-weight: 600; }
.head .state.completed { color: var(--answer); }
.head .state.failed, .head .state.refused, .head .state.unreadable { color: var(--error); }
.aside { color: var(--quiet); font-size: .875rem; overflow-wrap: anywhere; margin: .2rem 0; }
.aside summary { cursor: pointer; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0; }
dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; color: var(--text); }
.exchange { margin: 2rem 0 .5rem; padding-top: 1rem; border-top: 1px solid var(--line); }
.block { margin: .9rem 0; padding: .1rem 0 .1rem .9rem; border-left: 3px solid var(--line); }
.block > h2, .block > summary, .result > h3 {
  font-size: .8125rem; font-weight: 600; margin: 0 0 .2rem; color: var(--quiet);
}
.block > summary { cursor: pointer; overflow-wrap: anywhere; }
.block > summary .preview { font-weight: 400; }
.block[open] > summary .preview { display: none; }
.user { border-color: var(--user); } .user > h2 { color: var(--user); }
.answer { border-color: var(--answer); } .answer > h2 { color: var(--answer); }
.call, .result { border-color: var(--call); }
.call > summary, .block.result > summary { color: var(--call); }
.error { border-color: var(--error); }
.error > h2, .error > summary, .error > h3 { color: var(--error); }
.cut-off { border-color: var(--cut); } .cut-off > h2 { color: var(--cut); }
.reasoning .text { color: var(--quiet); }
.text { overflow-wrap: anywhere; min-width: 0; }
.text > :first-child { margin-top: 0; } .text > :last-child { margin-bottom: 0; }
.text h1, .text h2, .text h3 { font-size: 1.1rem; line-height: 1.3; margin: 1rem 0 .4rem; }
.plain { white-space: pre-wrap; margin: 0; }
pre {
  background: var(--raised); border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0;
  padding: .6rem .8rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere;
}
:not(pre) > code { background: var(--raised); border-radius: 4px; padding: .1em .3em; }
.call > .text > pre, .result > .text > pre, .result > .text > .plain {
  max-height: 30rem; overflow: auto;
}
blockquote { margin: .5rem 0; padding-left: .9rem; border-left: 3px solid var(--line); }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left; }
img { max-width: 100%; max-height: 40rem; border: 1px solid var(--line); border-radius: 6px; }
.citations { font-size: .875rem; margin: .5rem 0 0; padding-left: 1.5rem; }
.h-w { color: inherit; } [class^="h-k"] { color: var(--word); }
[class^="h-s"] { color: var(--string); } [class^="h-m"] { color: var(--number); }
[class^="h-n"] { color: inherit; } .h-nt, .h-nf, .h-nc, .h-nb, .h-nd { color: var(--name); }
[class^="h-c"] { color: var(--quiet); font-style: italic; }
.h-gi { color: var(--added); } .h-gd { color: var(--removed); } .h-gu, .h-gh { color: var(--name); }
footer { margin-top: 3rem; color: var(--quiet); font-size: .8125rem; }
"""


def digest_style(style: str = STYLE) -> str:
    """Return a style as a Content-Security-Policy names it: `'sha256-...'`."""
    digest = hashlib.sha256(style.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def build_policy(style: str = STYLE) -> str:
    """Return the Content-Security-Policy of a page that has this style and pictures of its own."""
    return (
        f"default-src 'none'; style-src {digest_style(style)}; img-src data:; base-uri 'none';"
        " form-action 'none'"
    )
