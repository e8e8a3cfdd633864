import type { RouteOptions } from 'fastify'
import type { IsolationRequest } from '../sent-request.ts'
import { CANARY, exampleOf, type Lookup, type Schema } from './example.ts'

/** A request in which `{canary}` stands for the canary. */
export type Template = Required<Pick<IsolationRequest, 'method' | 'url' | 'headers'>> & Pick<IsolationRequest, 'body'>

/** A route, and the request made of its schemas; or why there is none. */
export interface CheckedRoute {
  /** `GET /orders/:id`. */
  readonly name: string
  readonly request: Template | undefined
  readonly reason: string | undefined
}

const NO_PLACE = 'nothing in its schema takes a canary: give --header or --requests'

/**
 * Makes a request for each method of each route. `HEAD` and `OPTIONS` are left out.
 *
 * @param headers go with each request
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

/** Routes that differ by host or version are told apart by these headers. */
function constraintHeaders ({ constraints }: RouteOptions): Record<string, string> {
  const { host, version } = (constraints ?? {}) as Readonly<Record<string, unknown>>
  return { ...(typeof host === 'string' ? { host } : {}), ...(typeof version === 'string' ? { 'accept-version': version } : {}) }
}

/** Fills in the parameters of a route: by its schema, else by the canary. */
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

/** A body may have a schema for each content type. */
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
