import { inspect } from 'node:util'
import { pino } from 'pino'
import t from 'tap'
import { tieLogger, tieOf } from '../../../lib/logging/request-logger.ts'
import type { Lifetime } from '../../../lib/scope/scope.ts'

const lifetime = {} as Lifetime
const raw = {}
const newRoot = () => pino({}, { write () {} })

t.test('a logger is tied to a request before its scope opens, then to its lifetime', async (t) => {
  const root = newRoot()
  const logger = root.child({})
  tieLogger(logger, root, raw, undefined)
  t.match(tieOf(logger.child({})), { raw, lifetime: undefined })
  tieLogger(logger, root, raw, lifetime)
  t.match(tieOf(logger.child({})), { raw: undefined, lifetime })
  t.same(Object.keys(logger), Object.keys(root.child({})))
})

t.test('a logger that is first seen when the scope opens', async (t) => {
  const root = newRoot()
  const logger = root.child({})
  tieLogger(logger, root, raw, lifetime)
  t.equal(tieOf(logger)!.lifetime, lifetime)
  tieLogger(logger, root, {}, lifetime)
  t.equal(tieOf(logger), undefined, 'and one that a second request also has')
})

t.test('the application\'s logger, and a logger that encloses it, belong to no request', async (t) => {
  const outer = newRoot()
  const root = outer.child({})
  for (const logger of [outer, root]) {
    tieLogger(logger, root, raw, lifetime)
    t.equal(tieOf(logger), undefined)
  }
  const logger = root.child({})
  tieLogger(logger, root, undefined, undefined)
  t.equal(tieOf(logger), undefined, 'nor does one that was created outside any request')
})

t.test('a frozen logger can be tied', async (t) => {
  const root = newRoot()
  const logger = Object.freeze(root.child({}))
  tieLogger(logger, root, raw, undefined)
  tieLogger(logger, root, raw, lifetime)
  t.equal(tieOf(Object.create(logger) as object)!.lifetime, lifetime)
  t.equal(tieOf(root), undefined)
})

t.test('a child of another request\'s logger can be tied to its own request, also below a frozen logger', async (t) => {
  for (const freeze of [false, true]) {
    const root = newRoot()
    const outer = root.child({})
    tieLogger(outer, root, raw, lifetime)
    if (freeze) Object.freeze(outer)
    // pino cannot create a child of a frozen logger.
    const inner = freeze ? Object.create(outer) as object : outer.child({})
    const innerLifetime = {} as Lifetime
    tieLogger(inner, root, {}, innerLifetime)
    t.equal(tieOf(inner)!.lifetime, innerLifetime)
    t.equal(tieOf(outer)!.lifetime, lifetime)
  }
})

t.test('a tie prints nothing of the request that it references', async (t) => {
  const logger = newRoot().child({})
  tieLogger(logger, newRoot(), raw, lifetime)
  t.equal(inspect(tieOf(logger)), 'Tie {}')
})
