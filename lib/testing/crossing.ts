import type { Canaries } from './canary.ts'
import type { SentRequest } from './sent-request.ts'

/** A request as a report names it. */
export interface FiredRequest {
  /** Its position in the order in which the run was planned, from 1. */
  readonly number: number
  /** In upper case. */
  readonly method: string
  /** The path, with the query. */
  readonly url: string
  /** The pattern of its route; `undefined` if no scope of `fastify-ctx` was open for it. */
  readonly route: string | undefined
  /** Its canary. */
  readonly canary: string
}

/** One request saw the value of another. */
export interface Crossing {
  /** The request that saw a foreign value. */
  readonly reader: FiredRequest
  /** The request that owns the value. */
  readonly owner: FiredRequest
  /** The place: the body or a header of the reader's response, one of its log lines, or a value of its scope. */
  readonly where: 'body' | 'header' | 'log' | 'value'
  /** The path in a JSON body, or the offset in another body; the name of the header; the message of the log line; or the name of the key. */
  readonly at: string
  /** The text around the value. Canaries in it are replaced by the numbers of their requests. */
  readonly excerpt: string
  /** The level of the log line, and the name of its logger, if it has one. */
  readonly logger: string | undefined
  /** The line of code, `handler (/app/routes.js:12:7)`, that wrote the log line or set the value, if it is known. */
  readonly line: string | undefined
}

/** A crossing, and the function that made the reader's request. Others of the same kind are grouped with it. */
export type Found = Crossing & { readonly index: number }

const AROUND = 40

/** The crossings in the response of a request. */
export function crossingsInAnswer (sent: SentRequest, canaries: Canaries<SentRequest>): Found[] {
  if (sent.answer === undefined) return []
  const { headers, body } = sent.answer
  const inHeaders = headers.flatMap(([name, value]) => ownersOf(value, sent, canaries).map((owner) => {
    return makeCrossing(sent, owner, { where: 'header', at: name, text: value }, canaries)
  }))
  const inBody = ownersOf(body, sent, canaries).map((owner) => {
    return makeCrossing(sent, owner, { where: 'body', at: placeInBody(body, owner, canaries), text: body }, canaries)
  })
  return [...inHeaders, ...inBody]
}

/** The other requests whose canaries are in a text that belongs to a request. Also records if its own canary is in the text. */
export function ownersOf (text: string, sent: SentRequest, canaries: Canaries<SentRequest>): SentRequest[] {
  const owners = canaries.ownersIn(text)
  if (owners.delete(sent)) sent.seen = true
  return [...owners]
}

export function makeCrossing (reader: SentRequest, owner: SentRequest, seen: { readonly text: string } & Pick<Crossing, 'where' | 'at'> & Partial<Pick<Crossing, 'logger' | 'line'>>, canaries: Canaries<SentRequest>): Found {
  const { where, at, text, logger, line } = seen
  return { reader: firedRequest(reader), owner: firedRequest(owner), where, at, excerpt: excerptOf(text, owner, canaries), logger, line, index: reader.index }
}

export function firedRequest ({ number, method, request: { url }, route, canary }: SentRequest): FiredRequest {
  return { number, method, url, route, canary }
}

/** The place of a canary in a body: `orders[0].tenant`, or the number of characters before it. */
function placeInBody (body: string, owner: SentRequest, canaries: Canaries<SentRequest>): string {
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch {
    return `character ${Math.max(0, body.toLowerCase().indexOf(owner.canary))}`
  }
  return pathOf(parsed, owner, canaries)?.replace(/^\./, '') || 'its whole'
}

function pathOf (value: unknown, owner: SentRequest, canaries: Canaries<SentRequest>): string | undefined {
  if (typeof value === 'string') return canaries.ownersIn(value).has(owner) ? '' : undefined
  if (typeof value !== 'object' || value === null) return undefined
  for (const [name, inner] of Object.entries(value)) {
    const step = Array.isArray(value) ? `[${name}]` : `.${name}`
    if (canaries.ownersIn(name).has(owner)) return canaries.replaceIn(step, shortName)
    const rest = pathOf(inner, owner, canaries)
    if (rest !== undefined) return step + rest
  }
  return undefined
}

function excerptOf (text: string, owner: SentRequest, canaries: Canaries<SentRequest>): string {
  const readable = canaries.replaceIn(text, shortName).replace(/\s+/g, ' ')
  // In base64 the canary itself is not in the text.
  const at = Math.max(0, readable.indexOf(shortName(owner)))
  const [from, to] = [Math.max(0, at - AROUND), at + shortName(owner).length + AROUND]
  return `${from > 0 ? '…' : ''}${readable.slice(from, to)}${to < readable.length ? '…' : ''}`
}

/** What a report shows instead of a canary. */
export function shortName ({ number }: SentRequest): string {
  return `<canary of ${number}>`
}
