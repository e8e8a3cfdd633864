import t from 'tap'
import { createContext, key } from '../../../lib/index.ts'

const ctx = createContext({ tenant: key<string>() })

t.test('outside a scope the signal is never aborted, and there is no deadline', async (t) => {
  t.notOk(ctx.signal.aborted)
  t.equal(ctx.deadline, undefined)
})

t.test('in a run with a time limit, deadline is the remaining time in whole milliseconds, never less than 0', async (t) => {
  ctx.run({}, () => { t.equal(ctx.deadline, undefined) })
  ctx.run({}, () => {
    t.ok(Number.isInteger(ctx.deadline))
    t.ok(ctx.deadline! > 50_000 && ctx.deadline! <= 60_000, `${ctx.deadline}`)
    t.notOk(ctx.signal.aborted)
  }, { timeout: 59_999.7 })
  ctx.run({}, () => {
    t.equal(ctx.deadline, 0)
    t.ok(ctx.signal.aborted)
  }, { deadline: 0 })
})
