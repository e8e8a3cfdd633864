import type { RouteOptions } from 'fastify'
import type { IsolationRequest } from '../sent-request.ts'
import { CANARY, exampleOf, type Lookup, type Schema } from './example.ts'

/** A request with `{canary}` in place of the canary. */
export type Template = Required<Pick<IsolationRequest, 'method' | 'url' | 'headers'>> & Pick<IsolationRequest, 'body'>

/** A route, and the request generated from its schemas, or the reason why there is none. */
export interface CheckedRoute {
  /** `GET /orders/:id`. */
  readonly name: string
  readonly request: Template | undefined
  readonly reason: string | undefined
}

const NO_PLACE = 'no part of its schema accepts a canary: give --header or --requests'

/**
 * Generates a request for each method of each route, except `HEAD` and `OPTIONS`.
 *
 * @param headers are sent with each request
 * @param shared the schemas of `app.addSchema`, by id
 */
export function requestsOf (routes: readonly RouteOptions[], headers: Readonly<Record<string, string>>, shared: Readonly<Record<string, unknown>>): CheckedRoute[] {
  return routes.flatMap((route) => [route.method].flat()
    .filter((method) => method !== 'HEAD' && method !== 'OPTIONS')
    .map((method) => requestOf(method, route, headers, shared)))
}

function requestOf (method: string, route: RouteOptions, headers: Readonly<Record<string, string>>, shared: Readonly<Record<string, unknown>>): CheckedRoute {
  const name = `${method} ${route.url}`
  if ((route as { websocket?: unknown }).websocket === true) return { name, request: undefined, reason: 'websockets are not checked' }
  const schema = (route.schema ?? {}) as Schema
  const make = (part: unknown): unknown => exampleOf(part, lookupIn(part, shared))
  const request: Template = {
    method,
    url: urlOf(route.url, objectOf(make(schema.params ?? {})), objectOf(make(schema.querystring ?? schema.query ?? {}))),
    headers: { ...constraintHeaders(route), ...textValues(objectOf(make(schema.headers ?? {}))), ...headers },
    ...(schema.body === undefined ? {} : { body: make(bodySchema(schema.body)) })
  }
  return JSON.stringify(request).includes(CANARY) ? { name, request, reason: undefined } : { name, request: undefined, reason: NO_PLACE }
}

/** Headers that distinguish routes with a host or version constraint. */
function constraintHeaders ({ constraints }: RouteOptions): Record<string, string> {
  const { host, version } = (constraints ?? {}) as Readonly<Record<string, unknown>>
  return { ...(typeof host === 'string' ? { host } : {}), ...(typeof version === 'string' ? { 'accept-version': version } : {}) }
}

/** Fills in the parameters of a route: from its schema, or with the canary. */
function urlOf (pattern: string, params: Readonly<Record<string, unknown>>, query: Readonly<Record<string, unknown>>): string {
  const path = pattern.replace(/::|:(\w+)(?:\([^/]*\))?\??|\*/g, (found, name: string | undefined) => {
    if (found === '::') return ':'
    return encode(params[name ?? '*'] ?? CANARY)
  })
  const pairs = Object.entries(query).flatMap(([name, value]) => [value].flat().map((item) => `${encodeURIComponent(name)}=${encode(item)}`))
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`
}

function encode (value: unknown): string {
  return encodeURIComponent(String(value)).replaceAll(encodeURIComponent(CANARY), CANARY)
}

function textValues (values: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]))
}

function objectOf (value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? value as Record<string, unknown> : {}
}

/** A body may have one schema per content type. */
function bodySchema (body: Schema): unknown {
  return body.content?.['application/json']?.schema ?? body
}

function lookupIn (root: unknown, shared: Readonly<Record<string, unknown>>): Lookup {
  return (ref) => {
    const [id = '', path = ''] = ref.split('#')
    let found: any = id === '' ? root : shared[id]
    for (const step of path.split('/').filter((step) => step !== '')) found = found?.[step.replaceAll('~1', '/').replaceAll('~0', '~')]
    return found as Schema | undefined
  }
}
