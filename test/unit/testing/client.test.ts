import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { Client } from '../../../lib/testing/client.ts'
import { SentRequest, type IsolationRequest } from '../../../lib/testing/sent-request.ts'
import { gate } from '../../support/support.ts'
import { CERTIFICATE, KEY } from './certificate.ts'

/** A server on a socket, and a client that reports to the server which request a connection carries. */
async function connect (t: Test, server: http.Server, { secure = false, timeout = 5_000, connections = 8 } = {}) {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => { server.close() })
  const requests = new Map<number, SentRequest>()
  const { port } = server.address() as AddressInfo
  const target = { server, secure, host: '127.0.0.1', port, close: async () => {} }
  const client = new Client(target, { connections, timeout, onPort: (port, sent) => { requests.set(port, sent) } })
  t.teardown(() => { client.close() })
  const requestOf = (request: IncomingMessage): SentRequest => requests.get(request.socket.remotePort!)!
  return { client, requestOf }
}

let numbers = 0
function newRequest (request: IsolationRequest, pieces: readonly string[] = [], chunked = false): SentRequest {
  return new SentRequest(++numbers, 'canary', request, 0, { pieces: pieces.map((piece) => Buffer.from(piece)), chunked, wait: 0 })
}

t.test('an answer includes its status, headers, trailers and body', async (t) => {
  const { client } = await connect(t, http.createServer((_request, response) => {
    response.writeHead(418, { 'X-A': ['1', '2'], trailer: 'x-t' })
    response.write('tea')
    response.addTrailers({ 'x-t': 'late' })
    response.end('pot')
  }))
  const sent = newRequest({ url: '/' })
  await client.send(sent)
  t.match(sent.answer, { status: 418, body: 'teapot' })
  t.same(sent.answer!.headers.filter(([name]) => name.startsWith('x-')), [['x-a', '1'], ['x-a', '2'], ['x-t', 'late']])
  t.equal(sent.failure, undefined)
})

t.test('a compressed body is decoded, and one that is not really compressed is returned unchanged', async (t) => {
  const bodies: Record<string, [string, Buffer]> = { '/gzip': ['gzip', gzipSync('text')], '/br': ['br', brotliCompressSync('text')], '/wrong': ['gzip', Buffer.from('text')], '/empty': ['gzip', Buffer.alloc(0)] }
  const { client } = await connect(t, http.createServer(({ url }, response) => {
    const [encoding, body] = bodies[url!]!
    response.setHeader('content-encoding', encoding)
    response.end(body)
  }))
  for (const url of Object.keys(bodies)) {
    const sent = newRequest({ url })
    await client.send(sent)
    t.equal(sent.answer!.body, url === '/empty' ? '' : 'text', url)
  }
})

for (const chunked of [false, true]) {
  t.test(`a body in pieces, ${chunked ? 'chunked' : 'with its length'}, is not complete before its gate opens`, async (t) => {
    for (const pieces of [['one'], ['one', 'two', 'three']]) {
      const arrived = gate<IncomingMessage>()
      const { client } = await connect(t, http.createServer((request, response) => {
        arrived.open(request)
        text(request).then((body) => { response.end(`${request.method} ${request.headers['content-length']} ${request.headers['content-type']} ${body}`) })
      }))
      const hold = gate()
      const sent = newRequest({ url: '/', method: 'PUT', headers: { 'content-type': 'text/plain' } }, pieces, chunked)
      const answered = client.send(sent, hold.promise)
      const request = await arrived.promise
      t.equal(request.complete, false)
      hold.open()
      await answered
      const body = pieces.join('')
      t.equal(sent.answer!.body, `PUT ${chunked ? undefined : body.length} text/plain ${body}`)
    }
  })
}

t.test('a content-length set by the request is kept, and without a gate the body is sent at once', async (t) => {
  const { client } = await connect(t, http.createServer((request, response) => {
    text(request).then((body) => { response.end(`${request.headers['content-length']} ${body}`) })
  }))
  const sent = newRequest({ url: '/', method: 'POST', headers: { 'Content-Length': '6' } }, ['one', 'two'])
  await client.send(sent)
  t.equal(sent.answer!.body, '6 onetwo')
})

t.test('the server can identify each request by its port, on new and on shared connections', async (t) => {
  const ports = new Set<number>()
  const { client, requestOf } = await connect(t, http.createServer((request: IncomingMessage, response: ServerResponse) => {
    ports.add(request.socket.remotePort!)
    response.end(String(requestOf(request).number))
  }), { connections: 3 })
  const requests = Array.from({ length: 12 }, () => newRequest({ url: '/' }))
  await Promise.all(requests.map((sent) => client.send(sent)))
  t.same(requests.map(({ answer }) => answer!.body), requests.map(({ number }) => String(number)))
  t.equal(ports.size, 3)
})

t.test('warm opens as many connections as allowed, counting free ones', async (t) => {
  const server = http.createServer((_request, response) => { response.end() })
  let connections = 0
  server.on('connection', () => { connections++ })
  const { client } = await connect(t, server, { connections: 4 })
  await client.send(newRequest({ url: '/' }))
  await client.warm()
  t.equal(connections, 4)
  await client.warm()
  await Promise.all(Array.from({ length: 4 }, () => client.send(newRequest({ url: '/' }))))
  t.equal(connections, 4)
})

t.test('a server that limits its connections does not delay warm for long', async (t) => {
  const server = http.createServer((_request, response) => { response.end('ok') })
  server.maxConnections = 2
  const { client } = await connect(t, server, { connections: 4 })
  await client.warm()
  const requests = Array.from({ length: 2 }, () => newRequest({ url: '/' }))
  await Promise.all(requests.map((sent) => client.send(sent)))
  t.same(requests.map(({ answer }) => answer?.body), ['ok', 'ok'])
})

t.test('over TLS any certificate is accepted', async (t) => {
  const { client, requestOf } = await connect(t, https.createServer({ key: KEY, cert: CERTIFICATE }, (request, response) => { response.end(String(requestOf(request).number)) }), { secure: true })
  const sent = newRequest({ url: '/' })
  await client.warm()
  await client.send(sent)
  t.equal(sent.answer!.body, String(sent.number))
})

t.test('a request that times out, is cut off or cannot be sent keeps its failure', async (t) => {
  const { client } = await connect(t, http.createServer(({ url }, response) => {
    if (url === '/cut') response.write('part', () => { response.destroy() })
    if (url === '/gone') response.destroy()
  }), { timeout: 100 })
  for (const [url, failure] of [['/silent', /no answer within 100 ms/], ['/cut', /aborted/], ['/gone', /socket hang up|ECONNRESET/], ['/not a path', /unescaped/]] as const) {
    const sent = newRequest({ url })
    sent.arrive()
    await client.send(sent)
    t.match(sent.failure, { message: failure }, url)
    t.equal(sent.answer, undefined)
  }
})

t.test('a connection that the server closed while idle is replaced', async (t) => {
  const sockets: Array<{ resetAndDestroy (): unknown }> = []
  const { client } = await connect(t, http.createServer((request, response) => {
    sockets.push(request.socket)
    response.end(String(sockets.length))
  }))
  const first = newRequest({ url: '/' })
  await client.send(first)
  const [second, third] = [newRequest({ url: '/' }), newRequest({ url: '/', method: 'POST' }, ['body'])]
  for (const sent of [second, third]) {
    // In one turn, so the client sends before it notices.
    sockets.at(-1)!.resetAndDestroy()
    await client.send(sent)
  }
  t.same([first, second, third].map(({ answer }) => answer?.body), ['1', '2', '3'])
})
