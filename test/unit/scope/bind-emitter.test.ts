import { EventEmitter, on, once } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import { createHook } from 'node:async_hooks'
import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'

const ctx = createContext({ tenant: key<string>() })

/** What a script notes when it is played with an emitter of Node's own, and with a bound one: the same. */
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

t.test('bindEmitter: a bound emitter behaves as Node\'s own', async (t) => {
  for (const [title, script] of Object.entries(scripts)) {
    const expected = play(script, new EventEmitter())
    t.not(expected.length, 0)
    t.same(play(script, ctx.bindEmitter(new EventEmitter())), expected, title)
    t.same(ctx.run({ tenant: 'acme' }, () => play(script, ctx.bindEmitter(new EventEmitter()))), expected, `${title}, in a scope`)
    t.same(play(script, ctx.bindEmitter(new PassThrough())), play(script, new PassThrough()), `${title}, for a stream`)
  }
})

t.test('bindEmitter: the helpers of node:events take a bound emitter', async (t) => {
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

t.test('bindEmitter: a stream flows as it does without', async (t) => {
  const parts: string[] = []
  const stream = ctx.bindEmitter(Readable.from(['a', 'b', 'c']))
  stream.on('data', (part: string) => { parts.push(part) })
  await once(stream, 'end')
  t.same(parts, ['a', 'b', 'c'])
})

t.test('bindEmitter: listeners of each way to add one run in the scope they were added in', async (t) => {
  const emitter = ctx.bindEmitter(new EventEmitter())
  const seen: unknown[] = []
  for (const method of ['on', 'addListener', 'prependListener', 'once', 'prependOnceListener'] as const) {
    ctx.run({ tenant: method }, () => { emitter[method]('event', () => { seen.push(ctx.get('tenant') === method) }) })
  }
  emitter.on('event', () => { seen.push(ctx.get('tenant')) })
  ctx.run({ tenant: 'who emits' }, () => { emitter.emit('event') })
  t.same(seen, [true, true, true, true, true, undefined])
})

t.test('bindEmitter: bound twice is bound once', async (t) => {
  const emitter = new EventEmitter()
  t.equal(ctx.bindEmitter(emitter), emitter)
  const { on } = emitter
  t.equal(ctx.bindEmitter(emitter).on, on)
})

t.test('bind, snapshot and bindEmitter make no async resource', async (t) => {
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
