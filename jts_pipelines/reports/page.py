"""Pieces of a self-contained page: escaped text, tables, figures. No script, no network."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from jts_pipelines.backtest.digests import Digests

CSS = """
:root { --ink:#1b2733; --muted:#66758a; --line:#e3e8ee; --soft:#f6f8fa; --head:#1b2733;
  --gain:#c9282d; --loss:#1f5fb5; --warn:#8a6212; --warn-soft:#fdf6e3; }
* { box-sizing:border-box; }
body { margin:0; background:#eef1f4; color:var(--ink); font:14px/1.5 system-ui,-apple-system,
  "Segoe UI",Roboto,"Noto Sans KR","Noto Sans CJK KR","Apple SD Gothic Neo","Malgun Gothic",
  sans-serif; font-variant-numeric:tabular-nums; }
main { max-width:1120px; margin:0 auto; background:#fff; padding:36px 44px 48px;
  box-shadow:0 0 24px rgba(27,39,51,.07); }
header { border-bottom:3px solid var(--head); padding-bottom:18px; margin-bottom:22px; }
h1 { font-size:27px; line-height:1.2; margin:0 0 4px; letter-spacing:-.01em;
  overflow-wrap:anywhere; }
h2 { font-size:16px; margin:34px 0 10px; padding-bottom:5px; border-bottom:1px solid var(--line); }
h3 { font-size:13px; margin:14px 0 6px; color:var(--muted); font-weight:600; }
p { margin:6px 0; } .muted { color:var(--muted); } .small { font-size:12px; }
.cards { display:grid; grid-template-columns:repeat(4,1fr); gap:10px; }
.card { background:var(--soft); border-radius:8px; padding:11px 14px; }
.card b { display:block; font-size:21px; font-weight:650; letter-spacing:-.01em; }
.card span { color:var(--muted); font-size:12px; }
.gain { color:var(--gain); } .loss { color:var(--loss); }
.warnings { background:var(--warn-soft); border-left:4px solid #d9a93a; border-radius:4px;
  padding:10px 18px; margin:20px 0 0; color:var(--warn); }
.warnings ul { margin:4px 0; padding-left:18px; } .warnings li { margin:3px 0; }
.verdict { display:inline-block; margin:0 0 14px; padding:4px 12px; border-radius:999px;
  font-weight:600; background:var(--soft); color:var(--muted); }
.verdict.good { background:#e8f4ec; color:#1c6b3a; } .verdict.bad { background:var(--warn-soft);
  color:var(--warn); }
.pair { display:grid; grid-template-columns:1fr 1fr; gap:22px; align-items:start; }
.pair > * { min-width:0; }
figure { margin:0; } figure svg { width:100%; height:auto; display:block; }
svg text { font-family:inherit !important; }
table { border-collapse:collapse; width:100%; font-size:12.5px; }
th { text-align:right; color:var(--muted); font-weight:600; border-bottom:1px solid var(--line);
  padding:5px 7px; white-space:nowrap; }
td { text-align:right; border-bottom:1px solid var(--line); padding:4px 7px; }
th:first-child, td:first-child, .left { text-align:left; }
td small { color:var(--muted); white-space:nowrap; }
abbr { text-decoration:underline dotted var(--muted); text-underline-offset:3px; cursor:help; }
.heat td { text-align:center; border:2px solid #fff; border-radius:5px; padding:5px 2px; }
.heat th { text-align:center; border:0; } .heat td:first-child, .heat th:first-child {
  text-align:left; font-weight:600; }
pre { background:var(--soft); border-radius:8px; padding:14px 16px; overflow-x:auto; margin:0;
  font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; }
code { font:11.5px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; overflow-wrap:anywhere; }
footer { margin-top:34px; color:var(--muted); font-size:12px; border-top:1px solid var(--line);
  padding-top:12px; }
@media (max-width:760px) { main { padding:22px 16px; } .cards { grid-template-columns:1fr 1fr; }
  .pair { grid-template-columns:1fr; } .wide { overflow-x:auto; }
  .heat { min-width:620px; } h1 { font-size:22px; } .card b { font-size:18px; } }
@media print { body { background:#fff; font-size:11px; print-color-adjust:exact;
  -webkit-print-color-adjust:exact; } main { box-shadow:none; padding:0; max-width:none; }
  figure, .card, .warnings, tr { break-inside:avoid; } h2, h3 { break-after:avoid; }
  pre { white-space:pre-wrap; } abbr { text-decoration:none; } }
"""


def page(title: str, body: Iterable[str]) -> str:
    """Return a whole page; `body` is markup that is already safe."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">"
        f"<title>{escape(title)}</title><style>{CSS}</style></head>\n<body><main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main></body></html>\n"
    )


def write_page(path: Path, text: str) -> Path:
    """Write a page; the file appears whole or not at all, its folder is made.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".page-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(unfinished).chmod(0o644)
        Path(unfinished).replace(path)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return path


def warned(title: str, texts: Sequence[str]) -> str:
    """Return a box with what should be read first, or nothing without texts."""
    if not texts:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<div class="warnings"><b>{escape(title)}</b><ul>{items}</ul></div>'


def section(title: str, *parts: str) -> str:
    """Return a titled section, or nothing when it has no content."""
    content = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if content else ""


def card(label: str, value: str, *, tone: str = "", hint: str = "") -> str:
    """Return one figure with its label; the tone is gain, loss or empty, the hint a hover text."""
    figure = f'<b class="{tone}">{escape(value)}</b>'
    return f'<div class="card">{figure}<span>{hinted(label, hint)}</span></div>'


def hinted(label: str, hint: str) -> str:
    """Return a label that explains itself on hover."""
    return f'<abbr title="{escape(hint)}">{escape(label)}</abbr>' if hint else escape(label)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], style: str = "") -> str:
    """Return a table; cells are texts, escaped here, unless made by `cell`."""
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    header = f"<thead><tr>{names}</tr></thead>" if any(head) else ""
    body = "".join(f"<tr>{''.join(map(_td, row))}</tr>" for row in rows)
    return f'<div class="wide"><table class="{style}">{header}<tbody>{body}</tbody></table></div>'


class Cell(str):
    """Markup of one table cell, safe as it is."""

    __slots__ = ()


def cell(text: str, *, tone: str = "", note: str = "", colour: str = "") -> Cell:
    """Return a cell with a tone, a smaller note behind the text, or a background colour."""
    style = f' style="background:{colour}"' if colour else ""
    small = f" <small>{escape(note)}</small>" if note else ""
    return Cell(f'<td class="{tone}"{style}>{escape(text)}{small}</td>')


def figure(svg: str) -> str:
    """Return a chart as a figure, or nothing for an empty one."""
    return f"<figure>{svg}</figure>" if svg else ""


def pair(left: str, right: str) -> str:
    """Return two parts side by side, or nothing when both are empty."""
    return f'<div class="pair"><div>{left}</div><div>{right}</div></div>' if left or right else ""


def _td(content: str) -> str:
    return content if isinstance(content, Cell) else f"<td>{escape(content)}</td>"


def identity_table(digests: Digests, result: str) -> str:
    """Return what identifies a run, and its result."""
    shown = {
        "data": digests.data,
        "strategy": digests.code,
        "parameters": digests.params,
        "settings": digests.config,
        "engine": digests.engine,
        "result": result,
    }
    cells = {
        name: Cell(f'<td class="left"><code>{value}</code></td>') for name, value in shown.items()
    }
    return table(("", ""), [(f"digest of {name}", cell) for name, cell in cells.items()])
