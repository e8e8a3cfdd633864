import { isIP } from 'node:net'
import { FST_CTX_INVALID_OPTION } from '../common/errors.ts'
import type { Policy } from './key-policies.ts'

/** Which keys go to which origins by headers, `requestId` among them. Patterns: `https://api.example`, `https://*.internal.example`. */
export type Propagate = Readonly<Record<string, readonly string[]>>

/** One listed origin, or all below one domain. */
interface Rule {
  readonly protocol: string
  readonly hostname: string
  readonly port: string
  readonly subdomains: boolean
  readonly keys: readonly string[]
}

/** The keys that go to the origin of a URL; `undefined` where nothing goes. */
export type KeysFor = (url: string | URL) => ReadonlySet<string> | undefined

const PATTERN = /^(https?:)\/\/(\*\.)?([^/?#@*\\\s]+)\/?$/i

/**
 * Checks which keys go where.
 *
 * @throws FST_CTX_INVALID_OPTION a pattern that is no origin, or a key that its policy gives no header
 */
export function readPropagate (propagate: Propagate, policy: Policy): KeysFor {
  if (typeof propagate !== 'object' || propagate === null) throw new FST_CTX_INVALID_OPTION('propagate', "takes an object, of lists of keys by origin: { 'https://api.example': ['requestId'] }")
  const rules = Object.entries(propagate).map(([pattern, keys]) => readRule(pattern, keys, policy))
  return function keysFor (given) {
    const url = readUrl(given)
    const listed = rules.filter((rule) => url !== undefined && matches(rule, url))
    return listed.length === 0 ? undefined : new Set(listed.flatMap(({ keys }) => keys))
  }
}

/** It comes from callers of fetch and the like: what is no URL goes nowhere. */
function readUrl (given: unknown): URL | undefined {
  try {
    return new URL(String(given))
  } catch {
    // Also what no text can be made of.
    return undefined
  }
}

function readRule (pattern: string, keys: unknown, policy: Policy): Rule {
  const option = `propagate['${pattern}']`
  const [, protocol, star, host] = PATTERN.exec(pattern) ?? []
  const origin = `${protocol}//${host}`
  if (protocol === undefined || !URL.canParse(origin)) throw new FST_CTX_INVALID_OPTION(option, 'is no origin: write https://host, https://host:port or https://*.domain, without a path')
  const { hostname, port } = new URL(origin)
  if (hasEmptyLabel(hostname)) throw new FST_CTX_INVALID_OPTION(option, 'has two dots in a row, or begins with one: no host is named so')
  if (star !== undefined && (isIP(hostname) !== 0 || hostname.startsWith('['))) throw new FST_CTX_INVALID_OPTION(option, 'has a * before an address: list each address, as only names have subdomains')
  if (!Array.isArray(keys)) throw new FST_CTX_INVALID_OPTION(option, "takes a list of keys: ['requestId']")
  for (const key of keys as unknown[]) {
    if (key !== 'requestId' && policy.headers.has(key as string) !== true) {
      throw new FST_CTX_INVALID_OPTION(option, `names '${String(key)}', which is no key with a header: declare it with the option header`)
    }
  }
  return { protocol: protocol.toLowerCase(), hostname, port, subdomains: star !== undefined, keys: keys as string[] }
}

function matches (rule: Rule, { protocol, hostname, port }: URL): boolean {
  return protocol === rule.protocol && port === rule.port &&
    (rule.subdomains ? hostname.endsWith(`.${rule.hostname}`) && !hasEmptyLabel(hostname) : hostname === rule.hostname)
}

/** Whether a name has nothing before one of its dots, which no name of a host has, and which `URL` lets pass. */
function hasEmptyLabel (hostname: string): boolean {
  return hostname.startsWith('.') || hostname.includes('..')
}
