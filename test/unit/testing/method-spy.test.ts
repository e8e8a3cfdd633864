import t from 'tap'
import { intercept, spyOn } from '../../../lib/testing/method-spy.ts'

class Log {
  readonly lines: string[] = []

  write (line: string): number {
    return this.lines.push(line)
  }
}

for (const first of [0, 1]) {
  t.test(`spyOn: after both listeners are removed, listener ${first} first, the method is restored`, async (t) => {
    const log = new Log()
    const heard: string[] = []
    const stops = ['a', 'b'].map((name) => spyOn(log, 'write', (self, [line]) => { heard.push(`${name} ${String(line)} ${self === log}`) }))
    t.equal(log.write('one'), 1)
    t.same(heard.splice(0), ['a one true', 'b one true'])
    stops[first]!()
    stops[first]!()
    log.write('two')
    t.same(heard.splice(0), [`${first === 0 ? 'b' : 'a'} two true`])
    stops[1 - first]!()
    log.write('three')
    t.same(heard, [])
    t.same(log.lines, ['one', 'two', 'three'])
    t.notOk(Object.hasOwn(log, 'write'))
    t.equal(log.write, Log.prototype.write)
  })
}

t.test('spyOn: an own method is restored, and can be spied on again', async (t) => {
  const write = (): string => 'own'
  const log = { write }
  const heard: unknown[] = []
  for (const round of [1, 2]) {
    const stop = spyOn(log, 'write', (_self, args) => { heard.push(...args) })
    t.equal((log.write as (...args: unknown[]) => string)(round), 'own')
    stop()
    t.equal(log.write, write)
    t.ok(Object.keys(log).includes('write'))
  }
  t.same(heard, [1, 2])
})

t.test('interceptors run one after another, and decide when the method is called and what it returns', async (t) => {
  const log = new Log()
  const held: Array<() => unknown> = []
  const stops = [
    intercept(log, 'write', (proceed) => `${String(proceed())}, seen`),
    intercept(log, 'write', (proceed, self, [line]) => {
      t.equal(self, log)
      held.push(proceed)
      return `held ${String(line)}`
    })
  ]
  t.equal((log.write as (line: string) => unknown)('one'), 'held one, seen')
  t.same(log.lines, [])
  for (const stop of stops) stop()
  t.equal(held[0]!(), 1)
  t.same(log.lines, ['one'])
  t.equal(log.write, Log.prototype.write)
})
