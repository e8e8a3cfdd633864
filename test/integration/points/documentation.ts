// The tables of docs/where-context-holds.md.
import { readFileSync } from 'node:fs'
import { fastifyHas } from '../../support/support.ts'

const VERSION = process.versions.node.split('.')[0]!

/** What a column of the points says for this version of Node, but for rows about what the installed Fastify has not. */
export function documentedPoints (column: string): Array<[where: string, seen: string]> {
  return columnOf('points', column).filter(([row]) => fastifyHas('handlerTimeout') || !isOfHandlerTimeout(row))
}

/** What a table says, row by row: where, and what was seen. */
export function columnOf (block: string, name = `Node ${VERSION}`): Array<[where: string, seen: string]> {
  const text = readFileSync(new URL('../../../docs/where-context-holds.md', import.meta.url), 'utf8')
  const lines = text.slice(text.indexOf(`<!-- ${block} -->`), text.indexOf(`<!-- end of ${block} -->`)).split('\n').slice(1, -1)
  const [head = [], , ...rows] = lines.map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()))
  const column = head.indexOf(name)
  const api = head.indexOf('by hand')
  return rows.map((cells) => {
    const carried = api === -1 || cells[api] === '' ? '' : `, with ${cells[api]!.replaceAll('`', '')}`
    return [cells[0] + carried, onThisNode(cells[column] ?? '')]
  })
}

/** `lost 1 of 3 on Node 20; ✓ on Node 22, 24, 26`: the part for this version. A cell with one part is for all. */
function onThisNode (cell: string): string {
  const parts = cell.split('; ').map((part) => part.split(' on Node ') as [seen: string, versions?: string])
  return parts.find(([, versions]) => versions === undefined || versions.split(', ').includes(VERSION))?.[0] ?? ''
}

/** Whether a row is about the limit of a handler, rather than that of a connection. */
function isOfHandlerTimeout (row: string): boolean {
  return (row.startsWith('Time limits: ') && !/onTimeout|connectionTimeout/.test(row)) || /^Work that goes on: .*(?:after the limit|handlerTimeout)$/.test(row)
}
