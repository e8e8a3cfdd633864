import type { RouteOptions } from 'fastify'
import t from 'tap'
import { requestsOf } from '../../../../lib/testing/check/routes.ts'

const handler = (): void => {}
const one = (route: Partial<RouteOptions> & { url: string }, headers = {}, shared = {}) => requestsOf([{ method: 'GET', handler, ...route } as RouteOptions], headers, shared)[0]!

t.test('each part of a request is generated from its schema', async (t) => {
  t.same(one({
    method: 'POST',
    url: '/orders/:id',
    schema: {
      params: { type: 'object', properties: { id: { type: 'integer' } } },
      querystring: { type: 'object', properties: { q: { type: 'string' }, tags: { type: 'array', items: { const: 'a b' }, minItems: 2 } } },
      headers: { type: 'object', properties: { 'x-tenant-id': { type: 'string' }, 'x-count': { type: 'integer' } } },
      body: { type: 'object', properties: { sku: { type: 'string' } } }
    }
  }), {
    name: 'POST /orders/:id',
    request: { method: 'POST', url: '/orders/1?q={canary}&tags=a%20b&tags=a%20b', headers: { 'x-tenant-id': '{canary}', 'x-count': '1' }, body: { sku: '{canary}' } },
    reason: undefined
  })
})

t.test('a parameter without a schema is the canary, even if it has a pattern', async (t) => {
  for (const [url, made] of [
    ['/a/:id', '/a/{canary}'],
    ['/a/:id?', '/a/{canary}'],
    ['/a/:id(^[\\w-]+$)', '/a/{canary}'],
    ['/a/:id-:other', '/a/{canary}-{canary}'],
    ['/a/*', '/a/{canary}'],
    ['/a/::x/:id', '/a/:x/{canary}']
  ] as const) t.equal(one({ url }).request?.url, made, url)
})

t.test('a body with schemas per content type is JSON, and query is an alias of querystring', async (t) => {
  t.same(one({ url: '/', method: 'PUT', schema: { body: { content: { 'application/json': { schema: { type: 'object', properties: { a: {} } } } } } } }).request?.body, { a: '{canary}' })
  t.equal(one({ url: '/', schema: { query: { type: 'object', properties: { a: {} } } } as never }).request?.url, '/?a={canary}')
})

t.test('references are resolved in the schema itself and in shared schemas', async (t) => {
  const params = { type: 'object', properties: { a: { $ref: '#/definitions/a~1b' }, b: { $ref: 'shared#/properties/b' } }, definitions: { 'a/b': { const: 'x' } } }
  t.equal(one({ url: '/:a/:b/:c', schema: { params } }, {}, { shared: { properties: { b: { const: 'y' } } } }).request?.url, '/x/y/{canary}')
})

t.test('given headers are sent with each request, and constraints add theirs', async (t) => {
  t.same(one({ url: '/', constraints: { host: 'a.example.com', version: '1.2.0' } }, { 'x-tenant-id': '{canary}' }).request?.headers, { host: 'a.example.com', 'accept-version': '1.2.0', 'x-tenant-id': '{canary}' })
  t.same(one({ url: '/', constraints: { host: /example/ } }, { 'x-tenant-id': '{canary}' }).request?.headers, { 'x-tenant-id': '{canary}' })
})

t.test('a route without a place for a canary is reported, websockets are left out, and so are HEAD and OPTIONS', async (t) => {
  t.match(one({ url: '/' }), { request: undefined, reason: /--header or --requests/ })
  t.match(one({ url: '/:id', websocket: true } as never), { request: undefined, reason: /websockets/ })
  t.same(requestsOf([{ method: ['GET', 'HEAD', 'DELETE', 'OPTIONS'], url: '/:id', handler }], {}, {}).map(({ name }) => name), ['GET /:id', 'DELETE /:id'])
})
