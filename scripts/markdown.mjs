// Writes tables into pages, between the marks of a block. The prose around it does not change.

/** A table of Markdown. */
export function table (head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** Returns the page with new content between `<!-- name -->` and `<!-- end of name -->`. */
export function replaceBlock (page, name, content) {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`]
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  if (from === -1 || to === -1) throw new Error(`The page has no block '${name}'`)
  return `${page.slice(0, from + begin.length)}\n${content}\n${page.slice(to)}`
}
