import { EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import t from 'tap'
import type { RequestLifetime } from '../../../lib/lifecycle/request-lifetime.ts'
import { watchStream } from '../../../lib/patches/streams.ts'

function lifetime (): RequestLifetime & { readonly held: Set<unknown> } {
  const held = new Set()
  return { held, current: {}, holdStream: (stream: unknown) => { held.add(stream) }, closeStream: (stream: unknown) => { held.delete(stream) } } as never
}

t.test('watchStream holds the request until the stream has closed, and is invisible on the stream', async (t) => {
  const request = lifetime()
  const stream = new Readable({ read () { this.push(null) } })
  const keys = Object.keys(stream)
  watchStream(stream, request)
  watchStream(stream, request)
  t.same(Object.keys(stream), keys)
  t.equal(stream.emit.name, 'emit')
  t.equal(stream.emit.length, EventEmitter.prototype.emit.length)
  t.equal(stream.listenerCount('close'), 0)
  t.equal(request.held.has(stream), true)
  stream.destroy()
  await new Promise((resolve) => { stream.once('close', resolve) })
  t.equal(request.held.size, 0)
})

t.test('watchStream ignores a value that is not a stream, or never emits close', async (t) => {
  const request = lifetime()
  const old = Object.assign(new EventEmitter(), { pipe () {} })
  for (const payload of [undefined, null, 'text', {}, { pipe () {} }, old, new Readable({ emitClose: false }), new Readable({ autoDestroy: false }), new Readable().destroy()]) watchStream(payload, request)
  t.equal(request.held.size, 0)
})
