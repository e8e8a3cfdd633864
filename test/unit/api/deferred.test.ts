import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'
import { gate } from '../../support/support.ts'

const ctx = createContext({ user: key<string>() })

t.test('onEnd, detach and after refuse anything but a function', async (t) => {
  ctx.run({}, () => {
    for (const fn of [undefined, null, 'fn', Promise.resolve()]) {
      t.throws(() => { ctx.onEnd(fn as never) }, { code: 'FST_CTX_INVALID_ARGUMENT', message: /ctx\.onEnd/ })
      t.throws(() => { ctx.detach(fn as never) }, { code: 'FST_CTX_INVALID_ARGUMENT', message: /ctx\.detach/ })
      t.throws(() => { ctx.after(fn as never) }, { code: 'FST_CTX_INVALID_ARGUMENT', message: /ctx\.after/ })
    }
  })
})

t.test('without a scope onEnd throws, and detach and after start the work', async (t) => {
  t.throws(() => { ctx.onEnd(() => {}) }, { code: 'FST_CTX_NO_SCOPE' })
  const seen: unknown[] = []
  ctx.detach(() => { seen.push(['detach', ctx.get('user')]) })
  ctx.after(() => { seen.push(['after', ctx.get('user')]) })
  t.same(seen, [['detach', undefined], ['after', undefined]])
})

t.test('detached work in a scope of another context keeps that scope', async (t) => {
  const other = createContext({ region: key<string>() })
  const { promise, open } = gate<unknown>()
  other.run({ region: 'eu' }, () => { ctx.detach(() => { open([other.get('region'), ctx.get('user')]) }) })
  t.same(await promise, ['eu', undefined])
})
