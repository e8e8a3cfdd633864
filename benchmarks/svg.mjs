// What the pictures of docs/performance.md share. They are 480 wide, so their text is readable on a phone, and bring their own ground for light and dark pages.
export const WIDTH = 480

const STYLE = `
.page { fill: #ffffff; stroke: #d0d7de }
text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.strong { font-weight: 600 }
.small { font-size: 12px; fill: #57606a }
.grid { stroke: #d0d7de }
.axis, .goal { stroke: #57606a }
.goal { stroke-dasharray: 3 3; stroke-width: 1.5 }
.bar { fill: #54aeff }
.mark { fill: #1f2328 }
.ours, .peer, .bare, .control { fill: none; stroke-width: 2 }
.ours { stroke: #0969da }
.peer { stroke: #bc4c00 }
.bare { stroke: #6e7781 }
.control { stroke: #6e7781; stroke-dasharray: 2 4 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117; stroke: #30363d }
text { fill: #e6edf3 }
.small { fill: #9198a1 }
.grid { stroke: #30363d }
.axis, .goal { stroke: #9198a1 }
.bar { fill: #1f6feb }
.mark { fill: #e6edf3 }
.ours { stroke: #4493f8 }
.peer { stroke: #f0883e }
.bare, .control { stroke: #9198a1 }
}`

/** A picture of this height, with a text for those who cannot see it. */
export function picture (height, label, parts) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${label}">
<style>${STYLE}
</style>
<rect class="page" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8"/>
${parts.join('\n')}
</svg>
`
}

export function text (x, y, content, kind = '', anchor = 'start') {
  return `<text${kind === '' ? '' : ` class="${kind}"`} x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${content}</text>`
}

export function line (x1, y1, x2, y2, kind) {
  return `<line class="${kind}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`
}

export function round (number) {
  return Number(number.toFixed(1))
}
