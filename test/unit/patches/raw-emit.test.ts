import { EventEmitter } from 'node:events'
import t from 'tap'
import { ContextDefinition } from '../../../lib/lifecycle/context-definition.ts'
import { readKeys } from '../../../lib/config/key-policies.ts'
import { setLifetime } from '../../../lib/lifecycle/carrier.ts'
import { RequestLifetime } from '../../../lib/lifecycle/request-lifetime.ts'
import { emittingHttp2Reply, emittingReply, emittingRequest, type Emit, type Raw } from '../../../lib/patches/raw-emit.ts'
import { Scope } from '../../../lib/scope/scope.ts'
import { currentScope } from '../../../lib/scope/storage.ts'

/** An emitter of a class with our `emit`, and the scope of its request. */
function carrier (emitting: (base: Raw) => Emit, base: Raw = EventEmitter.prototype): { raw: Raw & { aborted?: boolean, writableEnded?: boolean }, scope: Scope, lifetime: RequestLifetime } {
  const raw = new EventEmitter()
  raw.emit = emitting(base)
  const lifetime = new RequestLifetime({ sent: true } as never)
  const scope = new Scope({}, new ContextDefinition(readKeys({})).registration, undefined, undefined, lifetime)
  lifetime.open(scope)
  if (emitting === emittingRequest) setLifetime({ raw } as never, { raw: {} } as never, lifetime)
  else setLifetime({ raw: {} } as never, { raw } as never, lifetime)
  return { raw, scope, lifetime }
}

for (const [name, emitting] of Object.entries({ emittingRequest, emittingReply, emittingHttp2Reply })) {
  t.test(`${name}: listeners get their arguments and run in the scope, and an event without listeners does nothing`, async (t) => {
    const { raw, scope } = carrier(emitting)
    const seen: unknown[] = []
    raw.on('event', function (this: unknown, ...args: unknown[]) { seen.push([this === raw, currentScope() === scope, ...args]) })
    t.equal(raw.emit('event', 1, undefined), true)
    t.same(seen, [[true, true, 1, undefined]])
    t.equal(raw.emit('unheard'), false)
    t.throws(() => raw.emit('error', new Error('unheard')), { message: 'unheard' })
  })

  t.test(`${name}: an emit of another tool sees each event`, async (t) => {
    const seen: unknown[] = []
    const { raw } = carrier(emitting, { emit: (...args: unknown[]) => seen.push(args) > 0 } as never)
    t.equal(raw.emit('unheard', 1), true)
    t.same(seen, [['unheard', 1]])
  })
}

t.test('a request has ended if it closes when it was aborted, not if its body has been read', async (t) => {
  for (const listener of [undefined, () => {}]) {
    const { raw, lifetime } = carrier(emittingRequest)
    if (listener !== undefined) raw.on('close', listener)
    raw.emit('close')
    t.equal(lifetime.aborted, false)
    raw.aborted = true
    t.equal(raw.emit('close'), listener !== undefined)
    t.equal(lifetime.aborted, true)
  }
})

t.test('a response that closes is complete if it had finished, with and without listeners', async (t) => {
  for (const events of [['finish', 'close'], ['close']]) {
    for (const listener of [undefined, () => {}]) {
      const { raw, lifetime } = carrier(emittingReply)
      if (listener !== undefined) for (const event of events) raw.on(event, listener)
      for (const event of events) t.equal(raw.emit(event), listener !== undefined)
      t.equal(lifetime.aborted, events.length === 1)
    }
  }
})

t.test('a response of HTTP/2 that closes is complete if it has ended', async (t) => {
  for (const writableEnded of [true, false]) {
    const { raw, lifetime } = carrier(emittingHttp2Reply)
    raw.writableEnded = writableEnded
    raw.emit('finish')
    raw.emit('close')
    t.equal(lifetime.aborted, !writableEnded)
  }
})
