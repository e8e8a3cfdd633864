import { EventEmitter, on, once } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import { createHook } from 'node:async_hooks'
import { ROOT_CONTEXT } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import type { Tap } from '../../support/support.ts'

const ctx = createContext({ tenant: key<string>() })

/** What a script records with a plain emitter of Node and with a bound one. Both must be equal. */
type Script = (emitter: EventEmitter, note: (...what: unknown[]) => void) => void

const scripts: Record<string, Script> = {
  'on, addListener, prependListener and once run in Node\'s order, with the arguments, and return the emitter' (emitter, note) {
    note(emitter.on('event', (...args) => { note('on', ...args) }) === emitter)
    note(emitter.addListener('event', (...args) => { note('addListener', ...args) }) === emitter)
    note(emitter.prependListener('event', (...args) => { note('prependListener', ...args) }) === emitter)
    note(emitter.once('event', (...args) => { note('once', ...args) }) === emitter)
    note(emitter.prependOnceListener('event', (...args) => { note('prependOnceListener', ...args) }) === emitter)
    note(emitter.emit('event', 1, 2), emitter.emit('event', 3), emitter.emit('nothing'))
  },

  'removeListener and off take the listener as it was given' (emitter, note) {
    const methods = ['on', 'addListener', 'prependListener', 'once', 'prependOnceListener'] as const
    for (const method of methods) {
      for (const remove of ['off', 'removeListener'] as const) {
        const listener = (): void => { note(method, 'is still there') }
        emitter[method]('event', listener)
        note(emitter.listenerCount('event'), emitter.listenerCount('event', listener))
        note(emitter[remove]('event', () => {}) === emitter, emitter.listenerCount('event'))
        note(emitter[remove]('event', listener) === emitter, emitter.listenerCount('event'))
      }
    }
    note(emitter.emit('event'))
  },

  'a listener that was added twice is removed once, the last of them first' (emitter, note) {
    const listener = (): void => { note('listener') }
    emitter.on('event', listener).on('event', () => { note('between') }).once('event', listener)
    emitter.off('event', listener).emit('event')
    emitter.off('event', listener).emit('event')
  },

  'listeners gives them as they were given' (emitter, note) {
    const listeners = [() => {}, () => {}, () => {}]
    emitter.on('event', listeners[1]!).once('event', listeners[2]!).prependListener('event', listeners[0]!)
    note(emitter.listeners('event').map((listener) => listeners.indexOf(listener as () => void)))
    note(emitter.eventNames(), emitter.listenerCount('event'))
    note((emitter.rawListeners('event')[2] as { listener?: unknown }).listener === listeners[2])
    note(emitter.removeAllListeners('event').listeners('event'))
  },

  'rawListeners gives what was given to on, and for once what removes itself' (emitter, note) {
    const listeners = [() => { note('first') }, () => { note('second') }, () => { note('third') }]
    emitter.on('event', listeners[0]!).once('event', listeners[1]!).prependOnceListener('event', listeners[2]!)
    const raw = emitter.rawListeners('event') as Array<(() => void) & { listener?: () => void }>
    note(raw.map((listener) => listeners.indexOf(listener)), raw.map(({ listener }) => listeners.indexOf(listener!)))
    for (const listener of raw) listener()
    note(emitter.listenerCount('event'), emitter.rawListeners('nothing'))
    for (const listener of raw) emitter.off('event', listener)
    note(emitter.listenerCount('event'))
  },

  'rawListeners can be removed one by one' (emitter, note) {
    emitter.on('event', () => {}).once('event', () => {}).once('event', () => {})
    for (const listener of emitter.rawListeners('event')) note(emitter.off('event', listener as () => void).listenerCount('event'))
  },

  'removeAllListeners reports each listener to removeListener, of one event and of all' (emitter, note) {
    const listeners = [() => {}, () => {}, () => {}]
    emitter.on('removeListener', (name, listener) => { note(name, listeners.indexOf(listener), listeners.indexOf(listener.listener)) })
    for (const events of [['event'], []]) {
      emitter.on('event', listeners[0]!).once('event', listeners[1]!).on('event', listeners[2]!).on('other', listeners[1]!).once('third', listeners[2]!)
      note(emitter.removeAllListeners(...events) === emitter, emitter.eventNames())
    }
  },

  'a once listener that fires is reported to removeListener' (emitter, note) {
    const listeners = [() => {}, () => {}]
    emitter.on('removeListener', (name, listener) => { note(name, listeners.indexOf(listener), listeners.indexOf(listener.listener)) })
    emitter.once('event', listeners[0]!).emit('event')
    emitter.once('event', listeners[0]!).on('event', listeners[1]!).emit('event')
  },

  'a listener of newListener may add one of the same event before it' (emitter, note) {
    emitter.once('newListener', (event) => { emitter.on(event, () => { note('added first') }) })
    emitter.on('event', () => { note('added second') }).emit('event')
  },

  'somebody else\'s wrapper is removed by itself, or by what it stands for' (emitter, note) {
    const listener = (): void => { note('listener') }
    const wrapper = Object.assign(() => { note('wrapper') }, { listener })
    for (const remove of [wrapper, listener]) {
      emitter.on('event', wrapper).emit('event')
      note(emitter.listeners('event').indexOf(listener), emitter.rawListeners('event').indexOf(wrapper))
      note(emitter.off('event', remove).listenerCount('event'))
    }
    emitter.on('removeListener', (name, removed) => { note(name, removed === listener) })
    emitter.on('event', wrapper).removeAllListeners('event')
  },

  'its own names and what a loop finds' (emitter, note) {
    const before = Object.keys(emitter)
    emitter.on('event', () => {})
    note(Object.keys(emitter).length === before.length)
    for (const name in emitter) if (/^(?:on|off|once|(?:add|remove|prepend).*Listener|rawListeners)$/.test(name) && Object.hasOwn(emitter, name)) note(name)
  },

  'newListener and removeListener are told of the listener as it was given' (emitter, note) {
    const listeners = [() => {}, () => {}]
    for (const event of ['newListener', 'removeListener']) {
      emitter.on(event, (name, listener) => { note(event, name, listeners.indexOf(listener)) })
    }
    emitter.on('event', listeners[0]!).once('event', listeners[1]!)
    emitter.emit('event')
    emitter.off('event', listeners[0]!)
  },

  'once is once, even where a listener emits the same event again' (emitter, note) {
    let again = true
    emitter.on('event', () => {
      if (again) {
        again = false
        emitter.emit('event', 'inner')
      }
    })
    emitter.once('event', (which) => { note('once', which) })
    emitter.emit('event', 'outer')
  },

  'a listener that is removed while its event is emitted still hears it' (emitter, note) {
    const last = (): void => { note('last') }
    emitter.on('event', () => { emitter.off('event', last) }).on('event', last)
    note(emitter.emit('event'), emitter.emit('event'))
  },

  'this is the emitter' (emitter, note) {
    emitter.on('event', function (this: unknown) { note(this === emitter) })
    emitter.once('event', function (this: unknown) { note(this === emitter) })
    emitter.emit('event')
  },

  'what is no function is refused' (emitter, note) {
    for (const method of ['on', 'once', 'prependListener', 'prependOnceListener', 'addListener'] as const) {
      try {
        emitter[method]('event', 'no function' as never)
      } catch (error) {
        note((error as NodeJS.ErrnoException).code)
      }
    }
    note(emitter.eventNames())
  },

  'what a listener throws reaches who emits, and an error that nobody hears is thrown' (emitter, note) {
    emitter.once('event', () => { throw new Error('from the listener') })
    for (const event of ['event', 'error']) {
      try {
        emitter.emit(event, new Error('from who emits'))
      } catch (error) {
        note((error as Error).message)
      }
    }
  }
}

function play (script: Script, emitter: EventEmitter): unknown[] {
  const notes: unknown[] = []
  script(emitter, (...what) => { notes.push(what) })
  return notes
}

t.test('bindEmitter: a bound emitter behaves like a plain one of Node', async (t) => {
  for (const [title, script] of Object.entries(scripts)) {
    const expected = play(script, new EventEmitter())
    t.not(expected.length, 0)
    t.same(play(script, ctx.bindEmitter(new EventEmitter())), expected, title)
    t.same(ctx.run({ tenant: 'acme' }, () => play(script, ctx.bindEmitter(new EventEmitter()))), expected, `${title}, in a scope`)
    t.same(play(script, ctx.bindEmitter(new PassThrough())), play(script, new PassThrough()), `${title}, for a stream`)
  }
})

t.test('bindEmitter: the helpers of node:events accept a bound emitter', async (t) => {
  const emitter = ctx.bindEmitter(new EventEmitter())
  setImmediate(() => { emitter.emit('event', 1); emitter.emit('event', 2) })
  t.same(await once(emitter, 'event'), [1])
  t.equal(emitter.listenerCount('event'), 0)
  const failed = once(emitter, 'event')
  emitter.emit('error', new Error('failed'))
  await t.rejects(failed, { message: 'failed' })
  t.same(emitter.eventNames(), [])

  const events = on(emitter, 'event')
  emitter.emit('event', 3)
  t.same((await events.next()).value, [3])
  await events.return!()
  t.same(emitter.eventNames(), [])
})

t.test('bindEmitter: a bound stream flows as usual', async (t) => {
  const parts: string[] = []
  const stream = ctx.bindEmitter(Readable.from(['a', 'b', 'c']))
  stream.on('data', (part: string) => { parts.push(part) })
  await once(stream, 'end')
  t.same(parts, ['a', 'b', 'c'])
})

t.test('bindEmitter: a listener runs in the scope in which it was added, for each method that adds one', async (t) => {
  const emitter = ctx.bindEmitter(new EventEmitter())
  const seen: unknown[] = []
  for (const method of ['on', 'addListener', 'prependListener', 'once', 'prependOnceListener'] as const) {
    ctx.run({ tenant: method }, () => { emitter[method]('event', () => { seen.push(ctx.get('tenant') === method) }) })
  }
  emitter.on('event', () => { seen.push(ctx.get('tenant')) })
  ctx.run({ tenant: 'who emits' }, () => { emitter.emit('event') })
  t.same(seen, [true, true, true, true, true, undefined])
})

/** Like dd-trace and others: wraps each listener, and only its own removal methods know the wrapper. */
function patch (emitter: EventEmitter): EventEmitter {
  const known = new WeakMap<object, (...args: any[]) => void>()
  let adding = false
  for (const name of ['on', 'addListener', 'prependListener', 'once', 'prependOnceListener'] as const) {
    const add = emitter[name]
    emitter[name] = function (this: EventEmitter, event: string | symbol, listener: (...args: any[]) => void) {
      if (adding) return add.call(this, event, listener)
      const wrapper = (...args: unknown[]): void => { listener.apply(emitter, args) }
      known.set(listener, wrapper)
      // Node's own once calls on.
      adding = true
      try { return add.call(this, event, wrapper) } finally { adding = false }
    }
  }
  for (const name of ['off', 'removeListener'] as const) {
    const remove = emitter[name]
    emitter[name] = function (this: EventEmitter, event: string | symbol, listener: (...args: any[]) => void) {
      return remove.call(this, event, known.get(listener) ?? listener)
    }
  }
  return emitter
}

/** What a bound emitter that another tool has patched must still do: run each listener in its scope, and remove it. */
function removes (t: Tap, emitter: EventEmitter, boundLast: boolean): void {
  const methods = ['on', 'addListener', 'prependListener', 'once', 'prependOnceListener'] as const
  for (const method of methods) {
    for (const remove of ['off', 'removeListener'] as const) {
      const seen: unknown[] = []
      const listener = (): void => { seen.push(ctx.get('tenant')) }
      ctx.run({ tenant: 'acme' }, () => { emitter[method]('event', listener) })
      if (boundLast) t.same(emitter.listeners('event'), [listener], `${method}: listeners`)
      emitter[remove]('event', listener)
      t.equal(emitter.listenerCount('event'), 0, `${method}, ${remove}`)
      ctx.run({ tenant: 'acme' }, () => { emitter[method]('event', listener) })
      ctx.run({ tenant: 'globex' }, () => { emitter.emit('event'); emitter.emit('event') })
      t.same(seen, method.includes('nce') ? ['acme'] : ['acme', 'acme'], method)
      emitter.removeAllListeners('event')
      t.equal(emitter.listenerCount('event'), 0, `${method}, removeAllListeners`)
    }
  }
  const [one, two] = [() => {}, () => {}]
  emitter.on('event', one).on('event', two).once('event', one)
  emitter.off('event', one).off('event', two)
  t.same(boundLast ? emitter.listeners('event') : [one], [one])
  t.equal(emitter.listenerCount('event'), 1)
  const removed: unknown[] = []
  emitter.on('event', two).on('removeListener', (_event, listener) => { removed.push(listener) })
  emitter.removeAllListeners('event').removeAllListeners('removeListener')
  t.equal(emitter.listenerCount('event'), 0)
  t.equal(removed.length, 2)
  if (boundLast) t.same(removed, [two, one])
}

t.test('bindEmitter: an emitter that OpenTelemetry or another tool patches, before or after, still removes its listeners', async (t) => {
  const manager = new AsyncLocalStorageContextManager().enable()
  t.teardown(() => { manager.disable() })
  const bindOpenTelemetry = (emitter: EventEmitter): EventEmitter => manager.bind(ROOT_CONTEXT, emitter)
  for (const [name, other] of [['OpenTelemetry', bindOpenTelemetry], ['another', patch]] as const) {
    for (const make of [() => new EventEmitter(), () => new PassThrough()]) {
      t.test(`${name} first, ${make().constructor.name}`, async (t) => { removes(t, ctx.bindEmitter(other(make())), true) })
      t.test(`${name} last, ${make().constructor.name}`, async (t) => { removes(t, other(ctx.bindEmitter(make())), false) })
    }
  }
})

t.test('bindEmitter: a listener that a patched emitter refuses, or adds itself, is not touched', async (t) => {
  class Choosy extends EventEmitter {
    override on (event: string, listener: (...args: any[]) => void): this {
      if (event === 'refused') return this
      return event === 'both' ? super.on(event, listener).on('helper', helper) : super.on(event, listener)
    }
  }
  const helper = (): void => {}
  const emitter = ctx.bindEmitter(new Choosy())
  const listener = (): void => {}
  emitter.on('both', listener).on('refused', listener)
  t.same([emitter.listeners('both'), emitter.listeners('helper'), emitter.listeners('refused')], [[listener], [helper], []])
  emitter.off('both', listener)
  t.equal(emitter.listenerCount('both'), 0)
})

t.test('bindEmitter: overridden methods of a class get all arguments, and their results are returned', async (t) => {
  const calls: unknown[][] = []
  class Client extends EventEmitter {
    override on (event: string | symbol, listener: (...args: any[]) => void, ...rest: unknown[]): this {
      calls.push(['on', event, ...rest])
      return super.on(event, listener)
    }

    override once (event: string | symbol, listener: (...args: any[]) => void, ...rest: unknown[]): this {
      calls.push(['once', event, ...rest])
      return super.once(event, listener)
    }

    override addListener (event: string | symbol, listener: (...args: any[]) => void, ...rest: unknown[]): this {
      calls.push(['addListener', event, ...rest])
      return super.addListener(event, listener)
    }

    override prependOnceListener (event: string | symbol, listener: (...args: any[]) => void, ...rest: unknown[]): this {
      calls.push(['prependOnceListener', event, ...rest])
      return super.prependOnceListener(event, listener)
    }

    override off (event: string | symbol, listener: (...args: any[]) => void, ...rest: unknown[]): this {
      calls.push(['off', event, ...rest])
      return super.off(event, listener)
    }
  }
  const play = (emitter: EventEmitter): unknown[][] => {
    const client = emitter as unknown as Record<'on' | 'once' | 'addListener' | 'prependOnceListener' | 'off', (...args: unknown[]) => unknown>
    const listener = (): void => {}
    for (const name of ['on', 'once', 'addListener', 'prependOnceListener', 'off'] as const) t.equal(client[name]('event', listener, { noAck: true }, 7), emitter, name)
    emitter.emit('event')
    return calls.splice(0)
  }
  const expected = play(new Client())
  t.same(play(ctx.bindEmitter(new Client())), expected)
  const client = ctx.bindEmitter(new Client())
  removes(t, client, true)
})

t.test('bindEmitter refuses anything but an EventEmitter of Node, and the error names ctx.bind', async (t) => {
  const observable = { subscribe () {}, on () {}, off () {}, once () {}, addListener () {} }
  for (const other of [undefined, null, 7, {}, () => {}, new EventTarget(), new AbortController().signal, new MessageChannel().port1, observable]) {
    t.throws(() => ctx.bindEmitter(other as never), { code: 'FST_CTX_INVALID_ARGUMENT', message: /ctx\.bindEmitter takes an EventEmitter of Node; .* ctx\.bind\(listener\)$/ })
  }
})

t.test('bindEmitter: binding an emitter twice has the effect of binding it once', async (t) => {
  const emitter = new EventEmitter()
  t.equal(ctx.bindEmitter(emitter), emitter)
  const { on } = emitter
  t.equal(ctx.bindEmitter(emitter).on, on)
})

t.test('bind, snapshot and bindEmitter create no async resource', async (t) => {
  const resources: string[] = []
  const hook = createHook({ init (_id, type) { resources.push(type) } }).enable()
  t.teardown(() => { hook.disable() })
  const emitter = ctx.bindEmitter(new EventEmitter())
  const before = resources.length
  ctx.run({ tenant: 'acme' }, () => {
    ctx.bind(() => {})()
    ctx.snapshot()(() => {})
    emitter.once('event', () => {}).emit('event')
  })
  t.same(resources.slice(before), [])
})
