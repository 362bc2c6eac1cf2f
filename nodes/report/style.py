"""The style sheet of a page: light and dark, from the width of a phone on.

The colors of lines are those of Okabe and Ito (2008), which color-blind people tell apart; lines differ by dashes, too.
"""

from __future__ import annotations

LINES = 6  # lines of a chart that look different

STYLE = """
:root { --paper: #fff; --ink: #1d2327; --quiet: #5d6770; --rule: #dde2e6; --shade: #f4f6f8; --good: #00674a;
  --bad: #a33c00; --cell: 0, 114, 178; --l0: #0072b2; --l1: #d55e00; --l2: #009e73; --l3: #cc79a7; --l4: #b88600;
  --l5: #3d4850; }
@media (prefers-color-scheme: dark) { :root { --paper: #15191c; --ink: #e4e8eb; --quiet: #a0abb3; --rule: #353d43;
  --shade: #1e2428; --good: #3fc79a; --bad: #ff9a5c; --cell: 86, 180, 233; --l0: #56b4e9; --l1: #ff8a3c; --l2: #2fc595;
  --l3: #e39fc4; --l4: #f0e442; --l5: #c5cdd3; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 20px 16px 48px; overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 8px; }
h2 { font-size: 1.08rem; margin: 32px 0 8px; padding-top: 12px; border-top: 1px solid var(--rule); }
p { margin: 8px 0; }
.outcome { font-size: 1.08rem; padding: 10px 14px; background: var(--shade); border-left: 5px solid var(--good); }
.outcome.bad { border-left-color: var(--bad); }
.quiet, figcaption, dt, th { color: var(--quiet); }
dl { display: grid; grid-template-columns: minmax(7rem, 12rem) 1fr; gap: 2px 16px; margin: 8px 0; }
dd { margin: 0; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 20px 24px; }
figure { margin: 0; min-width: 0; }
figure h3 { font-size: .95rem; margin: 0; }
figure svg { width: 100%; height: auto; display: block; }
figcaption { font-size: .85rem; }
figcaption span { margin-right: 14px; white-space: nowrap; }
figcaption svg { width: 26px; height: 8px; display: inline-block; margin-right: 5px; }
svg text { fill: var(--quiet); font: 12px system-ui, sans-serif; }
.grid { stroke: var(--rule); } .level { stroke: var(--ink); stroke-width: 1.2; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .band { opacity: .2; stroke: none; }
.l0 { stroke: var(--l0); fill: var(--l0); } .l1 { stroke: var(--l1); fill: var(--l1); }
.l2 { stroke: var(--l2); fill: var(--l2); } .l3 { stroke: var(--l3); fill: var(--l3); }
.l4 { stroke: var(--l4); fill: var(--l4); } .l5 { stroke: var(--l5); fill: var(--l5); }
.line { fill: none; }
.wide { overflow-x: auto; overflow-wrap: normal; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; white-space: nowrap; }
td, th { padding: 3px 14px 3px 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
.n { text-align: right; white-space: nowrap; }
.matrix td { padding: 3px 8px; text-align: right; min-width: 2.4rem; }
ul { padding-left: 20px; margin: 8px 0; }
pre { background: var(--shade); padding: 10px 14px; overflow-x: auto; font-size: .85rem; }
summary { cursor: pointer; }
@media print { body { font-size: 12px; } section { break-inside: avoid; } }
"""
