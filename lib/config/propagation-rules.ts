import { isIP } from 'node:net'
import { FST_CTX_INVALID_OPTION } from '../common/errors.ts'
import type { Policy } from './key-policies.ts'

/** Which keys, including `requestId`, go to which origins in headers. Patterns: `https://api.example`, `https://*.internal.example`. */
export type Propagate = Readonly<Record<string, readonly string[]>>

/** One listed origin, or all origins below one domain. */
interface Rule {
  readonly protocol: string
  readonly hostname: string
  readonly port: string
  readonly subdomains: boolean
  readonly keys: readonly string[]
}

/** Returns the keys for the origin of a URL; `undefined` if nothing is sent there. */
export type KeysFor = (url: string | URL) => ReadonlySet<string> | undefined

const PATTERN = /^(https?:)\/\/(\*\.)?([^/?#@*\\\s]+)\/?$/i

/**
 * Checks which keys go where.
 *
 * @throws FST_CTX_INVALID_OPTION an invalid origin pattern, or a key without a header
 */
export function readPropagate (propagate: Propagate, policy: Policy): KeysFor {
  if (typeof propagate !== 'object' || propagate === null) throw new FST_CTX_INVALID_OPTION('propagate', "takes an object with lists of keys by origin: { 'https://api.example': ['requestId'] }")
  const rules = Object.entries(propagate).map(([pattern, keys]) => readRule(pattern, keys, policy))
  return function keysFor (given) {
    const url = readUrl(given)
    const listed = rules.filter((rule) => url !== undefined && matches(rule, url))
    return listed.length === 0 ? undefined : new Set(listed.flatMap(({ keys }) => keys))
  }
}

/** Reads a URL from callers of fetch and similar functions. Nothing is sent to an invalid URL. */
function readUrl (given: unknown): URL | undefined {
  try {
    return new URL(String(given))
  } catch {
    // Also for values that cannot be converted to text.
    return undefined
  }
}

function readRule (pattern: string, keys: unknown, policy: Policy): Rule {
  const option = `propagate['${pattern}']`
  const [, protocol, star, host] = PATTERN.exec(pattern) ?? []
  const origin = `${protocol}//${host}`
  if (protocol === undefined || !URL.canParse(origin)) throw new FST_CTX_INVALID_OPTION(option, 'is not an origin: write https://host, https://host:port or https://*.domain, without a path')
  const { hostname, port } = new URL(origin)
  if (hasEmptyLabel(hostname)) throw new FST_CTX_INVALID_OPTION(option, 'has two dots in a row or begins with one, which no host name does')
  if (star !== undefined && (isIP(hostname) !== 0 || hostname.startsWith('['))) throw new FST_CTX_INVALID_OPTION(option, 'has a * before an address: list each address, because only names have subdomains')
  if (!Array.isArray(keys)) throw new FST_CTX_INVALID_OPTION(option, "takes a list of keys: ['requestId']")
  for (const key of keys as unknown[]) {
    if (key !== 'requestId' && policy.headers.has(key as string) !== true) {
      throw new FST_CTX_INVALID_OPTION(option, `names '${String(key)}', which is not a key with a header: declare it with the option header`)
    }
  }
  return { protocol: protocol.toLowerCase(), hostname, port, subdomains: star !== undefined, keys: keys as string[] }
}

function matches (rule: Rule, { protocol, hostname, port }: URL): boolean {
  return protocol === rule.protocol && port === rule.port &&
    (rule.subdomains ? hostname.endsWith(`.${rule.hostname}`) && !hasEmptyLabel(hostname) : hostname === rule.hostname)
}

/** Whether a name has an empty label, which no host name has, but `URL` accepts. */
function hasEmptyLabel (hostname: string): boolean {
  return hostname.startsWith('.') || hostname.includes('..')
}
