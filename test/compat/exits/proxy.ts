// node proxy.ts <bare|plugin>: an application that forwards requests to an HTTP/2 upstream with @fastify/reply-from. It answers, closes, and must exit by
// itself.
import type { AddressInfo } from 'node:net'
import replyFrom from '@fastify/reply-from'
import Fastify, { type FastifyInstance } from 'fastify'
import { createContext, key } from '../../../lib/index.ts'

const upstream = Fastify({ http2: true })
upstream.get('/', async (request) => ({ from: request.raw.httpVersion }))
await upstream.listen({ port: 0, host: '127.0.0.1' })

const app: FastifyInstance = Fastify()
if (process.argv[2] === 'plugin') await app.register(createContext({ tenant: key<string>({ seed: () => 'acme' }) }).plugin)
await app.register(replyFrom, { base: `http://127.0.0.1:${(upstream.server.address() as AddressInfo).port}`, http2: true })
app.get('/', (_request, reply) => reply.from('/'))
await app.listen({ port: 0, host: '127.0.0.1' })
const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/`
for (const answer of await Promise.all([fetch(url), fetch(url)])) console.log(answer.status, await answer.text())
// The upstream waits for the session, which ends when the application closes.
await Promise.all([app.close(), upstream.close()])
console.log('closed')
