// The tables of docs/where-context-holds.md.
import { readFileSync } from 'node:fs'
import { fastifyHas } from '../../support/support.ts'

const VERSION = process.versions.node.split('.')[0]!

/** A column of the points for this version of Node, without rows about features that the installed Fastify lacks. */
export function documentedPoints (column: string): Array<[where: string, seen: string]> {
  return columnOf('points', column).filter(([row]) => fastifyHas('handlerTimeout') || !isOfHandlerTimeout(row))
}

/** A column of a table, row by row: the place and the result. */
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

/** The part of a cell for this version of Node, for example of `lost 1 of 3 on Node 20; ✓ on Node 22, 24, 26`. A single part applies to all versions. */
function onThisNode (cell: string): string {
  const parts = cell.split('; ').map((part) => part.split(' on Node ') as [seen: string, versions?: string])
  return parts.find(([, versions]) => versions === undefined || versions.split(', ').includes(VERSION))?.[0] ?? ''
}

/** Whether a row is about the timeout of a handler, and not of a connection. */
function isOfHandlerTimeout (row: string): boolean {
  return (row.startsWith('Time limits: ') && !/onTimeout|connectionTimeout/.test(row)) || /^Work that goes on: .*(?:after the limit|handlerTimeout)$/.test(row)
}
