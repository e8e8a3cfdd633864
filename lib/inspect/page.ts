import { createHash } from 'node:crypto'
import { SCRIPT } from './script.ts'

const STYLE = `
:root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif }
body { margin: 1.5rem; max-width: 90rem }
h1 { font-size: 1.3rem }
h2 { font-size: 1.05rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884; overflow-wrap: anywhere }
td.number { text-align: right; font-variant-numeric: tabular-nums }
code { font: 12px ui-monospace, monospace }
tr.current { opacity: .5 }
tr.aborted td:first-child, .bad { color: #cf222e; font-weight: 600 }
form { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; margin: 1rem 0 }
input[type=search] { min-width: 16rem }
.quiet { opacity: .7 }
`

/** The page. It contains no value: its script reads the data and writes it as text. */
export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>In flight</title>
<style>${STYLE}</style>
</head>
<body>
<h1>In flight</h1>
<p id="status" class="quiet" role="status">loading</p>
<form id="controls">
<label>Field <select id="field"><option value="">any field</option></select></label>
<label>contains <input id="filter" type="search" autocomplete="off" placeholder="acme"></label>
<label>Order <select id="order"><option value="oldest">oldest first</option><option value="newest">newest first</option></select></label>
<label><input id="refresh" type="checkbox" checked> refresh</label>
</form>
<div id="contexts"></div>
<h2>What is replaced</h2>
<div id="patches"></div>
<noscript>This page needs JavaScript. The same is below, at /data, as JSON.</noscript>
<script>${SCRIPT}</script>
</body>
</html>
`

/** Headers of both responses: they are not cached or stored for others. */
export const HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer'
}

/** Allows only its own script and style, by their digests, and its own data. Text cannot become markup or code. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  ...HEADERS,
  'content-type': 'text/html; charset=utf-8',
  'cross-origin-opener-policy': 'same-origin',
  'x-frame-options': 'DENY',
  'content-security-policy': [
    "default-src 'none'",
    `script-src '${digestOf(SCRIPT)}'`,
    `style-src '${digestOf(STYLE)}'`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'"
  ].join('; ')
}

function digestOf (text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}
